"""What is to be done in an outbox for several photos: one call to its I/O thread, one look at it, one sync of a folder.

A story awaits its part by `run(group_calls, work)`. Whoever asks while a call waits or is under way goes with it: one
photo waits for nobody, and many wait for one another's sync instead of each for its own. What is done is the stories'
business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from msgspec import Struct, field

from cutoutd.daemon.files.story import Calls, Then
from cutoutd.daemon.ledger.faults import alone


class _Group(Struct):
    """Those that go with one call: who they are, and once it is made what each is told."""

    taken: list[Then] = field(default_factory=list[Then])
    answers: list[tuple[Then, Any, BaseException | None]] = field(
        default_factory=list[tuple[Then, Any, BaseException | None]]
    )


# So many at once: a folder counts as hanging by single calls, and a slow share may take a tenth of a second for each.
MOST: Final = 32


class GroupCalls:
    """One outbox's calls, made in the order in which they are asked for. Made and asked in the supervisor's loop.

    Args:
        io: its I/O thread.
        look: raises OSError where the outbox cannot be used; called there before anything is done.
        sync: makes a folder's names durable, or raises OSError; called there.
    """

    def __init__(self, io: Calls, look: Callable[[], None], sync: Callable[[bytes], None]) -> None:
        self._io = io
        self._look = look
        self._sync = sync
        self._waiting: deque[tuple[Callable[[], Any], Then]] = deque()
        self._under_way = 0
        self._changed: set[bytes] = set()

    def call(self, work: Callable[[], Any], then: Then) -> None:
        """Has `work` done; `then(value, error)` comes later, in the supervisor's loop, after the folders are synced."""
        self._waiting.append((work, then))
        self._go_on()

    def to_sync(self, folder: bytes) -> None:
        """On the I/O thread, from within `work`: it has changed names in this folder."""
        self._changed.add(folder)

    def _go_on(self) -> None:
        while len(self._waiting) > MOST * self._under_way:
            self._under_way += 1
            group = _Group()
            self._io.call(partial(self._done, group), partial(self._told, group))

    def _done(self, group: _Group) -> _Group:
        """On the I/O thread."""
        try:
            self._look()
        except OSError as error:
            group.answers = [(then, None, error) for _, then in self._taken(group)]
            return group
        synced: dict[bytes, OSError | None] = {}
        done = [(then, *self._one(work)) for work, then in self._taken(group)]
        # What failed halfway may have got some of its names.
        troubles = [self._trouble(folders, synced) for *_, folders in done]
        group.answers = [
            (then, value, error or trouble)
            for (then, value, error, _), trouble in zip(done, troubles, strict=True)
        ]
        return group

    def _taken(self, group: _Group) -> Iterator[tuple[Callable[[], Any], Then]]:
        """Those that wait, and those that come meanwhile."""
        for _ in range(MOST):
            if not self._waiting:
                return
            work, then = self._waiting.popleft()
            group.taken.append(then)
            yield work, then

    def _one(self, work: Callable[[], Any]) -> tuple[Any, BaseException | None, frozenset[bytes]]:
        self._changed.clear()
        try:
            return work(), None, frozenset(self._changed)
        except Exception as error:  # noqa: BLE001 - as on any I/O thread: whoever waits hears of it
            return None, error, frozenset(self._changed)

    def _trouble(self, folders: frozenset[bytes], synced: dict[bytes, OSError | None]) -> OSError | None:
        """What went wrong with the sync of one's folders, each of which is synced once."""
        for folder in folders - synced.keys():
            synced[folder] = None
            try:
                self._sync(folder)
            except OSError as error:
                synced[folder] = error
        return next((error for folder in folders if (error := synced[folder])), None)

    def _told(self, group: _Group, value: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        answers = group.answers
        if error is not None or value is not group:
            # The call itself went wrong: each of those that went with it hears what it would have heard alone.
            taken = group.taken or [then for _, then in self._taken(group)]
            answers = [(then, value, error) for then in taken]
        self._go_on()
        # A story tells its mistakes to its photo. Where even that goes wrong, the others hear their answers.
        mistakes: list[Exception] = []
        for then, its_value, failed in answers:
            with alone(mistakes.append):
                then(its_value, failed)
        if mistakes:
            raise mistakes[0]
