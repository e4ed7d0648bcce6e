"""Weights that ship with cutoutd, each with its description and its card."""
