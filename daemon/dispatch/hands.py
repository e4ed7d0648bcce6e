"""Which photo is in whose hand, and what listeners hear of one; who starts and ends it is not decided here.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import printable
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.dispatch.scheduler import Budget
from cutoutd.daemon.events import PhotoEvent
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, PhotoRow, differ
from cutoutd.daemon.plan import InboxPlan, Plan
from cutoutd.daemon.workers import protocol

# Times in whole ticks of this length are those of a file system that knows no finer ones.
COARSE_NS: Final = 10_000_000
# A share's clock may differ from ours by so much.
CLOCKS_DIFFER_S: Final = 3600.0


class InHand(Struct):
    """One photo that a worker has, or whose finished cutout waits for its file to settle."""

    row: PhotoRow
    plan: InboxPlan
    deliverables: tuple[Deliverable, ...]
    known: Mapping[str, int]
    temporaries: tuple[bytes, ...]
    started: float
    finished: protocol.Finished | None = None
    delivering: bool = False
    comparing: bool = False  # its content is being read once more, by us
    gone: bool = False  # its file was seen to be gone while the worker had it
    compared: bool = False  # it is what its worker said
    node: str = ""  # the machine that works on it; empty for this one


@dataclass(slots=True)
class Hands:
    """Photos in hand, by their rows' ids, with the plan in force and what they take of the budget."""

    ledger: Ledger
    plan: Plan
    budget: Budget
    clock: Callable[[], float] = time.monotonic
    photos: dict[int, InHand] = field(default_factory=dict[int, InHand])
    _machines: int = 1
    _intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        """Asks the ledger through one reader."""
        self._intake = Intake(self.ledger)

    def follow(self, plan: Plan) -> None:
        """Another plan is in force."""
        self.plan = plan
        self._resize()

    def share_among(self, machines: int) -> None:
        """So many machines work: each may have as much in hand as the limits say."""
        if machines != self._machines:
            self._machines = machines
            self._resize()

    def _resize(self) -> None:
        limits, machines = self.plan.settings.limits, self._machines
        self.budget.resize(limits.photos_in_flight * machines, limits.megapixels_in_flight * machines)

    def settings_of(self, inbox: bytes) -> Inbox | None:
        """The settings of an inbox; None when it is no longer in the config."""
        one = self.plan.inbox(inbox)
        return None if one is None else one.settings

    def row(self, photo: int) -> PhotoRow | None:
        """What the ledger says of it now."""
        return self._intake.get(photo)

    def large(self, photo: int) -> bool:
        """Whether a large network works on a photo in hand."""
        hand = self.photos.get(photo)
        return hand is not None and hand.plan.large(hand.row.stage)

    def let_go(self, photo: int) -> None:
        """Nobody has it in hand any more."""
        self.photos.pop(photo, None)
        self.budget.release(photo)

    def at_work(self) -> bool:
        """Whether any of them is with a worker, being compared or published, and does not only wait to settle."""
        return any(
            hand.finished is None or hand.comparing or hand.delivering for hand in self.photos.values()
        )

    def inboxes_in_use(self, now: float, longer_than_s: float) -> list[Inbox]:
        """Inboxes of photos that have been in hand for longer than so many seconds."""
        hands = self.photos.values()
        found = {hand.plan.key: hand.plan.settings for hand in hands if now - hand.started > longer_than_s}
        return list(found.values())

    def temporaries(self) -> frozenset[bytes]:
        """Absolute paths of temporaries that belong to photos in hand."""
        return frozenset(name for hand in self.photos.values() for name in hand.temporaries)

    def event(self, row: PhotoRow, *, reason: str = "", detail: str = "") -> PhotoEvent:
        """What listeners hear of a row."""
        hand = self.photos.get(row.id)
        inbox = self.plan.inbox(row.inbox)
        named = self.plan.settings.log.filenames and row.path is not None
        return PhotoEvent(
            photo=row.id,
            inbox=inbox.settings.label if inbox is not None else printable(row.inbox),
            name=printable(row.path or b"") if named else f"photo {row.id}",
            reason=reason,
            detail=detail if named else "",
            seconds=0.0 if hand is None else self.clock() - hand.started,
            outbox="" if inbox is None else printable(inbox.settings.outbox),
            stage=_stage(inbox, row if hand is None else hand.row),
        )

    def done_event(self, row: PhotoRow, paths: list[bytes], timings: Mapping[str, float]) -> PhotoEvent:
        """What listeners hear of a delivered photo."""
        named = self.plan.settings.log.filenames
        hand = self.photos.get(row.id)
        anew = hand is None or bool(hand.row.forced)
        return replace(
            self.event(row),
            latency_s=0.0 if anew else max(0.0, self.ledger.clock() - row.arrived),
            outputs=tuple(printable(path) for path in paths) if named else (),
            seconds=sum(timings.values()),
            timings=dict(timings),
        )


def _stage(inbox: InboxPlan | None, row: PhotoRow) -> str:
    """Which of two cutouts it is, where there are two."""
    return "" if inbox is None or inbox.draft is None else row.stage


def only_touched(before: PhotoRow, now: PhotoRow, read: Facts) -> bool:
    """Whether the photo in the inbox has changed since as if by `chmod`: same file, same size, same time of writing."""
    return (
        moved_on(before, now)
        and not differ(now.facts, read)
        and (before.size, before.mtime_ns, before.inode) == (now.size, now.mtime_ns, now.inode)
    )


def may_hide_a_change(now: Facts, wall_s: float) -> bool:
    """Whether the photo may have been written again without its facts showing it: same size, same tick of a clock.

    Nobody writes twice within the nanoseconds of most file systems. HFS+, ext3 and many shares count whole seconds, FAT
    two, exFAT hundredths.

    Args:
        now: what the file system says of it.
        wall_s: seconds since 1970; of a file that was last changed long before, nothing is hidden.
    """
    last_ns = max(now.mtime_ns, now.ctime_ns)
    coarse = now.mtime_ns % COARSE_NS == 0 and now.ctime_ns % COARSE_NS == 0
    return coarse and wall_s - last_ns / 1e9 < CLOCKS_DIFFER_S


def moved_on(before: PhotoRow, now: PhotoRow) -> bool:
    """Whether another file was seen at the photo's path since."""
    return now.archived_to is None and differ(before.facts, now.facts)
