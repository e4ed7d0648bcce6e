"""What the trainers' commands write to standard output, and how the log of their work gets there."""

from __future__ import annotations

import logging
import sys

LOG = logging.getLogger("cutoutd.training")


def say(text: str) -> None:
    """One line of a command's answer."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_log() -> None:
    """From now on the log's lines stand on standard output as they are: a run's curve is read, and piped."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
