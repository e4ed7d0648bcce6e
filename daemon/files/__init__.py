"""Files and folders: every touch of them that the rest of the daemon asks for."""
