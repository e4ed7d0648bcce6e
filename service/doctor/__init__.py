"""What may be wrong with this machine or set-up, and what to do about it."""
