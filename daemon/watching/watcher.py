"""File events of one inbox as hints, and word of every way in which they may be missing; it does no work."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from watchdog import events
from watchdog.observers import Observer

from cutoutd.config.errors import printable, words
from cutoutd.daemon.files.mounts import mounts_below
from cutoutd.daemon.watching.limits import Code, NoEvents, explain
from cutoutd.daemon.watching.settle import HintKind

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

    from cutoutd.daemon.watching.inotify import Complaint

log = logging.getLogger(__name__)

# Folders without a watch that are asked whether they would get one now: each costs four system calls.
TRIED_AT_ONCE = 8


# Python 3.11's own walk, which is watchdog's, goes down one call for each folder in another. The kernel's longest path
# has room for two thousand, and each of them can be made by whoever may write to an inbox.
DEEPEST_WALK = 5000


class Hint(Struct, frozen=True):
    """Something happened at a path. It may be wrong, late or doubled; a stat decides."""

    inbox: str
    path: bytes
    kind: HintKind


class Rescan(Struct, frozen=True):
    """Events may be missing below path (empty: the whole inbox): walk it. The watches already stand."""

    inbox: str
    why: str
    path: bytes = b""


class WatchLost(Struct, frozen=True):
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


class Unwatched(Struct, frozen=True):
    """A folder below the inbox got no watch: only walking finds what comes into it. `Watcher.blind` has them all."""

    inbox: str
    path: bytes


Message = Hint | Rescan | WatchLost | Unwatched

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
        self._mounts: frozenset[tuple[int, str]] = frozenset()
        self._observer: BaseObserver | None = None
        self._lock = threading.Lock()
        self._blind: dict[bytes, NoEvents] = {}
        self._lost = ""
        self._started = False
        self._refusal: NoEvents | None = None

    @property
    def refusal(self) -> NoEvents | None:
        """Why `start` said no; None when it did not."""
        return self._refusal

    @property
    def blind(self) -> frozenset[bytes]:
        """Sub-folders without a watch (relative): they need to be walked on a timer."""
        with self._lock:
            return frozenset(self._blind)

    @property
    def latest_blind(self) -> NoEvents | None:
        """Why the latest of them has none; None when all have one."""
        with self._lock:
            return next(reversed(self._blind.values()), None)

    @property
    def may_see_more(self) -> bool:
        """Whether one of them lacks its watch for a reason that may pass."""
        with self._lock:
            return any(one.may_pass for one in self._blind.values())

    def is_blind(self, path: bytes) -> bool:
        """Whether a file (relative) lies in a sub-folder without a watch, or below one."""
        with self._lock:
            while self._blind and (path := path.rpartition(b"/")[0]):
                if path in self._blind:
                    return True
        return False

    def add_blind(self, path: bytes, why: NoEvents) -> None:
        """A sub-folder (relative) is known to give no events for another reason than a refused watch."""
        with self._lock:
            known = path in self._blind
            self._blind.setdefault(path, why)
        if not known:
            self._say(Unwatched(self._inbox, path))

    def forget_gone(self) -> None:
        """Sub-folders without a watch that are no longer there need none. Looks at them: call it where scans are."""
        gone = [path for path in self.blind if not os.path.isdir(os.path.join(self._real, path))]
        with self._lock:
            for path in gone:
                self._blind.pop(path, None)

    def sees_more_anew(self) -> bool:
        """Whether a new start would watch a sub-folder that has no watch. Looks at them, as `forget_gone` does."""
        self.forget_gone()
        with self._lock:
            left = [path for path, one in self._blind.items() if one.may_pass]
        # One that can be watched is reason enough; a few are asked, since a limit holds for all of them.
        return any(_can_watch(os.path.join(self._real, path)) for path in left[:TRIED_AT_ONCE])

    def start(self) -> bool:
        """Set the watches; walk the inbox after this returns, not before. Slow on a huge tree or hung share.

        Returns:
            False when the folder cannot be watched; a WatchLost with the reason has then been posted.
        """
        try:
            self._real = os.path.realpath(os.fsencode(self._root), strict=True)
            self._identity = self._look()
            self._mounts = self._mounts_below()
            self._observer = self._make_observer()
            sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEPEST_WALK))
            handler = _Handler(self)
            self._observer.schedule(handler, os.fsdecode(self._real), recursive=self._recursive)
            self._observer.start()
        except (OSError, RecursionError) as raised:
            error = raised if isinstance(raised, OSError) else _too_deep()
            self.stop()
            why, code = explain(self._root, error)
            self._refusal = NoEvents(why, code)
            self._lose(why, code)
            return False
        self._started = True
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
        return self.problem() == ""

    def problem(self) -> str:
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
            if self._mounts_below() != self._mounts:
                return f"Something was mounted below {printable(self._root)}, or is no longer."
        except OSError as error:
            return explain(self._root, error)[0]
        return ""

    def _look(self) -> tuple[int, int]:
        stat = self._root.stat()
        return stat.st_dev, stat.st_ino

    def _mounts_below(self) -> frozenset[tuple[int, str]]:
        return mounts_below(self._root) if self._recursive else frozenset()

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
            self._lose(f"Handling the events of {printable(self._root)} failed ({words(error)}).", "broken")

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
                f"Watching {printable(self._root)} failed ({_why(complaint)}). It is started anew.", "broken"
            )
        elif isinstance(complaint.error, OSError):
            self._on_refused_watch(complaint.path, complaint.error)

    def _on_refused_watch(self, folder: bytes, error: OSError) -> None:
        path = self._relative(folder)
        why, code = explain(Path(os.fsdecode(folder)), error)
        if path:
            self.add_blind(path, NoEvents(why, code))
        # Watches are set anew after an overflow, and the inbox's own is refused.
        elif path == b"" and self._started:
            self._lose(why, code)

    def _on_unmount(self) -> None:
        with suppress(OSError):
            if self._look() == self._identity:
                self._say(Rescan(self._inbox, "a file system below the inbox was unmounted"))
                return
        self._lose(f"{printable(self._root)} was unmounted. It is watched again once it is back.", "gone")

    def _hint(self, path: bytes | None, kind: HintKind) -> None:
        if path:
            self._say(Hint(self._inbox, path, kind))

    def _lose(self, why: str, code: Code | Literal["stale"]) -> None:
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


def _too_deep() -> OSError:
    return OSError(errno.ENAMETOOLONG, "its folders are nested too deeply")


def _why(complaint: Complaint) -> str:
    return "for no known reason" if complaint.error is None else words(complaint.error)


def _can_watch(folder: bytes) -> bool:
    """Whether a folder would get a watch now; where the system has no limit on them, yes."""
    if sys.platform != "linux":
        return True
    from cutoutd.daemon.watching.inotify import can_watch

    return can_watch(folder)
