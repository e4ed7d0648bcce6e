"""Who hears what the daemon does: terminal, journal, desktop, metrics."""
