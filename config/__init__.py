"""What the user asked for: settings, their sources and their documentation; imports nothing else of ours."""
