"""What becomes of originals: after-care planned, committed, done, and tried again; it publishes no cutouts.

Each step is committed to the ledger before it is done on the inbox's I/O thread. An inbox has few originals under
way at a time; the others wait here, so that looks at its fresh photos never queue behind a whole backlog. All methods
run in the supervisor's loop.
"""

from __future__ import annotations

import errno
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from cutoutd.config.errors import Reason, printable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.folders import make_folder
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.mounts import MountIdentity, identify, inode_of, really_there
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import PhotoRow, State
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals import move
from cutoutd.daemon.originals.retry_queue import NEVER, RetryQueue


class AfterCare:
    """Archives, trashes, or moves failed originals.

    Args:
        ledger: where plans and outcomes are committed.
        outcomes: the rows' life.
        instance: id in our hidden names.
        folder_mode: permission bits of an archive that is made.
        on_warning: called with a sentence when an original could not be moved.
        on_folder: called with each archive or folder for failed photos that is used, and its device and inode.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        transitions: Transitions,
        *,
        instance: str,
        folder_mode: int = 0o755,
        on_warning: Callable[[str], None],
        on_folder: Callable[[Path, tuple[int, int]], None] = lambda _folder, _inode: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._intake = Intake(ledger)
        self._history = History(ledger)
        self._instance = instance
        self._folder_mode = folder_mode
        self._on_warning = on_warning
        self._on_folder = on_folder
        self._inodes: dict[Path, tuple[int, int]] = {}
        self._clock = clock
        self._inboxes: dict[bytes, tuple[Inbox, IoThread]] = {}
        self._keep_names = True
        self._retries: defaultdict[bytes, RetryQueue] = defaultdict(RetryQueue)
        self._putting_aside: set[int] = set()
        self._noteless = ""

    def configure(self, inboxes: Mapping[bytes, tuple[Inbox, IoThread]], *, keep_names: bool) -> None:
        """Sets the inboxes, each with the I/O thread of its folder, and whether finished rows keep names."""
        self._inboxes = dict(inboxes)
        self._keep_names = keep_names

    def busy(self) -> int:
        """How many originals are being moved at this moment."""
        return len(self._putting_aside) + sum(len(retries.under_way) for retries in self._retries.values())

    def next_due(self) -> float:
        """Monotonic time at which failed after-care is tried again, or infinity."""
        return min((retries.retry_at for retries in self._retries.values()), default=NEVER)

    def tick(self, now: float) -> None:
        """Tries again what failed."""
        for inbox, retries in self._retries.items():
            if now >= retries.retry_at:
                self._resume(inbox, retries)

    def resume(self) -> None:
        """Goes on with all after-care that is owed: after a start or an inbox's return."""
        for inbox in self._inboxes:
            self._resume(inbox, self._retries[inbox])

    def _resume(self, inbox: bytes, retries: RetryQueue) -> None:
        if inbox not in self._inboxes:
            retries.drop()
            return
        retries.owed(self._transitions.aftercare_owed(inbox))
        retries.retry()
        self._go_on(retries)

    # --- originals of finished photos ------------------------------------------------------------------------

    def after(self, photo: int) -> None:
        """Archives or trashes the original of a finished photo as soon as it is its turn."""
        row = self._intake.get(photo)
        if row is None or row.inbox not in self._inboxes:
            return
        retries = self._retries[row.inbox]
        retries.owed([photo])
        if not retries.stuck:
            self._go_on(retries)

    def _go_on(self, retries: RetryQueue) -> None:
        """Takes up those whose turn it is; whatever ends one comes back here, or the clock does."""
        while (photo := retries.next()) is not None:
            self._care(photo)
        if not retries.under_way and not retries.failed:
            retries.calm()

    def _care(self, photo: int) -> None:
        """The first step, or the one where a crash left off."""
        row = self._intake.get(photo)
        there = None if row is None else self._inboxes.get(row.inbox)
        if row is None or there is None or row.path is None or row.state != State.DONE:
            return
        inbox, io = there
        root = os.fsencode(inbox.path)
        original = os.path.join(root, row.path)
        hidden = row.hidden_name or os.path.join(root, move.hidden_name(row.path, self._instance, row.id))
        self._retries[row.inbox].under_way.add(photo)
        if inbox.after.action == "keep":  # the setting changed meanwhile
            io.call(
                lambda: move.give_back(hidden, original, for_good=True),
                lambda _value, error: self._kept(row, error),
            )
            return
        if row.aftercare == "owed":
            with self._ledger.durably():
                self._transitions.aftercare(row.id, "hidden", hidden=hidden)
        archive = None if inbox.after.action == "trash" else inbox.after.archive
        mounts = self._mounts(inbox.path, archive)
        digest, relative, planned = row.digest or "", row.path, row.archived_to or b""

        def hide() -> tuple[move.Ready, MountIdentity | None]:
            _must_be_there(inbox.path, mounts.get(inbox.path))
            found = None if archive is None else self._open_folder(archive, mounts.get(archive))
            target = None if archive is None else os.fsencode(archive)
            ready = move.hide(original, hidden, digest, archive=target, relative=relative, planned=planned)
            return ready, found

        io.call(hide, lambda value, error: self._hidden(row, original, hidden, value, error))

    def _mounts(self, *folders: Path | None) -> dict[Path, MountIdentity]:
        found: dict[Path, MountIdentity] = {}
        for folder in folders:
            if folder is None:
                continue
            row = self._ledger.one("SELECT mount FROM folders WHERE path = ?", (os.fsencode(folder),))
            if row is not None:
                found[folder] = MountIdentity.from_json(row["mount"])
        return found

    def _open_folder(self, folder: Path, recorded: MountIdentity | None) -> MountIdentity:
        """On the I/O thread: made when it was never seen, else it must be the one that was seen."""
        if recorded is None:
            make_folder(folder, self._folder_mode)
        _must_be_there(folder, recorded)
        self._inodes[folder] = inode_of(folder) or (0, 0)
        return identify(folder)

    def _record(self, folder: Path, identity: MountIdentity) -> None:
        self._on_folder(folder, self._inodes[folder])
        self._ledger.write(
            "INSERT OR REPLACE INTO folders (path, mount) VALUES (?, ?)",
            (os.fsencode(folder), identity.to_json()),
        )

    def _hidden(
        self,
        row: PhotoRow,
        original: bytes,
        hidden: bytes,
        value: tuple[move.Ready, MountIdentity | None] | None,
        error: BaseException | None,
    ) -> None:
        there = self._inboxes.get(row.inbox)
        if value is None or there is None:
            self._put_off(row, original, hidden, error)
            return
        inbox, io = there
        ready, archive = value
        if archive is not None and inbox.after.archive is not None:
            self._record(inbox.after.archive, archive)
        if ready.step in (move.Step.GONE, move.Step.REPLACED):
            # Somebody moved or replaced it: what lies there now is theirs, and a new photo if it is one.
            self._transitions.aftercare(row.id, "none")
            self._go_on(self._ended(row))
            return
        if ready.step is move.Step.MOVED:
            self._moved(row, ready.target)
            return
        with self._ledger.durably():
            self._transitions.aftercare(row.id, "hidden", hidden=hidden, to=ready.target)
        trash = inbox.after.action == "trash"
        digest = row.digest or ""

        def moved(done: bool | None, error: BaseException | None) -> None:
            if done is None:
                self._put_off(row, original, hidden, error)
            elif done:
                self._moved(row, ready.target)
            else:  # the place was taken meanwhile
                retries = self._ended(row)
                self._care(row.id)
                self._go_on(retries)

        io.call(lambda: move.move(original, hidden, ready.target, digest, trash=trash), moved)

    def _moved(self, row: PhotoRow, target: bytes) -> None:
        self._transitions.aftercare(row.id, "done", to=target)
        if not self._keep_names:
            self._history.drop_names(row.id)
        retries = self._ended(row)
        retries.went_well()
        self._go_on(retries)

    def _kept(self, row: PhotoRow, error: BaseException | None) -> None:
        if error is not None:
            self._later(row, str(error))
            return
        self._transitions.aftercare(row.id, "none")
        retries = self._ended(row)
        retries.went_well()
        self._go_on(retries)

    def _ended(self, row: PhotoRow) -> RetryQueue:
        retries = self._retries[row.inbox]
        retries.under_way.discard(row.id)
        return retries

    def _put_off(self, row: PhotoRow, original: bytes, hidden: bytes, error: BaseException | None) -> None:
        """Back to its name with the original, which nobody may miss while an archive is full or away."""
        why = getattr(error, "strerror", None) or str(error)
        there = self._inboxes.get(row.inbox)
        if there is None:
            self._ended(row)  # it stays owed until its inbox is back in the config
            return

        def given(back: bool | None, _error: BaseException | None) -> None:
            if back:
                self._transitions.aftercare_again(row.id)
            self._later(row, why)

        there[1].call(lambda: move.give_back(hidden, original, for_good=False), given)

    def _later(self, row: PhotoRow, why: str) -> None:
        self._transitions.aftercare_failed(row.id, why)
        retries = self._ended(row)
        retries.went_wrong(row.id, self._clock())
        if why != retries.warned:
            retries.warned = why
            self._on_warning(
                f"An original could not be moved ({why}); it stays in the inbox and it is tried again."
            )
        if not retries.stuck:
            self._go_on(retries)

    # --- originals that a lost ledger left hidden --------------------------------------------------------------

    def look_for_orphans(self, inbox: bytes) -> None:
        """Once per ledger and inbox: originals that an earlier, lost ledger had hidden get their names back."""
        name = f"orphans sought in {inbox.hex()}"
        there = self._inboxes.get(inbox)
        if there is None or self._ledger.get_meta(name) is not None:
            return
        known = frozenset(
            row["hidden_name"]
            for row in self._ledger.read("SELECT hidden_name FROM photos WHERE hidden_name IS NOT NULL")
        )

        def sought(found: int | None, error: BaseException | None) -> None:
            if error is not None:
                return  # sought again when the inbox is opened again
            self._ledger.set_meta(name, 1)
            if found:
                self._on_warning(
                    f"{found} originals in {printable(inbox)} that were on their way to the archive are back."
                )

        root = os.fsencode(there[0].path)
        there[1].call(lambda: move.restore_orphans(root, self._instance, known), sought)

    # --- originals of failed photos ------------------------------------------------------------------------------

    def failed(self, row: PhotoRow, reason: Reason, detail: str) -> None:
        """Moves a failed original to the folder for such, where one is set."""
        there = self._inboxes.get(row.inbox)
        if there is None or there[0].after.failed is None or row.path is None or row.archived_to:
            return
        inbox, io = there
        folder, relative = there[0].after.failed, row.path
        mounts = self._mounts(inbox.path, folder)
        original = os.path.join(os.fsencode(inbox.path), relative)
        text = f"{reason}: {detail}"

        def put_aside() -> tuple[move.Aside | None, MountIdentity]:
            _must_be_there(inbox.path, mounts.get(inbox.path))
            found = self._open_folder(folder, mounts.get(folder))
            facts = os.lstat(original)
            if not row.is_of(facts.st_size, facts.st_mtime_ns, facts.st_ino):
                return None, found  # a newer photo lies there by now
            return move.move_failed(original, os.fsencode(folder), relative, text), found

        def moved(value: tuple[move.Aside | None, MountIdentity] | None, error: BaseException | None) -> None:
            self._putting_aside.discard(row.id)
            if value is None:
                if not isinstance(error, FileNotFoundError):
                    self._on_warning(
                        f"A failed original could not be moved ({error}); it stays in the inbox."
                    )
                return
            self._record(folder, value[1])
            if value[0] is not None:
                self._transitions.moved_failed(row.id, value[0].target)
                self._tell_noteless(value[0])

        self._putting_aside.add(row.id)
        io.call(put_aside, moved)

    def _tell_noteless(self, aside: move.Aside) -> None:
        """Once per cause: on a full disk no failed original has a note."""
        if aside.noteless and aside.noteless != self._noteless:
            self._on_warning(
                f"The failed original {printable(aside.target)} was moved, but the note that says why it failed"
                f" could not be written beside it ({aside.noteless}); `cutoutd failures` says it."
            )
        self._noteless = aside.noteless


def _must_be_there(folder: Path, recorded: MountIdentity | None) -> None:
    there, why = really_there(folder, recorded)
    if not there:
        raise OSError(errno.ENODEV, why)
