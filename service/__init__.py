"""Living on this machine: the command line, systemd and launchd, status, the privacy self-test."""
