"""Whether a file is a photo that had another name before, so that it is no new one beside the old.

Where its cutout would have the same name, its row follows it; else it is cut out under its new name, and what lies
under the old one is withdrawn after that: a cutout never bears the name of another photo. Content decides; sizes and
times are only guesses. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from cutoutd.config.settings import Inbox
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.delivery.naming import is_named_alike
from cutoutd.daemon.dispatch.deliverable_rules import chosen
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.outbox_names import Withdrawals
from cutoutd.daemon.ledger.records import Facts, PhotoRow
from cutoutd.daemon.ledger.states import OWED, Aftercare, State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals.aftercare import AfterCare

# While it is open what became of the photo's old name, or its row is in a worker's hand, it is asked again after
# this long …
PAUSE_S = 1.0
# … but not for longer than this: two photos that swapped their names would wait for each other.
PATIENCE_S = 30.0


class _Original(Enum):
    """Where the original of a row is that has the same content."""

    THERE = auto()  # under its name: the file at hand is a copy
    GONE = auto()
    OPEN = auto()  # another file lies at its name, and it is not known yet which


@dataclass(slots=True)
class RenameDetector:
    """Finds the row that a renamed file belongs to.

    Args:
        ledger: the rows.
        transitions: their life.
        aftercare: cares for originals.
        inbox: the settings of an inbox; None when it is no longer in the config.
    """

    ledger: Ledger
    transitions: Transitions
    aftercare: AfterCare
    inbox: Callable[[bytes], Inbox | None]
    _intake: Intake = field(init=False)
    # What was read of photos that wait to be asked again, and of which file: two that swapped their names see by it
    # that neither lies where it did.
    _read: dict[int, tuple[str, Facts]] = field(default_factory=dict[int, tuple[str, Facts]])

    def __post_init__(self) -> None:
        """Connects the parts of its own."""
        self._intake = Intake(self.ledger)

    def unchanged(self, row: PhotoRow, same_as: int, digest: str) -> None:
        """A worker found content that was known before it started."""
        other = self._intake.get(same_as) if same_as else None
        if other is not None and other.state == State.SUPERSEDED and not self._intake.has_cutout(other.id):
            self.transitions.forced(row.id)  # what it had is another's by now, or is to go
        elif other is None or other.key == row.key or other.path is None:
            self._follow(row, same_as, digest)
        elif not self.renamed(row, digest):
            # A copy, or a photo whose cutout is to have another name: it owes its own.
            self.transitions.forced(row.id)

    def may_be_renamed(self, row: PhotoRow, digest: str) -> bool:
        """Whether there is a row whose file is not where it was, so that `renamed` may take this one for it.

        Nothing is done yet. Most photos of a burst of equal sizes lie where they were found.
        """
        if row.forced or row.digest:
            return False
        twins = self._intake.twins(row, digest)
        return any(where is not _Original.THERE for _, where in self._originals(row, twins))

    def renamed(self, row: PhotoRow, digest: str) -> bool:
        """Whether the photo had another name before, and nothing is to be made of it under this one now.

        When True the row is dealt with: it went, or it asks again in a moment.
        """
        self._read.pop(row.id, None)
        if row.forced or row.digest:
            return False
        for twin, where in self._originals(row, self._intake.twins(row, digest)):
            in_hand = twin.state in (State.RUNNING, State.DELIVERING)
            if where is _Original.OPEN and abs(self.ledger.clock() - row.arrived) > PATIENCE_S:
                continue
            if where is _Original.THERE:
                continue
            if in_hand or where is _Original.OPEN:
                self._read[row.id] = (digest, row.facts)
                self.transitions.again(row.id, pause_s=PAUSE_S)  # what becomes of it shows soon
            elif self._keeps_its_cutout(row, twin):
                self._follow(row, twin.id, digest)
            else:
                Withdrawals(self.ledger).leave(twin, row)
                return False
            return True
        return False

    def _keeps_its_cutout(self, row: PhotoRow, twin: PhotoRow) -> bool:
        """Whether cutouts are called the same under both names."""
        inbox = self.inbox(row.inbox)
        if inbox is None:
            return True
        if any(rule.csv for rule in inbox.rule):
            return False  # a list goes by names
        deliverables, others = (chosen(inbox, one.path or b"", {}).deliverables for one in (row, twin))
        return deliverables == others and is_named_alike(deliverables, row.path or b"", twin.path or b"")

    def _originals(self, row: PhotoRow, twins: Sequence[PhotoRow]) -> list[tuple[PhotoRow, _Original]]:
        """Those that have a path, with what lies there: one look at the folder for all of them, which may hang."""
        named = [one for one in twins if one.path is not None]
        if not named:
            return []
        nothing: list[os.stat_result | OSError | None] = [None] * len(named)
        found = run_with_timeout(LOOK_S, lambda: _lying(row.inbox, named), nothing)
        return [(one, self._original(row, one, facts)) for one, facts in zip(named, found, strict=True)]

    def _original(self, row: PhotoRow, twin: PhotoRow, facts: os.stat_result | OSError | None) -> _Original:
        if isinstance(facts, OSError) or (facts is not None and _is_spelled_anew(row, twin, facts)):
            return _Original.GONE
        if facts is None:
            return _Original.OPEN
        if not stat.S_ISREG(facts.st_mode):
            return _Original.GONE  # a folder, a link: nothing that a photo could still be found in
        if twin.live:
            same = twin.is_of(facts.st_size, facts.st_mtime_ns, facts.st_ino)
            return _Original.THERE if same else _Original.OPEN
        lying = self._intake.live(twin.inbox, twin.path or b"")
        if lying is None or (lying.state in OWED and not self._was_read_as_another(lying, twin)):
            return _Original.OPEN
        return _Original.GONE

    def _was_read_as_another(self, lying: PhotoRow, twin: PhotoRow) -> bool:
        digest, facts = self._read.get(lying.id, ("", None))
        return facts == lying.facts and digest != twin.digest and bool(twin.digest)

    def _follow(self, row: PhotoRow, same_as: int, digest: str) -> None:
        """The file is one that is done: its row follows, and what was to become of the original still does.

        After-care that was due when the file was renamed found nothing under the old name and gave up.
        """
        self._intake.unchanged(row, same_as, digest)
        done = self._intake.get(same_as) if same_as else None
        inbox = self.inbox(row.inbox)
        if done is None or inbox is None or inbox.after.action == "keep":
            return
        if done.state == State.DONE and done.aftercare is Aftercare.NONE and done.archived_to is None:
            self.transitions.aftercare(done.id, Aftercare.OWED)
            self.aftercare.after(done.id)


def _is_spelled_anew(row: PhotoRow, twin: PhotoRow, there: os.stat_result) -> bool:
    """Whether what lies at a twin's name is the very file at hand, on a file system that ignores case or Unicode form.

    A file with one name and two spellings was renamed from one to the other: as links it would have two names.
    """
    alike = name_key(row.path or b"") == name_key(twin.path or b"") and row.path != twin.path
    return alike and there.st_nlink == 1 and row.is_of(there.st_size, there.st_mtime_ns, there.st_ino)


def _lying(inbox: bytes, rows: Sequence[PhotoRow]) -> list[os.stat_result | OSError | None]:
    """What lies at the path of each row, or why nothing can be seen there."""
    found: list[os.stat_result | OSError | None] = []
    try:
        fs = RealFileSystem(inbox)
    except OSError as error:
        return [error] * len(rows)
    for one in rows:
        try:
            found.append(fs.lstat(os.path.join(inbox, one.path or b"")))
        except OSError as error:
            found.append(error)
    return found
