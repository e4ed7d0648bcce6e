"""Takes cutouts away whose photo has one under another name now, if still ours to the byte; nothing else goes."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from msgspec import Struct, field

from cutoutd.daemon.delivery.naming import Route
from cutoutd.daemon.delivery.publish import is_at_rest
from cutoutd.daemon.files.filesystem import RenameUnsupported
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.outbox_names import Withdrawal, Withdrawals


class Withdrawer(Struct):
    """Withdraws what is due of an inbox's cutouts, on the thread of the outbox in which they lie.

    The intention was committed when the photo was found under its new name, and the outcome is once the file is
    gone; a crash in between repeats it. Claims of names and withdrawals are calls of the same outbox (`Route.calls`),
    made in the order in which the ledger knew of them, so that none takes away what another has just put there.

    Args:
        owed: the ledger's side of it.
        instance: id in our hidden names.
    """

    owed: Withdrawals
    instance: str
    _busy: set[int] = field(default_factory=set[int])

    def busy(self) -> int:
        """How many are on the way."""
        return len(self._busy)

    def withdraw(self, inbox: bytes, routes: Mapping[bytes, Route]) -> None:
        """Whatever is due; what fails is due again after the next delivery or start.

        Where the inbox has another outbox by now, what lies in the earlier one stays as it was when that was its own;
        what was to go then goes as soon as any inbox has that outbox.
        """
        for one in self.owed.due(inbox):
            if one.id in self._busy:
                continue
            earlier = one.outbox != routes[inbox].outbox
            if one.holder == one.name or not one.name or (earlier and not one.is_beside):
                self.owed.withdrawn(one.id)  # the name has another owner, or is not to be reached any more
                continue
            route = next((route for route in routes.values() if route.outbox == one.outbox), None)
            if route is None:
                continue
            self._busy.add(one.id)
            Story(self._withdraw(one, route))

    async def _withdraw(self, one: Withdrawal, route: Route) -> None:
        """Takes one away and commits that it is gone."""
        try:
            await run(route.calls, _act, one, self.instance, route)
        except OSError:
            return
        finally:
            self._busy.discard(one.id)
        self.owed.withdrawn(one.id)


def _act(one: Withdrawal, instance: str, route: Route) -> None:
    """On the I/O thread: afterwards nothing of ours lies under the name any more. Raises OSError."""
    path = os.path.join(one.outbox, one.name)
    if one.holder and _is_same(path, os.path.join(one.outbox, one.holder), route.fs):
        return  # a file system that ignores case: it is the other's cutout
    # A number that no temporary of a photo has: rows begin with 1.
    hidden = os.path.join(os.path.dirname(path), Temporary(instance, 0, one.id, 0).name())
    withdraw(path, hidden, one.out_digest, route.fs, size=one.out_size, leases=route.leases)


def _is_same(path: bytes, other: bytes, fs: FileSystem) -> bool:
    if not (fs.exists(path) and fs.exists(other)):
        return False
    one, two = fs.lstat(path), fs.lstat(other)
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


def withdraw(
    final: bytes, hidden: bytes, digest: str, fs: FileSystem, *, size: int = 0, leases: bool = False
) -> None:
    """Removes a cutout of ours, if that is still exactly what lies there; repeating it after a crash is safe.

    It is renamed away first and looked at once more, since it may be opened and saved to until nobody can reach it
    by its name. What turns out not to be ours alone gets its name back.

    Args:
        final: absolute path of the cutout.
        hidden: absolute path in the same folder, a name that only we use.
        digest: of the cutout.
        fs: the file system, with the outbox as its root.
        size: of the cutout, bytes; 0 when not known.
        leases: whether the outbox's file system knows who has a file open (`files/writers.py`).

    Raises:
        UnsafePath: the name's folder is a link, or lies behind one.
        OSError: the outbox cannot be written now.
    """
    if not fs.exists(hidden):
        try:
            if not fs.exists(final) or not is_at_rest(final, digest, fs, size=size, leases=leases):
                return
            _rename_away(final, hidden, fs)
        except FileNotFoundError:
            return  # its folder is gone, or somebody took it away in this moment
    if is_at_rest(hidden, digest, fs, size=size, leases=leases):
        fs.unlink(hidden)
    else:
        _rename_away(hidden, final, fs)
    fs.fsync_dir(os.path.dirname(final))


def _rename_away(path: bytes, to: bytes, fs: FileSystem) -> None:
    try:
        fs.rename_noreplace(path, to)
    except RenameUnsupported:
        if fs.exists(to):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(to)) from None
        fs.rename(path, to)
