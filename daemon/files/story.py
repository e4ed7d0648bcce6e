"""Linear coroutines over I/O threads: what is awaited runs there, all else in the supervisor's loop; no policy.

A story is an `async def` whose only awaits are `await run(io, work)` and other stories, so that *commit the intent,
act, commit the result* reads down the page. There is no event loop, no task and no time in it: each step goes to the
folder's I/O thread as one call, and the supervisor's queue brings its answer back. Where calls are made in order and
at once (the simulation of the tests), a story runs the same way each time.

A mount that hangs keeps its thread and with it the story: nobody waits for either. `Story.abandon` lets go of one
for good, so that the folder may be taken up afresh on another thread; an answer that comes after all is dropped.
A story that is dropped, as at the end of the daemon, simply stops at its `await`: write none whose `finally` commits.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from msgspec import Struct

P = ParamSpec("P")
T = TypeVar("T")
Then = Callable[[Any, BaseException | None], None]


class Calls(Protocol):
    """What makes calls elsewhere: an `IoThread`, or what stands for one in a simulation."""

    def call(self, work: Callable[[], Any], then: Then) -> None:
        """Has `work` done; `then(value, error)` comes later, in the supervisor's loop."""
        ...


class _Step(Struct, frozen=True):
    """One call that a story waits for."""

    io: Calls
    work: Callable[[], Any]

    def __await__(self) -> Generator[_Step, Any, Any]:
        return (yield self)


async def run(io: Calls, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Does `work` on a folder's I/O thread; returns its value or raises its exception here, in the loop."""
    return await _Step(io, partial(work, *arguments, **named))


def send(io: Calls, work: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
    """Has `work` done on a folder's I/O thread; nothing waits for its answer, and what goes wrong there is dropped."""
    io.call(partial(work, *arguments, **named), _unheard)


def _unheard(_value: object, _error: BaseException | None) -> None:
    """Where an answer goes that nobody waits for."""


class Story:
    """One coroutine under way.

    Args:
        coroutine: it runs from its first line to its first `await` at once.
        mistaken: told what the coroutine does not catch, whichever of its steps brings it out; it may raise it again.

    Raises:
        BaseException: what the coroutine does not catch, where nobody is told: here while it begins, and out of the
            message that brings an answer afterwards. It is a fault of the program, as in any handler of the loop.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], mistaken: Callable[[Exception], None] | None = None
    ) -> None:
        self._coroutine = coroutine
        self._mistaken = mistaken
        self.over = False
        self._go_on(None, None)

    def abandon(self) -> None:
        """Goes no further: an answer that still comes is dropped."""
        self.over = True
        self._coroutine.close()

    def _go_on(self, value: Any, error: BaseException | None) -> None:
        if self.over:
            return
        try:
            step: _Step = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.over = True
            return
        except BaseException as mistake:
            self.over = True
            if self._mistaken is None or not isinstance(mistake, Exception):
                raise
            self._mistaken(mistake)
            return
        step.io.call(step.work, self._go_on)
