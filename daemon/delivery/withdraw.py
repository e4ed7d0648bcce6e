"""Takes cutouts away whose photo has one under another name now, if still ours to the byte; nothing else goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.naming import Route
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.files.usable import Answer
from cutoutd.daemon.ledger.withdrawals import Withdrawal, Withdrawals


@dataclass(slots=True)
class Withdrawer:
    """Withdraws what is due in an inbox's outbox, on the outbox's own thread.

    The intention was committed when the photo was found under its new name, and the outcome is once the file is
    gone; a crash in between repeats it. Claims of names and withdrawals pass through the same thread in the order
    in which the ledger knew of them, so that none takes away what another has just put there.

    Args:
        owed: the ledger's side of it.
        instance: id in our hidden names.
        there: on the I/O thread: whether the outbox is the folder that it was.
    """

    owed: Withdrawals
    instance: str
    there: Callable[[Route], Answer]
    _busy: set[int] = field(default_factory=set[int])

    def busy(self) -> int:
        """How many are on the way."""
        return len(self._busy)

    def withdraw(self, inbox: bytes, route: Route) -> None:
        """Whatever is due; what fails is due again after the next delivery or start."""
        for one in self.owed.due(inbox):
            if one.id in self._busy:
                continue
            if one.holder == one.name or not one.name or one.outbox != route.outbox:
                self.owed.withdrawn(one.id)  # the name has another owner, or is not to be reached any more
                continue
            self._busy.add(one.id)
            Story(self._withdraw(one, route))

    async def _withdraw(self, one: Withdrawal, route: Route) -> None:
        """Takes one away and commits that it is gone."""
        try:
            gone = await run(route.io, self._act, one, route)
        except OSError:
            return
        finally:
            self._busy.discard(one.id)
        if gone:
            self.owed.withdrawn(one.id)

    def _act(self, one: Withdrawal, route: Route) -> bool:
        """On the I/O thread: whether nothing of ours lies under the name any more. Raises OSError."""
        return bool(self.there(route)) and _act(one, self.instance, route)


def _act(one: Withdrawal, instance: str, route: Route) -> bool:
    """Whether nothing of ours lies under the name any more. Raises OSError."""
    path = os.path.join(one.outbox, one.name)
    if one.holder and _is_same(path, os.path.join(one.outbox, one.holder), route.fs):
        return True  # a file system that ignores case: it is the other's cutout
    # A number that no temporary of a photo has: rows begin with 1.
    hidden = os.path.join(os.path.dirname(path), Temporary(instance, 0, one.id, 0).name())
    publish.withdraw(path, hidden, one.out_digest, route.fs, leases=route.leases)
    return True


def _is_same(path: bytes, other: bytes, fs: FileSystem) -> bool:
    if not (fs.exists(path) and fs.exists(other)):
        return False
    one, two = fs.lstat(path), fs.lstat(other)
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)
