"""Scores of networks and cutouts against true masks."""
