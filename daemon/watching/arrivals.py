"""Files seen in one inbox, from the first hint to a settled row in the ledger; it walks and watches nothing itself.

Looks at files happen on the inbox's I/O thread; everything else runs in the supervisor's loop.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cutoutd.config.errors import Reason, mistake
from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.filesystem import FileFacts
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.faults import alone, paid_by
from cutoutd.daemon.ledger.intake import REFUTED, Intake, Seen
from cutoutd.daemon.ledger.records import Facts, PhotoRow, Settled, differ
from cutoutd.daemon.ledger.states import OWED, Stage
from cutoutd.daemon.watching.filters import Kind, Rules, classify
from cutoutd.daemon.watching.look import Look, Looks
from cutoutd.daemon.watching.scan import Found, facts_of
from cutoutd.daemon.watching.settle import LIMIT, HintKind, PairVerdict, RawPairs, SettleTracker, Verdict
from cutoutd.daemon.watching.watcher import Hint

# A file whose inode has not changed for this long needs one look only, at who has it open: the change time, unlike
# the modification time, cannot be set by a camera.
OLD_ENOUGH_S = 10.0
# And one that has not for so long needs none: of a full inbox few files are looked at one by one.
LONG_AGO_S = 3600.0
# On a share the change time comes from the server's clock, which may differ from ours.
OLD_ENOUGH_FAR_S = 3600.0
# So many times as many files as settle together wait for their look in turn, some 400 bytes each; the rest of a full
# inbox that was written within the hour is met by another walk of all.
WAITING_TIMES = 10

# Of so many kinds of files that are no photos it is said that they are left alone.
MOST_SUFFIXES = 12
_SUFFIX = re.compile(rb"\.[A-Za-z0-9]{1,8}\Z")

SKIP_SENTENCES = {
    Reason.NOT_A_PHOTO: "Not a photo by its name; it was not opened.",
    Reason.NOT_A_REGULAR_FILE: "A link, pipe or device, not a file; put the photo itself into the inbox.",
    Reason.PLACEHOLDER: "Its content is still in the cloud; download it and it is taken up.",
    Reason.RAW_PAIR: "The JPEG of the same shot is processed instead.",
    Reason.NO_PERMISSION: "It may not be read. Give the user that runs cutoutd permission to read it.",
    Reason.UNREADABLE: "The file system could not show it. It is looked at again with every scan.",
}


class FileNews(Protocol):
    """Who is told what happens to files; rows are named by id."""

    def file_complete(self, photo: int) -> None:
        """A file is known to be complete."""
        ...

    def file_gone(self, photo: int) -> None:
        """It vanished before that."""
        ...

    def photo_stirs(self) -> None:
        """A photo is on its way."""
        ...

    def left_alone(self, suffix: str) -> None:
        """A file that is no photo by its name came, the first that ends so."""
        ...


class InboxNews(FileNews, Protocol):
    """Who is told of an inbox's files, and of the inbox itself; `inode` is its device and inode."""

    def inbox_open(self, path: Path, inode: tuple[int, int]) -> None:
        """It is watched (again)."""
        ...

    def inbox_silent(self, path: Path, why: str) -> None:
        """No call to it returns any more; `why` is a sentence."""
        ...

    def inbox_answers(self, path: Path, inode: tuple[int, int]) -> None:
        """Calls return again after that."""
        ...


class Arrivals:
    """Settles the files of one inbox and hands them to the ledger.

    Args:
        settings: the inbox's table.
        rules: which names count.
        intake: where rows are made.
        io: the inbox's I/O thread.
        news: who is told.
        doubt: called when something was not seen for certain: scan soon.
        clock: monotonic seconds.
        stage: `draft` where a quick cutout comes first.
        fs: the file system; unset, the real one.
        limit: how many files settle together; of what is found beyond it a later scan takes its part.
    """

    def __init__(
        self,
        settings: Inbox,
        rules: Rules,
        intake: Intake,
        io: IoThread,
        news: FileNews,
        *,
        doubt: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        stage: Stage = Stage.FINAL,
        fs: FileSystem | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._stage = stage
        self._suffixes: set[str] = set()
        self._limit = limit
        self._settings = settings
        self._key = os.fsencode(settings.path)
        self._rules = rules
        self._intake = intake
        self._io = io
        self._news = news
        self._doubt = doubt
        self._clock = clock
        self._polled = False
        self._looks = Looks(settings.path, rules, clock, fs)
        self._tracker = self._listening_tracker()
        self._waiting: OrderedDict[bytes, FileFacts] = OrderedDict()  # rested files that find no room yet
        self._left_out = False  # there are more of them
        self._pairs = RawPairs()
        self._lone_raws: set[bytes] = set()

    def make(self, stage: Stage) -> None:
        """From now on new photos begin with this stage."""
        self._stage = stage

    def poll(self) -> None:
        """From now on files are found by walking alone, which needs a longer rest before they count as complete."""
        if self._polled:
            return
        self._polled = True
        self._waiting.clear()
        self._tracker = SettleTracker(self._settings.settle_polled, self._settings.settle_polled, self._limit)

    def believe_leases(self, device: int | None) -> None:
        """Sets the file system on which the kernel knows who writes; None where it does not (a share)."""
        self._looks.leases = device

    def held(self) -> int:
        """How many files wait because somebody has them open for writing, or has not finished them."""
        return self._tracker.held()

    def listen(self) -> None:
        """Events come (again); files that were settling are found by the scan that follows."""
        if self._polled:
            self._polled = False
            self._waiting.clear()
            self._tracker = self._listening_tracker()

    def _listening_tracker(self) -> SettleTracker:
        one = self._settings
        return SettleTracker(one.settle, one.settle_unhinted, self._limit, walked_s=one.settle_polled)

    def next_due(self) -> float:
        """Monotonic time at which `tick` has something to do."""
        if self._waiting and self._has_room():
            return self._clock()
        due = (self._tracker.next_due(), self._pairs.next_due())
        return min((at for at in due if at is not None), default=float("inf"))

    def tick(self, now: float) -> None:
        """Looks at files whose time has come."""
        while self._waiting and self._has_room():
            self._tracker.rested(*self._waiting.popitem(last=False), now)
        if self._left_out and not self._waiting:  # no walk before that: looks would wait for its end
            self._left_out = False
            self._doubt()
        due = self._tracker.due(now)
        if due:
            Story(self._settle(due), paid_by(lambda error: self._all_at_fault(due, error)))
        for raw in self._pairs.due(now):
            self._lone_raws.add(raw)
            self._track(raw, "found", now)

    def _has_room(self) -> bool:
        return len(self._tracker) < self._limit

    def hint(self, hint: Hint) -> None:
        """Something happened at a path."""
        now = self._clock()
        kind = classify(hint.path, self._rules)
        if kind is Kind.JUNK:
            return
        if kind is not Kind.OTHER:
            self._news.photo_stirs()
        if hint.kind in ("modified", "created") and hint.path in self._tracker:
            self._intake.unsettle(self._key, hint.path)
        self._track(hint.path, hint.kind, now)
        if hint.kind == "deleted" and hint.path not in self._tracker:
            self._look_for_unopened(hint.path, now)

    def _look_for_unopened(self, path: bytes, now: float) -> None:
        if self._intake.is_unopened(self._key, path):
            self._track(path, "found", now)

    def _track(self, path: bytes, kind: HintKind, now: float) -> None:
        """Has a file settle; one that finds no room is left to a scan that comes soon.

        Scans meet the same files in the same order, so each must find those of the one before it answered for by
        their rows (`_is_answered`): otherwise they take the room again, and what lies behind them waits for ever.
        """
        if not self._tracker.hint(path, kind, now):
            self._doubt()  # more files at once than settle together

    # --- the story of one batch ----------------------------------------------------------------------------------

    async def _settle(self, due: list[bytes]) -> None:
        """Looks at files whose time has come, and judges each by what was seen; what is settled is then committed."""
        try:
            looks = await run(self._io, self._looks.take, due)
        except OSError:
            self._not_seen(due)
            return
        seen = {look.path: look for look in looks}
        for path in due:
            with self._alone(path):
                self._judge(seen[path])

    def _not_seen(self, paths: list[bytes]) -> None:
        """Neither there nor gone: the inbox itself is in trouble. A scan settles them later."""
        for path in paths:
            self._tracker.forget(path)
        self._doubt()

    def _all_at_fault(self, paths: list[bytes], error: Exception) -> None:
        """What came back is about no single file: each of the batch fails by name, until a scan meets it again."""
        for path in paths:
            self.fault(path, error)

    def _judge(self, look: Look) -> None:
        path, found, at = look.path, look.found, look.at
        if look.mistake is not None:
            raise look.mistake
        if look.failed:
            self._not_seen([path])
            return
        if found is not None and found.problem is not None:
            self._tracker.forget(path)
            self._skip(found, found.problem)
            return
        closed = self._tracker.was_closed(path)
        facts = None if found is None else found.facts
        verdict = self._tracker.observe(path, facts, at, look.writing, begun=look.begun)
        if verdict is Verdict.GONE:
            self._gone(path)
            self._intake.gone_unopened(self._key, path)
        elif found is None or verdict is Verdict.OUTDATED:
            return  # a row with facts of before the close would have its photo read and thrown away, twice
        elif verdict is not Verdict.WAITING:
            settled = Settled.KNOWN if verdict is Verdict.SETTLED else Settled.RESTED
            self._settled(found, settled, partner=look.partner, closed=closed)
        elif found.kind is Kind.PHOTO and self._tracker.is_complete(path):
            # Early start: work may begin now, publication waits for the settling.
            self._intake.observe(self._key, path, facts_of(found), settled=Settled.NOT, stage=self._stage)

    def _settled(
        self, found: Found, settled: Settled, *, partner: bool = False, closed: bool = False
    ) -> None:
        if found.kind is Kind.OTHER:
            self._skip(found, Reason.NOT_A_PHOTO)
            return
        if found.kind is Kind.RAW and (partner or found.path not in self._lone_raws):
            self._settled_raw(found, settled, partner=partner)
            return
        self._lone_raws.discard(found.path)
        self._owe(found, settled, closed=closed)
        for raw in self._pairs.offer_partner(found.path):
            self._track(raw, "found", self._clock())

    def _settled_raw(self, found: Found, settled: Settled, *, partner: bool) -> None:
        if self._pairs.offer_raw(found.path, self._clock(), partner_known=partner) is PairVerdict.WAITING:
            return
        self._lone_raws.discard(found.path)
        row = self._intake.live(self._key, found.path)
        if row is not None and row.state in OWED:
            # It was taken up alone before its JPEG came: what was begun is finished.
            self._owe(found, settled)
        else:
            self._skip(found, Reason.RAW_PAIR)

    def _owe(self, found: Found, settled: Settled, *, closed: bool = False) -> None:
        seen, photo = self._intake.observe(
            self._key, found.path, facts_of(found), settled=settled, closed=closed, stage=self._stage
        )
        if photo is not None and seen is not Seen.KNOWN:
            self._news.file_complete(photo)

    def _skip(self, found: Found, reason: Reason) -> None:
        if reason is Reason.NOT_A_REGULAR_FILE:
            # A photo that was owed under this name is no more: a link or pipe lies there.
            self._gone(found.path)
        sentence = SKIP_SENTENCES.get(reason, "")
        if self._intake.skip(self._key, found.path, facts_of(found), reason, sentence):
            self._tell(found.path, reason)

    def _tell(self, path: bytes, reason: Reason) -> None:
        """Whoever drops a film waits for its cutout; of a thousand films one word is enough."""
        suffix = _SUFFIX.search(path)
        if reason is not Reason.NOT_A_PHOTO or suffix is None or len(self._suffixes) >= MOST_SUFFIXES:
            return
        kind = suffix[0].decode("ascii").lower()
        if kind not in self._suffixes:
            self._suffixes.add(kind)
            self._news.left_alone(kind)

    def _gone(self, path: bytes) -> None:
        self._lone_raws.discard(path)
        row = self._intake.live(self._key, path)
        if row is not None and row.state in OWED:
            self._news.file_gone(row.id)

    def take(self, batch: Sequence[tuple[Found, HintKind | None]]) -> None:
        """Findings of a walk, each with what polling says of it (`modified`, `created` or None), or `walked`."""
        now, wall_ns = self._clock(), time.time_ns()
        for found, hint in batch:
            with self._alone(found.path):
                if found.problem is not None:
                    self._skip(found, found.problem)
                elif found.kind is Kind.OTHER:
                    self._skip(found, Reason.NOT_A_PHOTO)
                elif hint == "modified" or found.path in self._tracker:
                    self._track(found.path, "modified" if hint == "modified" else "found", now)
                else:
                    self._reconcile(found, now, wall_ns, "walked" if hint == "walked" else "found")

    def _alone(self, path: bytes) -> AbstractContextManager[None]:
        """What goes wrong with one file fails that file; the others of the batch are taken up."""
        return alone(lambda error: self.fault(path, error))

    def fault(self, path: bytes, error: Exception) -> None:
        """A mistake of ours that one file's name or facts brought out: the file is named as failed."""
        self._tracker.forget(path)
        detail = f"cutoutd made a mistake with what the file system says of it ({mistake(error)})."
        self._intake.skip(self._key, path, Facts(0, 0, 0), Reason.UNREADABLE, f"{detail} Please report it.")

    def _reconcile(self, found: Found, now: float, wall_ns: int, kind: HintKind) -> None:
        row = self._intake.live(self._key, found.path)
        facts = facts_of(found)
        same = (
            row is not None
            and bool(row.settled)
            and not differ(row.facts, facts)
            and row.access == facts.access
        )
        if row is None:
            answered = self._intake.is_buried(self._key, found.path, facts)
        else:
            answered = same and _is_answered(found, row)
        if answered or (found.path in self._pairs and not found.partner):
            return
        age_s = (wall_ns - found.ctime_ns) / 1e9
        if found.kind is not Kind.PHOTO and not found.partner:
            self._track(found.path, kind, now)
        elif same or age_s > (OLD_ENOUGH_FAR_S if self._polled else LONG_AGO_S):
            known = row is not None and same and bool(row.proven)
            self._settled(found, Settled.KNOWN if known else Settled.RESTED, partner=found.partner)
        elif self._polled or age_s <= OLD_ENOUGH_S:
            self._track(found.path, kind, now)
        elif not self._tracker.rested(found.path, found.facts, now):
            self._wait_for_room(found)

    def _wait_for_room(self, found: Found) -> None:
        """Its look comes once others had theirs; of very many the rest is left to another walk."""
        if len(self._waiting) < WAITING_TIMES * self._limit:
            self._waiting[found.path] = found.facts
        else:
            self._left_out = True


def _is_answered(found: Found, row: PhotoRow) -> bool:
    """Whether an unchanged file's row says all there is to say of it, so that a scan leaves it in peace."""
    if row.reason in ("", *REFUTED):  # one that vanished and is back is owed again
        return row.reason == ""
    # A photo that failed costs no look: it goes on to the ledger, which knows it. A RAW would be looked at and wait
    # for its JPEG anew at every scan; only one that failed alone and has a JPEG now is another matter.
    return found.kind is Kind.RAW and (row.reason == Reason.RAW_PAIR or not found.partner)
