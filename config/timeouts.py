"""Calls that may hang, because a network mount does, with an end to the wait; it cannot end the call itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# One look at a folder or a file that may hang holds up the daemon's loop for no longer than this.
LOOK_S = 1.0


def run_with_timeout(seconds: float, call: Callable[[], T], otherwise: T) -> T:
    """The answer of `call`, or `otherwise` when it has none after so many seconds.

    A call that hangs stays behind in a daemon thread, which keeps no program alive.

    Raises:
        Exception: whatever the call raised in time.
    """
    answers: list[T] = []
    errors: list[Exception] = []

    def work() -> None:
        """In the thread: the answer, or what was raised."""
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=work, name="a call that may hang", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return answers[0] if answers else otherwise
