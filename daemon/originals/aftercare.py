"""What becomes of originals: after-care planned, committed, done, and tried again; it publishes no cutouts.

Each original's story is one coroutine (`_care_for`): look, commit the intent, hide, commit the place, move, commit the
result, with what touches files on the inbox's I/O thread. An inbox has few originals under way at a time; the others
wait here, so that looks at its fresh photos never queue behind a whole backlog. All methods run in the supervisor's
loop.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from cutoutd.config.errors import Reason, put_aside
from cutoutd.config.settings import Inbox
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.copying import digest_at_rest
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.folders import lies_elsewhere
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.mounts import (
    needs_polling,
)
from cutoutd.daemon.files.story import Calls, Story, run
from cutoutd.daemon.files.usable import must_be_usable
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import alone
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.originals import aftercare_owed
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare, State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals import giving_back, move
from cutoutd.daemon.originals.destination import Destination, Reached, destination_of, reach
from cutoutd.daemon.originals.left_inboxes import LeftInboxes
from cutoutd.daemon.originals.move import Original, Ready, Step
from cutoutd.daemon.originals.notes import Notes
from cutoutd.daemon.originals.orphans import OrphanSearch
from cutoutd.daemon.originals.retry_queue import RetryQueue
from cutoutd.daemon.originals.setbacks import Setbacks, TooLargeToCopy

# Uploads that break off are resumed within so long, mostly: cameras over Wi-Fi try again every few seconds.
RESUMED_S = 30.0


class AfterCare:
    """Archives, trashes, or moves failed originals.

    Args:
        ledger: where plans and outcomes are committed.
        transitions: the rows' life.
        on_disk: what must be durable before a story goes on is written there.
        instance: id in our hidden names.
        folder_mode: permission bits of folders that are made.
        listener: hears when an original could not be moved.
        post: the supervisor's queue.
        on_folder: called with each archive or folder for failed photos that is used, and its device and inode.
        on_misread: called with a photo whose original holds something else than its worker said, and is untouched.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        transitions: Transitions,
        *,
        on_disk: Calls,
        instance: str,
        folder_mode: int = 0o755,
        listener: Listener,
        post: Callable[[Done], None],
        on_folder: Callable[[Path, tuple[int, int]], None] = lambda _folder, _inode: None,
        on_misread: Callable[[int], None] = lambda _photo: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._on_disk = on_disk
        self._intake = Intake(ledger)
        self._history = History(ledger)
        self._folders = Folders(ledger)
        self._instance = instance
        self._folder_mode = folder_mode
        self._listener = listener
        self._on_folder = on_folder
        self._on_misread = on_misread
        self._misread_now: set[int] = set()
        self._clock = clock
        self._inboxes: dict[bytes, tuple[Inbox, IoThread]] = {}
        self._keep_names = True
        self._largest_copy = sys.maxsize
        self._retries: defaultdict[bytes, RetryQueue] = defaultdict(RetryQueue)
        self._setbacks = Setbacks(transitions, listener, clock, lambda inbox: inbox in self._inboxes)
        self._notes = Notes(listener, folder_mode & 0o666)
        self._orphans = OrphanSearch(transitions, listener, instance)
        self._left = LeftInboxes(
            transitions, self._folders, listener, post=post, clock=clock, over=self._over
        )

    def configure(
        self, inboxes: Mapping[bytes, tuple[Inbox, IoThread]], *, keep_names: bool, largest_copy: int
    ) -> None:
        """Other settings are in force.

        Args:
            inboxes: each with the I/O thread of its folder.
            keep_names: whether finished rows keep names.
            largest_copy: bytes of an original that is still copied to another file system; nothing else is done in
                its inbox meanwhile.
        """
        self._inboxes = dict(inboxes)
        self._keep_names = keep_names
        self._largest_copy = largest_copy
        self._look_after_left()

    def _look_after_left(self) -> None:
        self._left.look(self._inboxes.keys(), self._retries, self._clock())

    def _over(self, inbox: bytes) -> None:
        """What was hidden in an inbox has its name; that may be in the config again by now."""
        if inbox in self._inboxes:
            self._resume(inbox, self._retries[inbox])

    def busy(self) -> int:
        """How many originals are being moved at this moment."""
        return sum(len(retries.under_way) for retries in self._retries.values())

    def next_due(self) -> float:
        """Monotonic time at which after-care is tried again, or infinity."""
        return min([self._left.next_due(), *(retries.next_due() for retries in self._retries.values())])

    def tick(self, now: float) -> None:
        """Tries again what failed, and looks again at what may still have been written."""
        for inbox, retries in self._retries.items():
            if now >= retries.again.at:
                self._resume(inbox, retries)
            elif now >= retries.next_due():
                retries.rested(now)
                self._go_on(retries)
        if now >= self._left.next_due():
            self._look_after_left()

    def resume(self) -> None:
        """Goes on with all after-care that is owed: after a start or an inbox's return."""
        for inbox in self._inboxes:
            self._resume(inbox, self._retries[inbox])

    def _resume(self, inbox: bytes, retries: RetryQueue) -> None:
        if inbox not in self._inboxes:
            retries.drop()
            return
        retries.owed(aftercare_owed(self._ledger, inbox))
        retries.retry()
        self._go_on(retries)

    def after(self, photo: int) -> None:
        """Moves the original of a finished or failed photo as soon as it is its turn."""
        row = self._intake.get(photo)
        if row is None or row.inbox not in self._inboxes:
            return
        retries = self._retries[row.inbox]
        retries.owed([photo])
        if not retries.stuck:
            self._go_on(retries)

    def failed(self, row: PhotoRow) -> None:
        """A photo has failed: where a folder for such is set, its original goes there."""
        there = self._inboxes.get(row.inbox)
        if there is None or there[0].after.failed is None or row.path is None or row.archived_to:
            return
        self._transitions.aftercare(row.id, Aftercare.OWED)
        self.after(row.id)

    def cut_out(self, row: PhotoRow) -> None:
        """A photo has its cutout: where its original lies with the failed ones, the note beside it is true no more."""
        there = self._inboxes.get(row.inbox)
        folder = None if there is None else there[0].after.failed
        if there is not None and folder is not None and row.archived_to is not None:
            Story(self._notes.take_back(there[1], row.archived_to, folder))

    def _go_on(self, retries: RetryQueue) -> None:
        """Takes up those whose turn it is; the end of each comes back here, or the clock does."""
        while (photo := retries.next()) is not None:
            row = self._intake.get(photo)
            there = None if row is None else self._inboxes.get(row.inbox)
            if row is None or there is None or row.path is None or not _may_be_moved(row):
                retries.resting.pop(photo, None)
                continue
            retries.under_way.add(photo)
            Story(self._turn_of(row, row.path, *there, retries))
        if not retries.under_way and not retries.failed:
            retries.calm()

    async def _turn_of(
        self, row: PhotoRow, relative: bytes, inbox: Inbox, io: IoThread, retries: RetryQueue
    ) -> None:
        with alone(lambda error: self._setbacks.later(row, error, retries)):
            await self._care_for(row, relative, inbox, io, retries)
        retries.under_way.discard(row.id)
        if row.id in self._misread_now:  # told only now: what becomes of it may be after-care again
            self._misread_now.discard(row.id)
            self._on_misread(row.id)
        if row.inbox not in self._inboxes:
            self._look_after_left()
        elif not (retries.stuck and row.id in retries.failed):
            self._go_on(retries)

    # --- the story of one original ---------------------------------------------------------------------------

    async def _care_for(
        self, row: PhotoRow, relative: bytes, inbox: Inbox, io: IoThread, retries: RetryQueue
    ) -> None:
        """From a committed cutout, or a named failure, to the original's last place. A crash anywhere resumes here."""
        root = os.fsencode(inbox.path)
        path = os.path.join(root, relative)
        hidden = row.hidden_name or os.path.join(root, move.hidden_name(relative, self._instance, row.id))
        destination = destination_of(row, inbox, self._folders.recorded)
        if destination is None:  # the setting changed meanwhile, or the photo is to be done again
            await self._let_it_stay(row, path, hidden, io, retries)
            return

        # Where the clock was set back since, as far as that: it is no time to wait for besides.
        rested_s = abs(self._ledger.clock() - (row.finished or self._ledger.clock()))
        waits_s = destination.rest_s - rested_s
        patient = bool(row.proven) or waits_s <= 0
        resumed_s = min(RESUMED_S, destination.rest_s) - rested_s if row.reason == Reason.UNREADABLE else 0.0
        digest = row.digest if row.state == State.DONE else None
        original = Original(path, hidden, relative, row.facts, digest, patient, broken_off=resumed_s > 0)
        if original.broken_off:
            waits_s = resumed_s
        try:
            owed = row.aftercare is Aftercare.OWED
            step, original = await run(io, self._look, original, inbox.path, destination, owed=owed)
            if owed:
                if step is not Step.READY:
                    self._setbacks.not_now(row, step, waits_s, retries, hidden=False)
                    return
                if not await run(self._on_disk, self._transitions.hiding, row.id, hidden):
                    # A `redo` came first, and what is made then owes it anew.
                    retries.resting.pop(row.id, None)
                    return

            there = await self._bring_there(row, original, inbox.path, destination, waits_s, io, retries)
        except OSError as error:
            await self._setbacks.put_off(row, original, io, RealFileSystem(root), error, retries)
            return

        if there is None:
            return
        target, fs = there
        self._transitions.aftercare(row.id, Aftercare.DONE, to=target)
        if row.state == State.FAILED:
            await self._notes.leave(io, target, f"{row.reason}: {put_aside(row.detail)}", fs)
        elif not self._keep_names:
            self._history.drop_names(row.id)
        retries.went_well(row.id)

    async def _bring_there(
        self,
        row: PhotoRow,
        original: Original,
        inbox: Path,
        destination: Destination,
        waits_s: float,
        io: IoThread,
        retries: RetryQueue,
    ) -> tuple[bytes, FileSystem] | None:
        """Hides it, commits its place, and moves it there; anew while others take the place meanwhile.

        Returns:
            Its last place, and the file system that knows it; None where it waits, which has been noted then.

        Raises:
            OSError: a folder is in trouble.
        """
        planned = row.archived_to or b""
        while True:
            ready, there = await run(io, self._hide, original, inbox, destination, planned)
            if there.mount is not None and destination.folder is not None:
                self._on_folder(destination.folder, there.inode)
                if there.mount != destination.mounts.get(destination.folder):
                    self._folders.record(destination.folder, there.mount)
            if ready.step is Step.MOVED:
                return ready.target, there.fs
            if ready.step is Step.MISREAD:
                self._setbacks.misread(row, ready.ctime_ns, retries)
                self._misread_now.add(row.id)
                return None
            if ready.step is not Step.READY:
                self._setbacks.not_now(row, ready.step, waits_s, retries, hidden=True)
                return None
            planned = ready.target
            await run(
                self._on_disk,
                self._transitions.aftercare,
                row.id,
                Aftercare.HIDDEN,
                hidden=original.hidden,
                to=planned,
            )
            if await run(io, move.move, original, planned, trash=destination.folder is None, fs=there.fs):
                return planned, there.fs

    async def _let_it_stay(
        self, row: PhotoRow, path: bytes, hidden: bytes, io: IoThread, retries: RetryQueue
    ) -> None:
        planned = row.archived_to or b""
        roots = (row.inbox, os.path.dirname(planned)) if planned else (row.inbox,)
        try:
            back = await run(io, giving_back.bring_back, hidden, path, planned, fs=RealFileSystem(*roots))
        except OSError as error:
            self._setbacks.later(row, error, retries)
            return
        self._transitions.aftercare(row.id, Aftercare.NONE if back else Aftercare.DONE)
        retries.went_well(row.id)

    def _look(
        self, original: Original, inbox: Path, destination: Destination, *, owed: bool
    ) -> tuple[Step, Original]:
        """On the I/O thread: whether it may be moved, and where leases are to be believed."""
        mount = destination.mounts.get(inbox)
        must_be_usable(inbox, mount)
        believed = mount is not None and not needs_polling(mount.fstype)
        fs = RealFileSystem(os.fsencode(inbox))
        device = fs.stat(os.fsencode(inbox)).st_dev
        one = replace(original, device=device if believed else None)
        if not owed:
            return Step.READY, one
        if (
            destination.folder is not None
            and one.facts.size > self._largest_copy
            and lies_elsewhere(destination.folder, device)
        ):
            raise TooLargeToCopy(errno.EFBIG, "it is too large to be copied to another file system")
        return move.look(one, fs), one

    def _hide(
        self, original: Original, inbox: Path, destination: Destination, planned: bytes
    ) -> tuple[Ready, Reached]:
        """On the I/O thread."""
        there = reach(destination, inbox, planned, self._folder_mode)
        ready = move.hide(
            original,
            folder=there.place,
            folder_mode=self._folder_mode,
            planned=planned,
            plain=there.plain,
            fs=there.fs,
        )
        return ready, there

    async def content_of(self, row: PhotoRow) -> str:
        """The digest of what lies under a photo's name in its inbox now; empty when it cannot be read or is written."""
        there = self._inboxes.get(row.inbox)
        if there is None or row.path is None:
            return ""
        path = os.path.join(row.inbox, row.path)
        try:
            return await run(there[1], digest_at_rest, path, RealFileSystem(row.inbox), None)
        except OSError:
            return ""

    # --- originals that a lost or restored ledger left hidden ----------------------------------------------------

    def look_for_orphans(self, inbox: bytes) -> None:
        """At every opening of an inbox: originals that the ledger does not know to be hidden get their names back."""
        there = self._inboxes.get(inbox)
        if there is not None:
            self._orphans.look(inbox, *there)


def _may_be_moved(row: PhotoRow) -> bool:
    """Whether there is anything to do; one that a `redo` met while it was hidden is brought back."""
    if row.aftercare is Aftercare.HIDDEN:
        return True
    return row.state in (State.DONE, State.FAILED) and row.aftercare is Aftercare.OWED
