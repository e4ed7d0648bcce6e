"""The system's service managers: systemd and launchd."""
