"""Who pays for a mistake of ours: the one photo or folder that brought it out; what the pay is, its owner decides."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from cutoutd.daemon.ledger.troubles import is_ledgers_own


@contextmanager
def alone(fault: Callable[[Exception], None]) -> Generator[None]:
    """What goes wrong inside is told to `fault` and goes no further; trouble with the ledger itself passes.

    Args:
        fault: fails, or puts off, what the block was about.
    """
    try:
        yield
    except Exception as error:
        if is_ledgers_own(error):
            raise
        fault(error)


def paid_by(fault: Callable[[Exception], None]) -> Callable[[Exception], None]:
    """What a story tells its mistakes: `fault`, but for trouble with the ledger itself, which passes."""

    def told(error: Exception) -> None:
        """One mistake, or the ledger's trouble raised anew."""
        with alone(fault):
            raise error

    return told
