"""What a process gives up for good before it works."""
