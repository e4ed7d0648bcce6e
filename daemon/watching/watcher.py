"""File events of one inbox as hints, and word of every way in which they may be missing; it does no work."""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from watchdog import events
from watchdog.observers import Observer

from cutoutd.config.errors import printable
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.mounts import filesystem_kind, needs_polling
from cutoutd.daemon.watching.settle import HintKind

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

    from cutoutd.daemon.watching.inotify import Complaint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened at a path. It may be wrong, late or doubled; a stat decides."""

    inbox: str
    path: bytes
    kind: HintKind


@dataclass(frozen=True, slots=True)
class Rescan:
    """Events may be missing below path (empty: the whole inbox): walk it. The watches already stand."""

    inbox: str
    why: str
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class WatchLost:
    """No events come any more: stop this watcher, and start another after a while.

    Attributes:
        inbox: its name.
        why: a sentence for people, with what to do.
        code: `gone`: the folder went away or was replaced; `limit`: a limit of the system; `denied`: no
            permission; `broken`: an error of the event machinery; `stale`: a new start will see more.
    """

    inbox: str
    why: str
    code: Literal["gone", "limit", "denied", "broken", "stale"]


Message = Hint | Rescan | WatchLost

# A folder's event means that files may have come or gone in it without an event of their own.
_FILE_HINTS: dict[type[events.FileSystemEvent], HintKind] = {
    events.FileClosedEvent: "closed",
    events.FileCreatedEvent: "created",
    events.FileModifiedEvent: "modified",
    events.FileAttribEvent: "modified",
    events.FileDeletedEvent: "deleted",
}
_FOLDER_EVENTS: dict[type[events.FileSystemEvent], str] = {
    events.DirCreatedEvent: "a folder appeared",
    events.DirDeletedEvent: "a folder was removed",
    events.DirMovedEvent: "a folder was renamed",
}


class Watcher:
    """Watches one inbox until stopped; never raises out of its threads, and reads no photo.

    Args:
        inbox: its name, put into every message.
        root: the folder; it may be a link to one.
        recursive: whether sub-folders are watched too.
        post: takes each message; called from other threads; should return at once.
    """

    def __init__(self, inbox: str, root: Path, *, recursive: bool, post: Callable[[Message], None]) -> None:
        self._inbox = inbox
        self._root = root
        self._recursive = recursive
        self._post = post
        self._real = b""
        self._identity: tuple[int, int] | None = None
        self._observer: BaseObserver | None = None
        self._lock = threading.Lock()
        self._blind: dict[bytes, str] = {}
        self._lost = ""

    @property
    def blind(self) -> frozenset[bytes]:
        """Sub-folders without a watch (relative): they need to be walked on a timer."""
        with self._lock:
            return frozenset(self._blind)

    @property
    def blind_why(self) -> str:
        """Why the first of them has none, as a sentence with what to do; empty when all have one."""
        with self._lock:
            return next(iter(self._blind.values()), "")

    def start(self) -> bool:
        """Set the watches; walk the inbox after this returns, not before. Slow on a huge tree or hung share.

        Returns:
            False when the folder cannot be watched; a WatchLost with the reason has then been posted.
        """
        try:
            self._real = os.path.realpath(os.fsencode(self._root), strict=True)
            self._identity = self._look()
            self._observer = self._make_observer()
            handler = _Handler(self)
            self._observer.schedule(handler, os.fsdecode(self._real), recursive=self._recursive)
            self._observer.start()
        except OSError as error:
            self.stop()
            self._lose(*explain(self._root, error))
            return False
        if self.blind:
            self._say(Rescan(self._inbox, "some sub-folders could not be watched"))
        return True

    def stop(self) -> None:
        """End the threads and give the watches back; can be called twice, and without a start."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        observer.stop()
        if observer.is_alive():
            observer.join()

    def healthy(self) -> bool:
        """Whether events of the folder that is now at `root` would arrive. Looks at the folder: may hang
        on a hung share, so call it where a scan may be called.
        """
        return self.ailment() == ""

    def ailment(self) -> str:
        """Why it is not healthy, as a sentence; empty when it is."""
        if self._lost:
            return self._lost
        observer = self._observer
        if observer is None or not observer.is_alive():
            return f"{printable(self._root)} is not being watched."
        threads: list[threading.Thread] = list(observer.emitters)
        inotify = getattr(observer, "inotify", None)
        if isinstance(inotify, threading.Thread):
            threads.append(inotify)
        if not observer.emitters or not all(thread.is_alive() for thread in threads):
            return f"The events of {printable(self._root)} stopped."
        try:
            if self._look() != self._identity:
                return f"{printable(self._root)} was replaced by another folder."
        except OSError as error:
            return explain(self._root, error)[0]
        return ""

    def _look(self) -> tuple[int, int]:
        stat = self._root.stat()
        return stat.st_dev, stat.st_ino

    def _make_observer(self) -> BaseObserver:
        if sys.platform == "linux":
            from cutoutd.daemon.watching.inotify import InotifyObserver

            return InotifyObserver(self._on_complaint)
        return Observer()

    # The rest runs on watchdog's threads.

    def on_event(self, event: events.FileSystemEvent) -> None:
        """Turn one event of watchdog's into messages; any error in it is told, none is raised."""
        try:
            self._translate(event)
        except Exception as error:  # an exception here would end watchdog's dispatcher without a word
            log.exception("a file event could not be handled")
            self._lose(f"Handling the events of {printable(self._root)} failed: {error}.", "broken")

    def _translate(self, event: events.FileSystemEvent) -> None:
        source, target = self._relative(event.src_path), self._relative(event.dest_path)
        kind = _FILE_HINTS.get(type(event))
        if kind is not None:
            self._hint(source, kind)
        elif isinstance(event, events.FileMovedEvent):
            self._hint(source, "deleted")
            self._hint(target, "moved")
        elif isinstance(event, events.DirAttribEvent):
            if source in self.blind:
                self._lose(
                    "A folder that could not be watched has changed: the watches are set anew.", "stale"
                )
            elif source is not None and (self._recursive or not source):
                self._say(Rescan(self._inbox, "a folder's permissions changed", source))
        elif type(event) in _FOLDER_EVENTS:
            if isinstance(event, events.DirDeletedEvent) and source == b"":
                self._lose(
                    f"{printable(self._root)} was removed. It is watched again once it is back.", "gone"
                )
            elif self._recursive and not event.is_synthetic:  # the walk of its parent covers a synthetic one
                for path in (source, target):
                    if path:
                        self._say(Rescan(self._inbox, _FOLDER_EVENTS[type(event)], path))

    def _on_complaint(self, complaint: Complaint) -> None:
        """What the event machinery could not do."""
        if complaint.what == "overflow":
            self._say(Rescan(self._inbox, "more file events came than the system keeps"))
        elif complaint.what == "unmounted":
            self._on_unmount()
        elif complaint.what == "broken":
            self._lose(
                f"Watching {printable(self._root)} failed: {complaint.error}. It is started anew.", "broken"
            )
        elif (path := self._relative(complaint.path)) and isinstance(complaint.error, OSError):
            why, _ = explain(Path(os.fsdecode(complaint.path)), complaint.error)
            with self._lock:
                self._blind.setdefault(path, why)
            self._say(Rescan(self._inbox, why, path))

    def _on_unmount(self) -> None:
        with suppress(OSError):
            if self._look() == self._identity:
                self._say(Rescan(self._inbox, "a file system below the inbox was unmounted"))
                return
        self._lose(f"{printable(self._root)} was unmounted. It is watched again once it is back.", "gone")

    def _hint(self, path: bytes | None, kind: HintKind) -> None:
        if path:
            self._say(Hint(self._inbox, path, kind))

    def _lose(self, why: str, code: Literal["gone", "limit", "denied", "broken", "stale"]) -> None:
        self._lost = why
        self._say(WatchLost(self._inbox, why, code))

    def _say(self, message: Message) -> None:
        try:
            self._post(message)
        except Exception:  # the receiver's failure is no reason to stop watching; healthy() tells it
            log.exception("a message about a file could not be delivered")
            self._lost = f"Messages about {printable(self._root)} could not be delivered."

    def _relative(self, path: bytes | str) -> bytes | None:
        """Path below the inbox: empty for the inbox itself, None when outside or not given."""
        full = os.fsencode(path)
        if full == self._real:
            return b""
        prefix = self._real.rstrip(b"/") + b"/"
        return full[len(prefix) :] if full.startswith(prefix) else None


class _Handler(events.FileSystemEventHandler):
    """Watchdog's side of a Watcher."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Every event, whatever its type."""
        self._watcher.on_event(event)


def retry_after_s(failures: int) -> float:
    """How long to wait before a watcher that failed so often in a row is started again: 1 s up to 1 h.

    Setting watches on a large tree each minute, only to hit the limit again, would cost a whole core.
    """
    return float(min(2 ** min(max(failures - 1, 0), 12), 3600))


def explain(folder: Path, error: OSError) -> tuple[str, Literal["gone", "limit", "denied", "broken"]]:
    """A refused watch as a sentence for people, with what to do, and its code."""
    name = printable(folder)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{name} does not exist. It is watched as soon as it is back.", "gone"
    if error.errno in (errno.EACCES, errno.EPERM):
        fix = (
            "Allow it in System Settings, Privacy & Security, Files and Folders."
            if sys.platform == "darwin"
            else "Give this user read and enter permission (chmod u+rx) on it."
        )
        return f"{name} may not be read. {fix}", "denied"
    if error.errno == errno.ENOSPC:  # of watches, not of the disk
        return _limit_sentence(name, "watched folders", "max_user_watches", 524288), "limit"
    if error.errno == errno.EMFILE:
        return _limit_sentence(name, "programs watching folders", "max_user_instances", 1024), "limit"
    return f"{name} cannot be watched: {error.strerror or error}.", "broken"


def _limit_sentence(name: str, what: str, setting: str, better: int) -> str:
    try:
        now = Path(f"/proc/sys/fs/inotify/{setting}").read_text("ascii").strip()
    except OSError:
        now = "unknown"
    return (
        f"{name} cannot be watched: the system's limit of {what} is reached (now {now}). "
        f"Raise it with `sudo sysctl fs.inotify.{setting}={better}`, and keep it by writing that setting "
        "into a file in /etc/sysctl.d. Until then the folder is walked from time to time."
    )


_PROBE = ".cutoutd-probe-"
_LEFT_PROBE = re.compile(rb"\.cutoutd-probe-[0-9a-f]{16}")


def probe_events(root: Path, timeout_s: float) -> bool:
    """Whether native events can be relied on in a folder.

    Shares are polled by their kind. Elsewhere a hidden file of ours is written and removed, and its event
    awaited for timeout_s seconds; in a folder that may not be written to, the kind alone decides.

    Raises:
        OSError: the folder cannot be looked at.
    """
    if needs_polling(filesystem_kind(root)):
        return False
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    watcher = Watcher("probe", root, recursive=False, post=inbox.put)
    top = os.fsencode(root)
    fs = RealFileSystem(top)
    with fs.scandir(top) as entries:  # of a daemon that was killed in this very second
        left = [entry.path for entry in entries if _LEFT_PROBE.fullmatch(entry.name)]
    for path in left:
        with suppress(OSError):
            fs.unlink(path)
    probe = os.path.join(top, f"{_PROBE}{secrets.token_hex(8)}".encode())
    if not watcher.start():
        return False
    try:
        try:
            fs.close(fs.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except OSError:
            return True  # read-only for us, or full: a local file system's events are taken on trust
        try:
            return _arrives(inbox, os.path.basename(probe), timeout_s)
        finally:
            with suppress(FileNotFoundError):
                fs.unlink(probe)
    finally:
        watcher.stop()


def _arrives(inbox: queue.SimpleQueue[Message], name: bytes, timeout_s: float) -> bool:
    """Whether a hint about name comes within timeout_s seconds, whatever else happens in the folder."""
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        try:
            message = inbox.get(timeout=left)
        except queue.Empty:
            return False
        if isinstance(message, Hint) and message.path == name:
            return True
    return False
