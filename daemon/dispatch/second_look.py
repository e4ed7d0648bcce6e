"""What a worker says of a photo's file, held against a look of the supervisor's own.

"It changed", "it is gone", "it is known already", "it lies in the outbox": where that is true it costs no attempt. A
worker that was taken over could say so for ever, or of the photos that it gets after the one that did it, and each of
them would end without a cutout and without a name. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import os
import stat

from msgspec import Struct, field

from cutoutd.config.errors import Reason
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.dispatch.claims import MOST_CLAIMS, Claims
from cutoutd.daemon.dispatch.failures import Failures
from cutoutd.daemon.dispatch.hands import Hands, InHand, moved_on
from cutoutd.daemon.dispatch.renames import RenameDetector
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.ledger.records import Facts, PhotoRow, differ
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.workers import protocol


class SecondLook(Struct):
    """Counts what workers say and nobody else sees."""

    hands: Hands
    failures: Failures
    transitions: Transitions
    aftercare: AfterCare
    renames: RenameDetector
    _claims: Claims = field(default_factory=Claims)
    _digests: Claims = field(default_factory=Claims)

    def lies_there(self, row: PhotoRow) -> bool:
        """Whether the photo lies under its name in its inbox exactly as it was found."""
        if row.path is None or row.archived_to is not None:
            return False
        fs, path = RealFileSystem(row.inbox), os.path.join(row.inbox, row.path)
        try:
            facts = run_with_timeout(LOOK_S, lambda: fs.lstat(path), None)
        except OSError:
            return False
        if facts is None or not stat.S_ISREG(facts.st_mode):
            return False
        return not differ(
            row.facts, Facts(facts.st_size, facts.st_mtime_ns, facts.st_ino, 0, facts.st_ctime_ns)
        )

    def is_readable_here(self, row: PhotoRow, reason: Reason) -> bool:
        """Whether a photo that a node calls gone, or may not read, can be read on this machine."""
        from cutoutd.daemon.fleet.records import OF_THE_FOLDER

        path = row.original
        if reason not in OF_THE_FOLDER or path is None:
            return False
        fs = RealFileSystem(os.path.dirname(path))
        return run_with_timeout(LOOK_S, lambda: fs.is_readable(path), otherwise=False)

    async def known_content(self, hand: InHand, before: PhotoRow, result: protocol.Unchanged) -> None:
        """A worker says that this content was dealt with before: nothing is made of it, so we read it too.

        Args:
            hand: the photo in its worker's hand; it is let go once its content is read.
            before: its row as the answer came.
            result: the answer.
        """
        hand.comparing = True
        digest = await self.aftercare.content_of(before)
        hand.comparing = False
        row = self.hands.row(before.id)
        if self.hands.photos.get(before.id) is not hand:
            return
        large = self.hands.large(before.id)
        self.hands.let_go(before.id)
        if row is None or row.state != State.RUNNING:
            return
        if moved_on(hand.row, row) or not digest:
            self.transitions.again(row.id)
        elif digest == result.digest:
            self.renames.unchanged(row, result.same_as, result.digest)
        else:
            self.unseen(row, "its content was known", large=large)

    def unseen(self, row: PhotoRow, what: str, *, large: bool) -> None:
        """A worker said something that is not so: the photo is tried again, and in the end both are blamed.

        Args:
            row: of the photo, which is in no hand.
            what: what was said, as the rest of a sentence.
            large: a large network worked on it.
        """
        if self._claims.unseen(row.id):
            self.failures.like_a_death(row, what, large=large)
        else:
            self.transitions.again(row.id)

    def cutout_lost(self, photo: int, *, large: bool) -> None:
        """What a worker said to have written was not there when it was to get its name, or somebody took it away."""
        row = self.hands.row(photo)
        if row is not None and row.state == State.PENDING:
            self.unseen(row, "its finished cutout lay in the outbox", large=large)

    def misread(self, photo: int) -> None:
        """A finished photo's content is not what its worker said, and nobody has changed it since: it is done again.

        Its cutout may be anybody's. Done again it may end like this once more, so that attempts do not count here.
        """
        row = self.hands.row(photo)
        if row is None or row.state != State.DONE or not row.live:
            return
        self.transitions.again(row.id)
        if self._digests.unseen(row.id):
            detail = f"Its workers said {MOST_CLAIMS} times that it holds something else than it does."
            self.failures.ended(row, Reason.CRASHED, detail)

    def forget(self, photo: int) -> None:
        """Its cutout is delivered."""
        self._claims.forget(photo)


def said_of_its_file(result: protocol.Result) -> str:
    """What an answer says of the photo's file that a look at it shows too, as the rest of a sentence; else empty."""
    if isinstance(result, protocol.Changed):
        return "it changed while it was read"
    if isinstance(result, protocol.Refused) and result.reason == Reason.VANISHED:
        return "it is gone"
    if isinstance(result, protocol.Refused) and result.reason == Reason.NOT_A_REGULAR_FILE:
        return "it is no file"
    return ""
