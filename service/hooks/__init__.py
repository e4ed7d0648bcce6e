"""Commands of the user's own, run after something happened to a photo, in a process of their own."""
