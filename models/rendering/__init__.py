"""From photo and alpha to the bytes of a finished file."""
