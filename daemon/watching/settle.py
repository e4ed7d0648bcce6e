"""Decides when a file has stopped changing; pure logic on stats and a clock that are passed in, no I/O."""

from __future__ import annotations

import heapq
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

from cutoutd.daemon.files.filesystem import FileFacts
from cutoutd.daemon.files.writers import Writers
from cutoutd.daemon.watching.filters import raw_pair_key

HintKind = Literal["closed", "moved", "created", "modified", "deleted", "found", "walked"]

# A close or a rename is the writer's word that it is done; anything else is only a sign of life.
_COMPLETE = frozenset({"closed", "moved"})

# Programs that make an empty file first and fill it later (FTP servers, upload forms) need seconds for it.
EMPTY_S = 10.0

# A file that somebody holds open for writing is waited for this long without any change; then whatever lies there is
# cut out (and the original left alone): a viewer or a database may hold files open for ever.
HELD_S = 600.0
# It is looked at this often meanwhile, for file systems and moments without events; its close says it at once.
HELD_LOOK_S = 2.0

# How many files of an inbox settle together: enough for a full card, few enough for looks at all of them to be quick.
LIMIT = 5000


class Verdict(StrEnum):
    """What one look at a file meant."""

    SETTLED = "settled"  # complete, and nobody writes it
    RESTED = "rested"  # it has not changed for its time, but whether somebody still writes it is not known
    WAITING = "waiting"
    OUTDATED = "outdated"  # it began before the latest hint: what it showed may be another content
    GONE = "gone"


class _Entry(Struct):
    since: float  # the last hint, or the first look that showed these facts, whichever is later
    complete: bool  # a close or rename hint came and nothing has been written since
    walked: bool = False  # its folder gives no events, so silence says less
    look_at: float | None = None  # None while a look is under way
    facts: FileFacts | None = None
    # A close or rename hint came, and no hint since: the writer's word for exactly this content.
    said: bool = False
    closed: bool = False  # a writer closed it while it settled
    held: bool = False  # the last look showed that somebody writes it


class SettleTracker:
    """The files of one inbox that may still be changing.

    Give it hints; look (stat) at the paths that `due` names; tell it what was seen through `observe`.
    A file is settled when size, mtime and inode did not change for `settle_s` after a close or rename
    hint, for `unhinted_s` without one, or for `walked_s` where no event can come, and nobody has it open for
    writing. mtime is only compared with itself: cameras' clocks are wrong.

    Args:
        settle_s: seconds of rest after a close or rename.
        unhinted_s: seconds of rest without such a hint.
        limit: how many paths settle at once; beyond it `hint` says no and the caller scans later.
        empty_s: seconds of rest for a file of zero bytes.
        walked_s: seconds of rest for a file that a walk found (`walked`) in a folder without events.
    """

    def __init__(
        self,
        settle_s: float = 0.5,
        unhinted_s: float = 2.0,
        limit: int = LIMIT,
        empty_s: float = EMPTY_S,
        *,
        walked_s: float = 5.0,
    ) -> None:
        self._settle_s = settle_s
        self._unhinted_s = unhinted_s
        self._walked_s = max(walked_s, unhinted_s)
        self._empty_s = max(empty_s, unhinted_s)
        self._limit = limit
        self._entries: dict[bytes, _Entry] = {}
        self._heap: list[tuple[float, bytes]] = []  # may hold stale times; the entry's own look_at decides

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: bytes) -> bool:
        return path in self._entries

    def hint(self, path: bytes, kind: HintKind, now: float) -> bool:
        """Something happened at path. False when there is no room for it: scan again later.

        A `deleted` hint for an unknown path is nothing; for a known one it asks for a look at once.
        """
        entry = self._entries.get(path)
        if entry is None:
            if kind == "deleted":
                return True
            if len(self._entries) >= self._limit:
                return False
            entry = self._entries[path] = _Entry(
                since=now, complete=kind in _COMPLETE, walked=kind == "walked"
            )
            entry.said, entry.closed = entry.complete, kind == "closed"
        elif kind in ("found", "walked"):
            return True  # a scan that meets the file again is no sign of life
        elif kind in _COMPLETE:
            entry.since, entry.complete, entry.said = now, True, True
            entry.closed = entry.closed or kind == "closed"
            entry.facts = None  # what was written before the close is no change after it
        elif kind != "deleted":
            entry.since, entry.said = now, False
        self._look(path, entry, now)
        return True

    def rested(self, path: bytes, facts: FileFacts, now: float) -> bool:
        """A file that has lain unchanged for long enough: one look decides. False when there is no room for it."""
        if path not in self._entries:
            if len(self._entries) >= self._limit:
                return False
            entry = self._entries[path] = _Entry(since=now - 2 * self._empty_s, complete=False, facts=facts)
            self._look(path, entry, now)
        return True

    def was_closed(self, path: bytes) -> bool:
        """Whether a writer closed the file while it settled: its content may be another, whatever its facts say."""
        entry = self._entries.get(path)
        return entry is not None and entry.closed

    def held(self) -> int:
        """How many files wait because somebody has them open for writing, or has not finished them."""
        return sum(entry.held for entry in self._entries.values())

    def is_complete(self, path: bytes) -> bool:
        """Whether a close or rename hint came and nothing has been written since."""
        entry = self._entries.get(path)
        return entry is not None and entry.complete

    def observe(
        self,
        path: bytes,
        stat: FileFacts | None,
        now: float,
        writing: Writers = Writers.UNKNOWN,
        *,
        begun: float | None = None,
    ) -> Verdict:
        """What a look at path showed.

        Args:
            path: as hinted.
            stat: the facts, or None when there is no such file.
            now: when the look was over, on the clock that hints use: the facts are no younger than that.
            writing: who had it open for writing then.
            begun: when the look began: the facts are no older than that; unset, it took no time.

        Returns:
            SETTLED, RESTED or GONE, after each of which the path is forgotten; OUTDATED where it is looked at again
            at once; WAITING otherwise (also for a path that is not tracked).
        """
        entry = self._entries.get(path)
        if entry is None:
            return Verdict.WAITING
        if (now if begun is None else begun) < entry.since:
            self._look(path, entry, entry.since)
            return Verdict.OUTDATED
        if stat is None:
            self.forget(path)
            return Verdict.GONE
        if entry.facts is None or _changed(entry.facts, stat):
            self._restart(entry, stat, now)
        else:
            entry.facts = stat
        rested = entry.since + self._wait_s(entry, stat)
        # Not `now - since >= wait`, which rounding can keep false at the very time of the look.
        if now >= rested:
            entry.held = writing is Writers.SOMEBODY
            if entry.held and now < entry.since + HELD_S:
                self._look(path, entry, now + HELD_LOOK_S)
                return Verdict.WAITING
            self.forget(path)
            known = writing is Writers.NOBODY or (writing is Writers.UNKNOWN and entry.said)
            return Verdict.SETTLED if known else Verdict.RESTED
        self._look(path, entry, rested)
        return Verdict.WAITING

    def due(self, now: float) -> list[bytes]:
        """Paths to look at now, earliest first; each is named once until it was observed or hinted again.

        The caller owes each of them an `observe` or a `forget`.
        """
        paths: list[bytes] = []
        while self._heap and self._heap[0][0] <= now:
            at, path = heapq.heappop(self._heap)
            entry = self._entries.get(path)
            if entry is not None and entry.look_at == at:
                entry.look_at = None
                paths.append(path)
        return paths

    def next_due(self) -> float | None:
        """When `due` will next name a path; None when no look is planned."""
        while self._heap:
            at, path = self._heap[0]
            entry = self._entries.get(path)
            if entry is not None and entry.look_at == at:
                return at
            heapq.heappop(self._heap)
        return None

    def forget(self, path: bytes) -> None:
        """Track path no longer; nothing happens when it was not tracked."""
        self._entries.pop(path, None)
        if not self._entries:
            self._heap.clear()

    def _restart(self, entry: _Entry, stat: FileFacts, now: float) -> None:
        before, entry.facts, entry.since = entry.facts, stat, now
        # Bytes after the close: the writer opened it again and will close it again, or stay silent.
        # A new mtime alone is gphoto2's utime() and no reason to wait longer.
        if before is not None and (before.size, before.inode) != (stat.size, stat.inode):
            entry.complete = False

    def _wait_s(self, entry: _Entry, stat: FileFacts) -> float:
        if stat.size == 0:
            return self._empty_s
        if entry.complete:
            return self._settle_s
        return self._walked_s if entry.walked else self._unhinted_s

    def _look(self, path: bytes, entry: _Entry, at: float) -> None:
        if entry.look_at != at:
            entry.look_at = at
            heapq.heappush(self._heap, (at, path))
        if len(self._heap) > 4 * len(self._entries) + 64:  # many hints for few files: drop the stale times
            self._heap = [(e.look_at, p) for p, e in self._entries.items() if e.look_at is not None]
            heapq.heapify(self._heap)


def _changed(before: FileFacts, after: FileFacts) -> bool:
    """Size beside mtime, because shares report mtime late; inode, because a rename swaps the file."""
    return (before.size, before.mtime_ns, before.inode, before.device) != (
        after.size,
        after.mtime_ns,
        after.inode,
        after.device,
    )


class PairVerdict(StrEnum):
    """What to do with a RAW."""

    PAIRED = "paired"  # its JPEG is there: the RAW is skipped
    WAITING = "waiting"  # its JPEG may still come


class RawPairs(Struct):
    """RAWs of one inbox that wait for the JPEG of their stem, so that a pair is processed once.

    Args:
        wait_s: how long a RAW waits; cameras that write both need a few seconds between them.
    """

    wait_s: float = 10.0
    # In order of arrival, hence of the end of the wait, which is the same for all.
    _waiting: dict[bytes, float] = field(default_factory=dict[bytes, float])
    _by_stem: dict[bytes, list[bytes]] = field(default_factory=dict[bytes, list[bytes]])

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: bytes) -> bool:
        return path in self._waiting

    def offer_raw(self, path: bytes, now: float, *, partner_known: bool) -> PairVerdict:
        """A settled RAW; `partner_known` says whether a JPEG of its stem is on disk or in the ledger.

        Offered again while it waits, it waits no longer for it.
        """
        if partner_known:
            self.forget(path)
            return PairVerdict.PAIRED
        if path not in self._waiting:
            self._waiting[path] = now + self.wait_s
            self._by_stem.setdefault(raw_pair_key(path), []).append(path)
        return PairVerdict.WAITING

    def offer_partner(self, path: bytes) -> list[bytes]:
        """A JPEG (or HEIF) was seen: the waiting RAWs that it answers for, which are then forgotten."""
        answered = self._by_stem.pop(raw_pair_key(path), [])
        for raw in answered:
            del self._waiting[raw]
        return answered

    def due(self, now: float) -> list[bytes]:
        """RAWs whose JPEG did not come in time, earliest first; they are forgotten and run on their own."""
        over: list[bytes] = []
        for raw, at in self._waiting.items():
            if at > now:
                break
            over.append(raw)
        for raw in over:
            self.forget(raw)
        return over

    def next_due(self) -> float | None:
        """When the next RAW's wait ends; None when none waits."""
        return next(iter(self._waiting.values()), None)

    def forget(self, path: bytes) -> None:
        """The RAW went away, or was answered for; nothing happens when it did not wait."""
        if self._waiting.pop(path, None) is None:
            return
        stem = raw_pair_key(path)
        rest = [raw for raw in self._by_stem[stem] if raw != path]
        if rest:
            self._by_stem[stem] = rest
        else:
            del self._by_stem[stem]
