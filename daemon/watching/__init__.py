"""What happens in an inbox, which file is a photo, and when it is complete."""
