"""Waiting on conditions instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable

# A look at a value in memory is made every 5 ms. One at a ledger or a folder takes a core's time away from what is
# waited for, where tests share few cores: it is made so often that it takes a thirtieth of the time, or ten times a
# second.
PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.1
LOOKS_SHARE = 0.03


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return as soon as condition holds; fail the test, naming what, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        begun = time.thread_time()
        if condition():
            return
        took_s = time.thread_time() - begun
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for: {what}")
        time.sleep(min(LONGEST_PAUSE_S, max(PAUSE_S, took_s / LOOKS_SHARE)))
