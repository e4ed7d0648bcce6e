"""What one part's news of a file or a folder means for the others; it makes none of them and keeps nothing itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.dispatch.dispatcher import Dispatcher
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.watching.inbox import InboxWatcher


class Told(Protocol):
    """Those whom news concern. They are made one after the other, the first with this already in hand."""

    aftercare: AfterCare
    dispatcher: Dispatcher
    inbox_watchers: dict[bytes, InboxWatcher]
    outboxes: Outboxes
    worker_manager: WorkerManager

    def route(self) -> None:
        """Takes up what is known of the outboxes by now."""
        ...


class News:
    """Hears of files, inboxes and outboxes, and has each of the others do what that means for it.

    Args:
        told: the others.
        listener: hears when an outbox can be used again, and of files that are no photos.
    """

    def __init__(self, told: Told, listener: Listener) -> None:
        self._told = told
        self._listener = listener

    # --- of a file -------------------------------------------------------------------------------------------

    def file_complete(self, photo: int) -> None:
        """What was made of it may be published."""
        self._told.dispatcher.completion.settle(photo)

    def file_gone(self, photo: int) -> None:
        """Nothing is owed for it any more."""
        self._told.dispatcher.completion.gone(photo)

    def photo_stirs(self) -> None:
        """Workers that were unloaded start while it settles."""
        self._told.worker_manager.wake()

    def left_alone(self, suffix: str) -> None:
        """Said by its kind and not by its name, which the log may have to keep to itself."""
        self._listener.notice(
            f"No photo by its name: a {suffix} file is left alone, and so are others of its kind."
        )

    # --- of an inbox -----------------------------------------------------------------------------------------

    def inbox_open(self, path: Path, inode: tuple[int, int]) -> None:
        """Workers are bound to it, and what its originals are owed goes on."""
        told = self._told
        told.worker_manager.folder_lost(path)  # opened again means that it was lost
        told.worker_manager.folder_open(path, inode)
        told.aftercare.look_for_orphans(os.fsencode(path))
        if told.worker_manager.warm:
            told.aftercare.resume()

    def inbox_silent(self, path: Path, why: str) -> None:
        """A worker that waits for a dead share is of no use to others, and a new one must not be bound to it."""
        told = self._told
        told.worker_manager.folder_hangs(path)
        told.dispatcher.outbox_refusals.trouble(os.fsencode(path), why.rstrip("."))
        told.dispatcher.take_from_workers(lambda one: one.path == path)

    def inbox_answers(self, path: Path, inode: tuple[int, int]) -> None:
        """Its photos are taken up again, unless their outbox is away."""
        told = self._told
        told.worker_manager.folder_open(path, inode)
        one = told.dispatcher.plan.inbox(os.fsencode(path))
        if one is not None and one.settings.outbox not in told.outboxes.troubles():
            told.dispatcher.outbox_refusals.usable([one.key])

    # --- of an outbox ----------------------------------------------------------------------------------------

    def outbox_open(self, path: Path, inode: tuple[int, int]) -> None:
        """Photos that go there are taken up again, and what was being published goes on."""
        told = self._told
        told.worker_manager.folder_open(path, inode)
        told.route()
        keys = self.whose(path)
        for key in keys:
            told.dispatcher.outbox_refusals.outbox_takes(key)
        if self.go_on(keys):
            self._listener.notice(f"The outbox {path} can be used again.")

    def outbox_down(self, path: Path, why: str) -> None:
        """Photos that go there wait, and none of them is at fault."""
        for key in self.whose(path):
            self._told.dispatcher.outbox_refusals.outbox_refuses(key)
        self._told.dispatcher.outbox_refusals.outbox_down(path, why)

    def outbox_silent(self, path: Path) -> None:
        """A worker that waits for a dead share is of no use to others, and a new one must not be bound to it."""
        self._told.worker_manager.folder_hangs(path)
        self._told.dispatcher.take_from_workers(lambda one: one.outbox == path)

    def temporaries_to_keep(self) -> frozenset[bytes]:
        """Temporaries that are still to be published, or are being written now."""
        dispatcher = self._told.dispatcher
        return dispatcher.transitions.promised_temporaries() | dispatcher.hands.temporaries()

    def whose(self, outbox: Path) -> set[bytes]:
        """The inboxes whose cutouts go there."""
        return {one.key for one in self._told.dispatcher.plan.inboxes if one.settings.outbox == outbox}

    def go_on(self, inboxes: set[bytes]) -> bool:
        """Their outbox is open. Returns whether photos of theirs waited for one."""
        told = self._told
        waited = told.dispatcher.outbox_refusals.usable(
            {key for key in inboxes if not told.inbox_watchers[key].silent}
        )
        if inboxes and told.worker_manager.warm:
            told.dispatcher.completion.resume_deliveries(inboxes)
        return waited
