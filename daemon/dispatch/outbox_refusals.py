"""An outbox did not take a cutout: whether it, a folder in it, the name, or the photo's worker is at fault.

The outboxes as folders are `delivery/outboxes.py`'s. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct, field

from cutoutd.config.errors import Reason, printable
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.backoff import backoff_s
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.delivery.outcomes import OF_THE_NAME, OF_THE_SIZE, OF_THE_WHOLE, SIZE_FIX
from cutoutd.daemon.dispatch.claims import ROOM_BYTES, Claims
from cutoutd.daemon.dispatch.failures import Failures
from cutoutd.daemon.dispatch.hands import Hands
from cutoutd.daemon.dispatch.worker_manager import WorkerManager
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.story import Story
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.retry_rules import RetryRule
from cutoutd.daemon.ledger.states import OWED, State
from cutoutd.daemon.ledger.transitions import Transitions

NAME_FIX = (
    "Give the photo a shorter or plainer name; where a link lies, make it a folder; then `cutoutd retry` it."
)

# A photo whose place in the outbox was refused waits so long, doubled each time, up to the second.
REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S = 2.0, 300.0
NO_PLACE = RetryRule(3, REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S)


class _Refused(Struct, frozen=True):
    """What a worker claims: the errno, the folders in the outbox that it was to write to, and whether a large network
    worked on the photo.
    """

    code: int
    inside: list[bytes]
    large: bool


class OutboxRefusals(Struct):
    """Photos whose cutouts were refused, until a probe of the outbox tells; and inboxes that wait for an outbox.

    Attributes:
        paused: why photos of an inbox wait, by its path.
    """

    hands: Hands
    failures: Failures
    transitions: Transitions
    outboxes: Outboxes
    worker_manager: WorkerManager
    listener: Listener
    paused: dict[bytes, str] = field(default_factory=dict[bytes, str])
    # Photos that wait for room in a folder of their outbox that is a disk of its own, with that folder and why.
    _for_room: dict[int, tuple[bytes, str]] = field(default_factory=dict[int, tuple[bytes, str]])
    # Photos whose place refused this process, which the next probe will judge, with why.
    _to_probe: dict[bytes, dict[int, str]] = field(default_factory=dict[bytes, dict[int, str]])
    # What workers claim of outboxes as a whole and nobody else has seen; and what the next probe will judge, by photo.
    _troubles: Claims = field(default_factory=Claims)
    _to_prove: dict[bytes, dict[int, _Refused]] = field(default_factory=dict[bytes, dict[int, _Refused]])

    def follow(self) -> None:
        """Another plan is in force: nobody waits in inboxes that are no longer in the config."""
        wanted = {one.key for one in self.hands.plan.inboxes}
        self.paused = {key: why for key, why in self.paused.items() if key in wanted}

    def took(self, photo: int) -> None:
        """A worker wrote its cutout: what it claimed before is forgotten."""
        self._troubles.forget(photo)
        self._for_room.pop(photo, None)

    def trouble_of(self, inbox: bytes) -> str:
        """Why photos of an inbox wait, all of them or some; empty when none does."""
        for photo in list(self._for_room):
            row = self.hands.row(photo)
            if row is None or row.state not in OWED:
                del self._for_room[photo]
            elif row.inbox == inbox and inbox not in self.paused:
                folder, why = self._for_room[photo]
                return f"photos that go to {printable(folder)}, a disk of its own, wait: {why}"
        return self.paused.get(inbox, "")

    def said(self, row: PhotoRow, code: int, why: str, temporaries: Sequence[bytes], *, large: bool) -> None:
        """A worker says that the outbox does not take the cutout.

        Args:
            row: of the photo.
            code: the errno.
            why: the same in words.
            temporaries: what it was to write.
            large: a large network worked on it.
        """
        if code in OF_THE_NAME:
            self.name_refused(row, "a link lies in its place" if code == errno.ELOOP else os.strerror(code))
            return
        if code == OF_THE_SIZE:
            self.failures.tried(row, Reason.CANNOT_RENDER, f"{why}. {SIZE_FIX} Then `cutoutd retry` it.")
            return
        inside = list(dict.fromkeys(os.path.dirname(name) for name in temporaries))
        self._to_prove.setdefault(row.inbox, {})[row.id] = _Refused(code, inside, large)
        self.place_refused(row, code, why, inside)

    def name_refused(self, row: PhotoRow, why: str) -> None:
        """The outbox cannot hold this one cutout's name or path; others are not held up by it."""
        now = self.hands.row(row.id)
        if now is None or now.state not in (State.PENDING, State.RUNNING):
            return  # another photo lies at its path by now
        folder = printable(os.path.dirname(row.path or b""))
        named = f" ({folder})" if folder else ""
        detail = f"The outbox refuses the name or the folder{named} of its cutout: {why}."
        self.failures.tried(row, Reason.CANNOT_RENDER, f"{detail} {NAME_FIX}")

    def place_refused(
        self, row: PhotoRow, code: int, why: str, inside: Sequence[bytes] = (), *, seen: bool = False
    ) -> None:
        """The outbox, or only a folder in it, does not take this cutout: which of them, a probe of the outbox shows.

        The photo waits meanwhile, and longer each time, so that it is not the first to be tried again.

        Args:
            row: of the photo.
            code: the errno.
            why: the same in words.
            inside: folders in the outbox that it was to lie in, as far as they are known.
            seen: this process met it, beside probes of the outbox that went well; unset, a worker only says so.
        """
        now = self.hands.row(row.id)
        if now is None or now.state not in (State.PENDING, State.RUNNING):
            return  # another photo lies at its path by now
        refusals = self.failures.refusals.get(row.id, 0) + 1
        self.failures.refusals[row.id] = refusals
        self.transitions.again(row.id, pause_s=backoff_s(refusals, REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S))
        inbox = self.hands.plan.inbox(row.inbox)
        whole = code in OF_THE_WHOLE and not (seen and self._has_room(row))
        if inbox is None or (whole and not self._wait_for_room(row, code, why, inside)):
            self.outbox_trouble(row.inbox, why)
            return
        if seen:
            self._to_probe.setdefault(row.inbox, {})[row.id] = os.strerror(code)
        self.outboxes.probe(inbox.settings.outbox)

    def _wait_for_room(self, row: PhotoRow, code: int, why: str, inside: Sequence[bytes]) -> bool:
        """Whether a photo waits alone, because what is full is a disk of its own in the outbox; tells of each once."""
        inbox = self.hands.plan.inbox(row.inbox)
        if inbox is None or code not in (errno.ENOSPC, errno.EDQUOT):
            return False
        outbox = os.fsencode(inbox.settings.outbox)
        folder = run_with_timeout(LOOK_S, lambda: on_another_disk(outbox, inside), otherwise=b"")
        if not folder:
            return False
        known = any(folder == other for other, _ in self._for_room.values())
        self._for_room[row.id] = folder, why
        if not known:
            self.listener.warning(
                f"Photos that go to {printable(folder)}, a disk of its own, wait: {why.removesuffix('.')}."
                " Nothing is lost; they go on by themselves, and the others do so now."
            )
        return True

    def outbox_takes(self, inbox: bytes) -> None:
        """The probe of an inbox's outbox went well: those whose path it refused are themselves at fault.

        What only workers met is tried by this process first.
        """
        for photo, claim in self._to_prove.pop(inbox, {}).items():
            Story(self._try_folders(photo, claim), self.failures.paid_by(photo))
        for photo, why in self._to_probe.pop(inbox, {}).items():
            with self.failures.alone(photo):
                row = self.hands.row(photo)
                if row is not None and row.state == State.PENDING:
                    self._has_no_place(row, why)

    def outbox_refuses(self, inbox: bytes) -> None:
        """The outbox as a whole is in trouble: no photo is at fault."""
        self._to_probe.pop(inbox, None)
        for photo in self._to_prove.pop(inbox, {}):
            self._troubles.forget(photo)

    async def _try_folders(self, photo: int, claim: _Refused) -> None:
        """The outbox takes files; whether the photo's own folder in it does, tells who is right: its worker or we.

        A worker may be bound to what lay under the outbox's name in the moment when it started, before a mount.
        """
        row = self.hands.row(photo)
        one = None if row is None else self.hands.plan.inbox(row.inbox)
        whole = claim.code in OF_THE_WHOLE
        if (
            row is None
            or one is None
            or row.state != State.PENDING
            or (whole and not self._has_room(row, claim.inside))
        ):
            self._troubles.forget(photo)
            return
        why = await self.outboxes.refusal(one.settings.outbox, claim.inside)
        row = self.hands.row(photo)
        if row is None or row.state != State.PENDING:
            self._troubles.forget(photo)
        elif why:
            self._troubles.forget(photo)
            self._has_no_place(row, why)
        elif not whole:
            self.worker_manager.recycle()
            self._has_no_place(
                row, f"{os.strerror(claim.code)}, though only for its worker: workers start anew"
            )
        elif self._troubles.unseen(photo):
            self.failures.like_a_death(row, "its outbox was full or broken", large=claim.large)

    def _has_no_place(self, row: PhotoRow, why: str) -> None:
        """Counts a refusal; the photo is sound, so that its original stays where it is even when it fails."""
        folder = printable(os.path.dirname(row.path or b"")) or "the outbox itself"
        detail = (
            f"The outbox takes other cutouts, but not this one ({why}). See whether {folder} there is a folder"
            " that may be written; then `cutoutd retry` makes it."
        )
        if self.transitions.tried(row, Reason.CANNOT_RENDER, detail, NO_PLACE):
            self.listener.photo_retry(self.hands.event(row, reason=Reason.CANNOT_RENDER, detail=detail))
            return
        self.failures.refusals.pop(row.id, None)
        self.listener.photo_failed(self.hands.event(row, reason=Reason.CANNOT_RENDER, detail=detail))

    def _has_room(self, row: PhotoRow, inside: Sequence[bytes] = ()) -> bool:
        """Whether its outbox, as this process sees it, holds more than any cutout needs.

        So do folders in it that are there, each of which may be another disk.
        """
        inbox = self.hands.plan.inbox(row.inbox)
        if inbox is None:
            return False
        outbox = os.fsencode(inbox.settings.outbox)
        fs = RealFileSystem(outbox)

        def least() -> int:
            """What the fullest of them can still take."""
            return min(fs.free_bytes(one) for one in (outbox, *inside) if fs.exists(one))

        try:
            free = run_with_timeout(LOOK_S, least, otherwise=0)
        except (OSError, ValueError):
            return False
        return free > ROOM_BYTES

    def outbox_trouble(self, inbox: bytes, why: str) -> None:
        """Its outbox cannot be written now: it is tried again after a pause, and whatever goes there waits."""
        one = self.hands.plan.inbox(inbox)
        if one is not None:
            self.outboxes.failed(one.settings.outbox, why)
            self.outbox_down(one.settings.outbox, why)

    def outbox_down(self, path: Path, why: str) -> None:
        """An outbox cannot be used: all inboxes whose cutouts go there pause."""
        self.worker_manager.folder_lost(path)
        for one in self.hands.plan.inboxes:
            if one.settings.outbox == path:
                self.trouble(one.key, why)

    def trouble(self, inbox: bytes, why: str) -> None:
        """An outbox cannot be used: its inbox pauses until it can; no photo is at fault."""
        if inbox not in self.paused:
            self.listener.warning(
                f"Photos of {printable(inbox)} wait: {why.removesuffix('.')}. Nothing is lost; it goes on by itself."
            )
        self.paused[inbox] = why

    def usable(self, inboxes: Collection[bytes]) -> bool:
        """Their folders can be used: photos are taken up again. Returns whether any of them waited."""
        waited = [self.paused.pop(key, None) for key in inboxes]
        return any(why is not None for why in waited)


def on_another_disk(outbox: bytes, inside: Sequence[bytes]) -> bytes:
    """The first of these folders in an outbox that lies on another file system than the outbox; empty when none does.

    Of a folder that is still to be made, the one above it counts.
    """
    try:
        fs = RealFileSystem(outbox)
        own = fs.stat(outbox).st_dev
        for one in inside:
            there = one
            while there != outbox and not fs.exists(there):
                there = os.path.dirname(there)
            if fs.stat(there).st_dev != own:
                return there
    except (OSError, ValueError):
        pass  # it is away, or one of them lies elsewhere
    return b""
