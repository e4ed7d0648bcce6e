"""Before and after, as one page for a browser."""
