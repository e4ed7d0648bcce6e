"""The states of a photo, and which one may follow which; it decides nothing itself, and reads and writes no row.

`LEGAL` is the whole table. A step that is not in it is a mistake of ours: `Ledger.move`, which alone writes states,
raises and writes nothing, and whoever called pays with that one photo (`faults.py`). From every state in which
something is still owed the table leads to `pending` and to `failed`, so that the way out of a mistake is always open.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from cutoutd.config.errors import CutoutError


class State(StrEnum):
    """Where a photo stands."""

    PENDING = "pending"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


class Stage(StrEnum):
    """Which of a photo's cutouts is made next, or was made last."""

    DRAFT = "draft"
    FINAL = "final"


class Aftercare(StrEnum):
    """How far the moving of a photo's original has come."""

    NONE = "none"
    OWED = "owed"
    HIDDEN = "hidden"  # under our own name beside its place, on the way to another folder
    DONE = "done"


class DeliveryState(StrEnum):
    """Where one finished file of a photo stands."""

    DELIVERING = "delivering"
    DONE = "done"
    REPLACED = "replaced"  # another has its name, or it never came through
    LEAVING = "leaving"  # its photo's cutout has another name or place now, and it is to be withdrawn


OWED = (State.PENDING, State.RUNNING, State.DELIVERING)

# From a state, those that may follow, each with what leads there.
LEGAL: Mapping[State, Mapping[State, str]] = MappingProxyType(
    {
        State.PENDING: {
            State.PENDING: "it waits longer: its worker's death or its outbox is looked into",
            State.RUNNING: "a worker has it in hand",
            State.DONE: "what its `redo` asks for cannot be; the cutout that it has stays",
            State.FAILED: "the self-test or a probe of the outbox found it to be at fault, or it cannot be ordered",
            State.SKIPPED: "its file or its inbox is gone, or a look at it sufficed",
            State.SUPERSEDED: "it was renamed while its next cutout was owed, and is made anew under that name",
        },
        State.RUNNING: {
            State.PENDING: "it is tried again",
            State.DELIVERING: "its cutout's names are committed",
            State.DONE: "its file changed while it was read, or what its `redo` asks for cannot be; its cutout stays",
            State.FAILED: "its attempts are used up",
            State.SKIPPED: "its file is gone, or is no photo",
            State.SUPERSEDED: "its file changed while it was read",
        },
        State.DELIVERING: {
            State.PENDING: "its draft is published, or the delivery cannot be completed",
            State.DELIVERING: "a name was taken meanwhile, and others are committed",
            State.DONE: "it is published; or not all of it, and its file is another by now",
            State.SUPERSEDED: "it cannot be published, and its file is another by now",
        },
        State.DONE: {
            State.PENDING: "it is to be done again",
            State.SUPERSEDED: "a newer photo replaced its cutout, or it was renamed",
        },
        State.FAILED: {
            State.PENDING: "it is to be tried again, or may be read now",
            State.SKIPPED: "its file is gone",
            State.SUPERSEDED: "it was renamed while it had an earlier cutout",
        },
        State.SKIPPED: {
            State.PENDING: "its file is back, which was away when its next cutout was owed",
            State.SUPERSEDED: "it was renamed while it had an earlier cutout",
        },
        State.SUPERSEDED: {
            State.DONE: "its file has its earlier content again, and its cutout is there",
        },
    }
)

# The steps with which a draft gives way to its final cutout; in all others the stage stays.
ADVANCES = frozenset({(State.DELIVERING, State.PENDING), (State.DELIVERING, State.DONE)})


class IllegalTransitionError(CutoutError):
    """A photo was to take a step that the table does not know; nothing was written."""

    def __init__(self, photo: int, before: str, after: str) -> None:
        super().__init__(f"Photo {photo} cannot go from {before} to {after}")
        self.photo = photo
        self.args = (photo, before, after)


def before(state: State, stage: Stage | None = None) -> tuple[State, ...]:
    """The states from which a photo may come to this one; with a stage, those that may set it."""
    return tuple(one for one in State if state in LEGAL[one] and (stage is None or (one, state) in ADVANCES))
