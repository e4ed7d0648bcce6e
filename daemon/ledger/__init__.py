"""The truth about every photo: rows, their states, commands, and all the project's SQL."""
