"""The states of a photo, which one may follow which, and the one place that writes them; it decides nothing itself.

`LEGAL` is the whole table. A step that is not in it is a mistake of ours: it raises, nothing is written, and whoever
called pays with that one photo (`faults.py`). From every state in which something is still owed the table leads to
`pending` and to `failed`, so that the way out of a mistake is always open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from cutoutd.config.errors import CutoutError
from cutoutd.daemon.ledger.database import Ledger


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
            State.DONE: "its file was away for a while, and its cutout is there",
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


def move(
    ledger: Ledger,
    photo: int,
    to: State,
    columns: Mapping[str, Any] | None = None,
    *,
    stage: Stage | None = None,
    only_from: Iterable[State] | None = None,
) -> bool:
    """Brings a photo into a state, with whatever else the step writes.

    Args:
        ledger: where its row is.
        photo: the row's id; one that is gone is nothing to move.
        to: the state.
        columns: other columns and their new values; none, if not given.
        stage: the stage that it has from now on; the same, if not given.
        only_from: leave it as it is, without an error, in any other state; all legal ones, if not given.

    Returns:
        Whether it was moved.

    Raises:
        IllegalTransitionError: it is in a state from which no legal step leads there.
    """
    allowed = before(to, stage)
    froms = allowed if only_from is None else tuple(only_from)
    if wrong := [one for one in froms if one not in allowed]:
        raise IllegalTransitionError(photo, wrong[0], to)
    values: dict[str, Any] = {"state": to, **(columns or {})}
    if stage is not None:
        values["stage"] = stage
    cursor = ledger.write(
        f"UPDATE photos SET {', '.join(f'{name} = ?' for name in values)}"
        f" WHERE id = ? AND state IN ({', '.join('?' * len(froms))})",
        (*values.values(), photo, *froms),
    )
    if cursor.rowcount or only_from is not None:
        return bool(cursor.rowcount)
    row = ledger.one("SELECT state FROM photos WHERE id = ?", (photo,))
    if row is None:
        return False
    raise IllegalTransitionError(photo, row["state"], to)
