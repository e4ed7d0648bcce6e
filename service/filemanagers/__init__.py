"""Entries for file managers' menus, as files of the user's own."""
