"""Worker processes: their first acts, their photos, their end."""
