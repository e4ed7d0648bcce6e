"""The outboxes as folders: opened, remembered, found in trouble and found well again; it publishes nothing.

All methods run in the supervisor's loop; the folders are touched on their I/O threads only.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from cutoutd.config.errors import OutboxError, mistake, words
from cutoutd.daemon.backoff import NEVER, Retry
from cutoutd.daemon.delivery import leftovers, publish
from cutoutd.daemon.files import folders
from cutoutd.daemon.files.filesystem import RealFileSystem, Root, write_all
from cutoutd.daemon.files.folders import make_folder
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.mounts import MountIdentity, identify, needs_polling, takes_plain_names_only
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.question import Question
from cutoutd.daemon.files.story import Story, run, send
from cutoutd.daemon.files.temporary import TemporaryError, write_temporary
from cutoutd.daemon.files.usable import ROOT_ALONE, ROOT_ALONE_FIX, FolderUse, by_root_alone, can_be_used
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import paid_by
from cutoutd.daemon.ledger.folders import Folders

# An outbox in trouble is looked at again after so long; the pause doubles up to the second figure.
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 60.0
# Room that must be there again before a full outbox is tried: one large cutout.
PROBE_BYTES = 1 << 20


class OutboxOpened(Struct, frozen=True):
    """What opening an outbox brought: its mount, and the inode that Landlock will be bound to."""

    identity: MountIdentity
    inode: tuple[int, int]
    swept: int


class _Folder(Struct):
    path: Path
    io: IoThread
    question: Question
    use: FolderUse = field(default_factory=lambda: FolderUse(Retry(RETRY_FIRST_S, RETRY_LONGEST_S)))
    portable_names: bool = False
    leases: bool = False
    inode: tuple[int, int] | None = None


class OutboxNews(Protocol):
    """Who hears of outboxes, and says what is not to be swept from them."""

    def outbox_open(self, path: Path, inode: tuple[int, int]) -> None:
        """It can be used (again)."""
        ...

    def outbox_down(self, path: Path, why: str) -> None:
        """It cannot be used, or does not answer; `why` is a sentence."""
        ...

    def outbox_silent(self, path: Path) -> None:
        """After `outbox_down`: no call to it returns any more."""
        ...

    def temporaries_to_keep(self) -> frozenset[bytes]:
        """Absolute paths of temporaries that still wait to be published, or are being written."""
        ...


class Outboxes:
    """All outboxes of the config.

    Args:
        ledger: remembers what each folder is mounted from.
        post: the supervisor's queue.
        clock: monotonic seconds.
        instance: whose leftovers are swept.
        folder_mode: permission bits of an outbox that is made.
        news: hears of them.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        post: Callable[[Done], None],
        clock: Callable[[], float],
        instance: str,
        folder_mode: int,
        news: OutboxNews,
    ) -> None:
        self._mounts = Folders(ledger)
        self._post = post
        self._clock = clock
        self._instance = instance
        self._folder_mode = folder_mode
        self._news = news
        self._guarded = True
        self._folders: dict[Path, _Folder] = {}

    def configure(self, paths: Iterable[Path], *, guarded: bool = True) -> None:
        """Opens the folders that are new and lets go of those no longer named.

        Args:
            paths: of all outboxes.
            guarded: workers have no rights beyond those of the files' owner; unset, they have not.
        """
        self._guarded = guarded
        wanted = set(paths)
        for path in [path for path in self._folders if path not in wanted]:
            for thread in _threads(self._folders.pop(path)):
                thread.stop()
        for path in wanted:
            if path not in self._folders:
                self._folders[path] = self._folder(path)
                self._open(self._folders[path])

    def _folder(self, path: Path) -> _Folder:
        question = Question(path, lambda: IoThread(f"asking {path.name}", self._post), self._clock)
        return _Folder(path, IoThread(f"outbox {path.name}", self._post), question)

    def io(self, path: Path) -> IoThread:
        """The folder's I/O thread."""
        return self._folders[path].io

    def portable_names(self, path: Path) -> bool:
        """Whether the folder's file system refuses characters that others allow."""
        return self._folders[path].portable_names

    def leases(self, path: Path) -> bool:
        """Whether the folder's file system knows who has a file open (`files/writers.py`)."""
        return self._folders[path].leases

    def inode(self, path: Path) -> tuple[int, int] | None:
        """Device and inode of the folder as it was last opened; None when it never was."""
        folder = self._folders.get(path)
        return None if folder is None else folder.inode

    def all_known(self) -> bool:
        """Whether each folder has been opened or found in trouble."""
        return all(folder.use.open or folder.use.trouble for folder in self._folders.values())

    def troubles(self) -> dict[Path, str]:
        """Folders that cannot be used now, with why."""
        return {path: one.use.trouble for path, one in self._folders.items() if one.use.trouble}

    def failed(self, path: Path, why: str) -> None:
        """A write or a rename in the folder failed: it is looked at again after a pause."""
        folder = self._folders.get(path)
        if folder is None:
            return
        use = folder.use
        if use.trouble and not use.open and not use.opening:
            use.trouble = why or use.trouble  # it waits already: many photos in hand make the pause no longer
            return
        self._pause(folder, why)

    def probe(self, path: Path) -> None:
        """A path in it was refused: is the folder itself in order? what is heard of it next says."""
        folder = self._folders.get(path)
        if folder is not None and not folder.use.opening and not folder.use.trouble:
            self._open(folder)

    def _pause(self, folder: _Folder, why: str) -> None:
        folder.use.failed(why or f"the outbox {folder.path} cannot be used", self._clock())

    async def refusal(self, path: Path, inside: list[bytes]) -> str:
        """Tries folders in an outbox for themselves. Returns why one of them takes no file; empty when all do."""
        folder = self._folders[path]
        root = Root(os.fsencode(path), folder.inode)
        try:
            return await run(folder.io, _refusal, root, inside, self._instance, self._folder_mode)
        except OSError as error:
            return words(error)

    def went_well(self, path: Path) -> None:
        """A cutout was published there: pauses begin small again."""
        folder = self._folders.get(path)
        if folder is not None:
            folder.use.retry.well()

    def next_due(self) -> float:
        """Monotonic time at which a folder in trouble is looked at again, or must have answered."""
        folders = self._folders.values()
        looks = [_look_due(folder) for folder in folders]
        answers = [folder.question.due() for folder in folders if not folder.use.trouble]
        return min([*looks, *answers], default=float("inf"))

    def tick(self, now: float, late_s: float = 0.0) -> None:
        """Looks again at folders in trouble whose pause is over; notices those that no longer answer.

        Args:
            now: monotonic seconds.
            late_s: how much later than planned this turn is (stopped, suspended): answers may be as late.
        """
        for folder in self._folders.values():
            folder.question.delay(late_s)
            if now >= _look_due(folder):
                self._open(folder)
            elif not folder.use.trouble and now >= folder.question.due():
                self._silent(folder)

    def ask(self, path: Path, now: float) -> None:
        """Something takes long there: does the folder still answer?"""
        folder = self._folders.get(path)
        if folder is not None and folder.use.open:
            Story(self._ask(folder, now), paid_by(lambda error: self._fault(folder, error)))

    async def _ask(self, folder: _Folder, now: float) -> None:
        await folder.question.ask(now)

    def _silent(self, folder: _Folder) -> None:
        why = f"the outbox {folder.path} does not answer"
        self._pause(folder, why)
        self._news.outbox_down(folder.path, why)
        self._news.outbox_silent(folder.path)

    def opened(self) -> frozenset[Path]:
        """Folders that are in use."""
        return frozenset(path for path, one in self._folders.items() if one.use.open)

    def sweep_earlier(self, path: Path, before: int, keep: frozenset[bytes]) -> None:
        """Removes our temporaries of attempts with smaller numbers, save those to keep."""
        folder = self._folders.get(path)
        if folder is not None and folder.use.open:
            fs = RealFileSystem(Root(os.fsencode(path), folder.inode))
            send(folder.io, _sweep_earlier, os.fsencode(path), self._instance, keep, fs, before)

    def close(self, timeout_s: float) -> None:
        """Ends the I/O threads, without waiting for one that hangs."""
        threads = [thread for folder in self._folders.values() for thread in _threads(folder)]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(timeout_s)

    def _open(self, folder: _Folder) -> None:
        folder.use.opening = True
        Story(self._opened(folder), paid_by(lambda error: self._fault(folder, error)))

    async def _opened(self, folder: _Folder) -> None:
        """Opens it on its I/O thread and commits what it is; in trouble it is looked at again after a pause."""
        recorded, keep = self._mounts.recorded(folder.path), self._news.temporaries_to_keep()
        try:
            if self._guarded:
                await run(folder.io, _refuse_roots_alone, folder.path)
            opened = await run(
                folder.io, _open_on_thread, folder.path, recorded, self._instance, keep, self._folder_mode
            )
        except (OutboxError, OSError) as error:
            folder.use.opening = False
            why = error.what if isinstance(error, OutboxError) else words(error)
            self._pause(folder, why)
            self._news.outbox_down(folder.path, why)
            return
        self._mounts.record(folder.path, opened.identity)
        folder.portable_names = takes_plain_names_only(opened.identity.fstype)
        folder.leases = not needs_polling(opened.identity.fstype)
        folder.inode = opened.inode
        folder.use.opened()
        self._news.outbox_open(folder.path, opened.inode)

    def _fault(self, folder: _Folder, error: Exception) -> None:
        """A mistake of ours with this folder: it is opened afresh after a pause, and the others go on."""
        folder.use.opening = False
        why = f"cutoutd made a mistake with it ({mistake(error)}); please report it"
        self._pause(folder, why)
        self._news.outbox_down(folder.path, why)


def _look_due(folder: _Folder) -> float:
    """When a folder in trouble is looked at again; one that owes an answer is not, until it gives it."""
    return NEVER if folder.question.open or not folder.use.trouble else folder.use.due()


def _threads(folder: _Folder) -> list[IoThread]:
    return [folder.io, *folder.question.threads()]


def _sweep_earlier(path: bytes, instance: str, keep: frozenset[bytes], fs: FileSystem, before: int) -> None:
    with suppress(OSError):  # the outbox is away: it is swept as a whole when it is back
        leftovers.sweep(path, instance, keep, fs=fs, before=before)


def _probe() -> bytes:
    """What is written to see that there is room; no more than this process may put in one file (`ulimit -f`)."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return bytes(PROBE_BYTES if most == resource.RLIM_INFINITY else min(PROBE_BYTES, most))


def _is_roots_alone(path: Path) -> bool:
    with suppress(OSError):  # what is wrong with it is said by opening it
        return by_root_alone(path)
    return False


def _refuse_roots_alone(path: Path) -> None:
    if _is_roots_alone(path):
        what = f"the outbox cannot be written ({ROOT_ALONE}). {ROOT_ALONE_FIX}"
        raise OutboxError(what.removesuffix("."), path)


def _refusal(root: Root, inside: list[bytes], instance: str, mode: int) -> str:
    """Writes to folders below the root as a worker does. Returns why one of them refuses; empty when none does."""
    fs = RealFileSystem(root)
    for folder in inside:
        probe = os.path.join(folder, Temporary(instance, 0, os.getpid(), 1).name())
        try:
            write_temporary(root.path, probe, _probe(), inode=root.inode, folder_mode=mode, fs=fs)
        except TemporaryError as error:
            return os.strerror(error.code)
        else:
            if _is_roots_alone(Path(os.fsdecode(os.path.join(root.path, folder)))):
                return ROOT_ALONE
        finally:
            with suppress(OSError):
                publish.discard([probe], fs)
    return ""


def _open_on_thread(
    path: Path, recorded: MountIdentity | None, instance: str, keep: frozenset[bytes], mode: int
) -> OutboxOpened:
    """Makes an outbox that was never seen before, checks one that was, proves it can be written, sweeps it.

    Raises:
        OutboxError: it cannot be used now.
    """
    try:
        if recorded is None:
            make_folder(path, mode)
        answer = can_be_used(path, recorded)
        if not answer:
            raise OutboxError(answer.sentence, path)
        root = Root(os.fsencode(path), folders.inode_of(path))
        fs = RealFileSystem(root)
        probe = os.path.join(root.path, Temporary(instance, 0, os.getpid(), 0).name())
        publish.discard([probe], fs)
        fd = fs.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(fs, fd, _probe())
        finally:
            fs.close(fd)
            fs.unlink(probe)
        swept = leftovers.sweep(root.path, instance, keep, fs=fs)
    except OSError as error:
        raise OutboxError(f"the outbox cannot be written ({error.strerror})", path) from error
    return OutboxOpened(identify(path), root.inode or (0, 0), swept)
