"""Who pays for a mistake of ours: the one photo or folder that brought it out; what the pay is, its owner decides."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from cutoutd.daemon.files.story import Story
from cutoutd.daemon.ledger.database import is_ledgers_own


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


def begin(story: Coroutine[Any, Any, None], fault: Callable[[Exception], None]) -> Story:
    """Begins a story whose mistakes go to `fault`, whichever of its steps brings them out."""

    async def to_its_end() -> None:
        """The story, with its fault told."""
        with alone(fault):
            await story

    return Story(to_its_end())
