"""Linux's events through watchdog, made to report what watchdog passes over in silence; decides nothing.

Watchdog logs and goes on when the kernel's queue overflows, when a new sub-folder gets no watch because the
user's limit is reached, when a sub-folder may not be read, and when a file system is unmounted. Each of these
leaves files unseen, so each is told to a `complain` callback here. Only public classes and methods of
watchdog 7.1 are overridden.
"""

from __future__ import annotations

import errno
import logging
import os
import warnings
from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyFullEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
    inotify_init,
)
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

log = logging.getLogger(__name__)

# No IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE: our own reads must not wake us. No IN_MODIFY: a writer makes
# thousands of them, and each ends in a close anyway. IN_ATTRIB: a chmod may make a photo readable.
EVENTS = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_EXCL_UNLINK
)

# How long watchdog holds every later event back to see whether a file that moved away comes back renamed.
# The kernel queues both halves of a rename together, so half a second (its default) only adds delay
# whenever an original is archived; a half that comes too late is a `deleted` and a `moved`, which is as good.
RENAME_HALVES_S = 0.05


class Complaint(Struct, frozen=True):
    """Something that leaves files unseen.

    Attributes:
        what: `overflow`: events were lost; `unwatched`: a folder got no watch; `unmounted`: a file system at
            or below the inbox went away; `broken`: an error inside the event machinery.
        path: the folder, absolute; empty when it is not about one.
        error: the error behind it, if any.
    """

    what: Literal["overflow", "unwatched", "unmounted", "broken"]
    path: bytes = b""
    error: Exception | None = None


class _StopIsNoError(logging.Filter):
    """Keeps one line of watchdog's out of the log: "queue_events() called when the thread is inactive".

    Watchdog stops an emitter from another thread. One that has just read an event, or is just about to wait for
    the next, finds its watch taken away and calls that an error, though nothing went wrong: the watch was to end.
    The probe at each start comes upon it often, since its own file's removal is the last event before its stop.
    What is dropped belongs to a watch that is no more; the walk after a new watch sees the files.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """True for all other lines."""
        return "called when the thread is inactive" not in record.msg


logging.getLogger(InotifyFullEmitter.__module__).addFilter(_StopIsNoError())


class ReportingInotify(InotifyFD):
    """One inotify instance whose failures are told; its thread survives any error in handling an event."""

    def __init__(self, complain: Callable[[Complaint], None]) -> None:
        # Setting a watch anew on a folder made twice in a row is harmless; watchdog warns about it.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._complain = complain
        try:
            super().__init__()
        except OSError:  # its pipe found no room: the instance made before it would be open for ever
            instance = vars(self).get("_inotify_fd")
            if instance is not None:
                os.close(instance)
            raise

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a folder; a refusal is told and then raised, a folder already gone is only raised."""
        try:
            descriptor = super().add_callback(path, mask, callback, id_)
            if descriptor < 0:  # watchdog takes EACCES for success
                super().remove_callbacks([(descriptor, id_)])
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self._complain(Complaint("unwatched", path, error))
            raise
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        """Hand an event on; after an overflow watchdog first sets its watches anew, then it is told."""
        try:
            super().handle_event(event)
        except Exception as error:
            log.exception("handling a file event failed")
            self._complain(Complaint("broken", error=error))
        if event.is_queue_overflow:
            self._complain(Complaint("overflow"))
        elif event.mask & InotifyConstants.IN_UNMOUNT:
            self._complain(Complaint("unmounted"))


class _Emitter(InotifyFullEmitter):
    """Reports renames that come from outside as renames: such a file is complete."""

    def get_event_mask_from_filter(self) -> Mask:
        """The events that the kernel is asked for."""
        return EVENTS


class InotifyObserver(BaseObserver):
    """Watchdog's observer on an inotify instance of its own.

    Args:
        complain: called from several threads; must not raise.

    Raises:
        OSError: EMFILE when the user's limit of inotify instances, or of open files, is reached.
    """

    def __init__(self, complain: Callable[[Complaint], None]) -> None:
        InotifyMoveEventGrouper.delay = RENAME_HALVES_S
        self.inotify = ReportingInotify(complain)
        super().__init__(_Emitter, inotify_fd=self.inotify)

    def on_thread_start(self) -> None:
        """Start reading before the watches are set, so that the kernel's queue drains from the first."""
        self.inotify.start()
        super().on_thread_start()

    def on_thread_stop(self) -> None:
        """End the reading thread too and give its descriptors back."""
        super().on_thread_stop()
        self.inotify.stop()
        if self.inotify.is_alive():
            self.inotify.join()


def can_watch(folder: bytes) -> bool:
    """Whether the kernel would give one more watch, on this folder, to one more instance; it is given back at once."""
    instance = inotify_init()
    if instance == -1:
        return False
    try:
        return inotify_add_watch(instance, folder, EVENTS) != -1
    finally:
        os.close(instance)
