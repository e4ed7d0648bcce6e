"""What the machine offers to one process."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores this process may use; at least one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
