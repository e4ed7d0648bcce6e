"""What the ledger forgets and what it must not: trimming, tombstones, `forget`; photos are never touched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from cutoutd.daemon.ledger import masks, previews, remarks
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.migrations import discard_copies

# The daemon's loop must not stand still for a reader; the next sweep tries again.
SWEEP_PATIENCE_S = 0.1

# Photos nobody has anything to do for any more; a failed one keeps its name until it is forgotten by command,
# since the user is to find it and try it again.
_ENDED_WELL = "state IN ('done', 'skipped', 'superseded') AND aftercare IN ('none', 'done')"
ENDED = "state IN ('done', 'skipped', 'superseded', 'failed') AND aftercare IN ('none', 'done')"

# What is still to be withdrawn keeps its name until it is; by command it goes at once.
_EVERY = "'done', 'replaced', 'leaving'"

# Photos by which it is known which cutouts are to go, and once which others lie there.
_LEAVING = (
    "SELECT photo FROM deliverables WHERE state = 'leaving'"
    " UNION SELECT gives_way_to FROM deliverables WHERE state = 'leaving' AND gives_way_to IS NOT NULL"
)

# When a forgotten photo's file was seen last is noted once a day: each scan would write all tombstones anew.
SEEN_PRECISION_S = 86400.0
# A disk that was away for so long may never come back, and names are not to be kept for it for ever.
AWAY_S = 30 * 86400.0


class History:
    """Removes names, reasons and times of old rows, and keeps what stops an old photo from becoming new."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def trim(self, keep_s: float) -> int:
        """Turns rows finished longer ago than `keep_s` seconds into tombstones. Returns how many.

        A cutout that is still to be withdrawn keeps its photo, and the one that it gives way to, until it is, or its
        outbox has been away for `AWAY_S`.
        """
        away = max(keep_s, AWAY_S)
        return self._trim(
            keep_s, f"{ENDED} AND finished < ? AND (id NOT IN ({_LEAVING}) OR finished < ?)", away
        )

    def _trim(self, keep_s: float, ended: str, *more_s: float) -> int:
        now = self.ledger.clock()
        limits = tuple(now - one for one in (keep_s, *more_s))
        self._bury(ended, limits)
        cursor = self.ledger.write(
            f"DELETE FROM photos WHERE {ended} AND id NOT IN (SELECT previous FROM photos"
            " WHERE previous IS NOT NULL AND state IN ('pending', 'running', 'delivering'))",
            limits,
        )
        if cursor.rowcount:
            self._drop_orphans()
        return cursor.rowcount

    def _drop_orphans(self) -> None:
        """What was remembered or drawn of photos whose names are gone, once the rows are for certain."""
        remarks.drop_orphans(self.ledger)
        self.ledger.commit()
        # A gallery that cannot be touched stops no daemon; `forget` says so.
        with contextlib.suppress(OSError):
            previews.drop_orphans(self.ledger)

    def _bury(self, condition: str, values: tuple[float, ...]) -> None:
        # An original that was moved away and is put back by its owner is wanted again: a stone would silence it.
        # A failed photo has a digest only when it was read; without one its size and time stand for it. So they do for
        # a file that was skipped: the next scan would write its name down anew, and a RAW's JPEG may have been moved.
        self.ledger.write(
            "INSERT OR REPLACE INTO tombstones (inbox, key, size, mtime_ns, inode, ctime_ns, digest, last_seen)"
            " SELECT inbox, key, size, mtime_ns, inode, ctime_ns, coalesce(digest, ''), ? FROM photos"
            f" WHERE {condition} AND live = 1"
            " AND (state IN ('done', 'failed') OR (state = 'skipped' AND reason <> 'vanished'))",
            (self.ledger.clock(), *values),
        )

    def seen(self, inbox: bytes, paths: list[bytes]) -> None:
        """A scan found these files: their tombstones stay.

        They are dropped after a week and more, so a day's precision will do, and spares the disk: 100,000 stones
        written anew at each scan are 758 MB.
        """
        now = self.ledger.clock()
        for path in paths:
            self.ledger.write(
                "UPDATE tombstones SET last_seen = ? WHERE inbox = ? AND key = ? AND last_seen < ?",
                (now, inbox, self.ledger.key(path), now - SEEN_PRECISION_S),
            )

    def has_tombstones(self, inbox: bytes) -> bool:
        """Whether scans of this inbox need to report what they saw."""
        return self.ledger.one("SELECT 1 FROM tombstones WHERE inbox = ? LIMIT 1", (inbox,)) is not None

    def drop_stones(self, inbox: bytes, keep_s: float, *, scanned: float) -> int:
        """Drops tombstones whose file no error-free scan has seen for `keep_s` seconds. Returns how many.

        `scanned` is when the last such scan began, by the wall clock: measured from there and not from now, so
        that a clock that jumps ahead between scan and trimming makes no old photo new.
        """
        cursor = self.ledger.write(
            "DELETE FROM tombstones WHERE inbox = ? AND last_seen < ?", (inbox, scanned - keep_s)
        )
        return cursor.rowcount

    def drop_names(self, photo: int) -> None:
        """Keeps only keyed digests of a finished photo's names (`history.filenames = false`).

        The names of its cutouts go as well; their keys and digests stay, so that nothing is done twice and a
        changed photo still replaces its own cutout.
        """
        self._unname(f"id = {photo:d} AND {_ENDED_WELL}", f"photo = {photo:d}")

    def sweep(self) -> bool:
        """Drops the names of all photos that ended well or were never to be cut out, and empties the log.

        For `history.filenames = false`, at quiet moments: `drop_names` leaves the name in the write-ahead log,
        skipped files have names too, and rows may stem from a time when names were kept.

        Returns:
            Whether nothing of it is left; False when a reader was in the way, and the next call tries again.
        """
        self._unname(_ENDED_WELL)
        self._unname_rest()
        self._drop_orphans()
        return self.ledger.truncate_wal(SWEEP_PATIENCE_S)

    def _unname(self, condition: str, whose: str = "1 = 1", *, of: str = "'done', 'replaced'") -> int:
        """Names out of photos that meet the condition, and out of their deliverables in the states `of`.

        Returns how many photos.
        """
        cursor = self.ledger.write(
            "UPDATE photos SET path = NULL, detail = '', archived_to = NULL, hidden_name = NULL"
            f" WHERE path IS NOT NULL AND {condition}"
        )
        self.ledger.write(
            "UPDATE deliverables SET name = NULL, temporary = NULL, manifest = x'',"
            " name_key = nameless(name_key)"
            f" WHERE name IS NOT NULL AND state IN ({of}) AND {whose}"
            " AND (SELECT path FROM photos p WHERE p.id = photo) IS NULL"
        )
        return cursor.rowcount

    def _unname_rest(self) -> None:
        """Commands that were carried out name photos too, and so does a status from when they were in hand."""
        self.ledger.write("UPDATE commands SET arguments = '' WHERE taken IS NOT NULL AND arguments <> ''")
        self.ledger.write(
            "UPDATE meta SET value = json_set(value, '$.in_hand', json('[]'))"
            " WHERE name = 'status' AND json_array_length(value, '$.in_hand') > 0"
        )

    def forget(self, *, everything: bool, photos: Iterable[int] | None = None) -> int:
        """Removes the names of finished photos now; with `everything` their rows become tombstones.

        Args:
            everything: rows too.
            photos: ids of those that are meant; None: all.

        Returns:
            How many photos were forgotten.

        Raises:
            OSError: a copy of the ledger, a gallery's file or a mask cannot be removed.
        """
        if photos is not None:
            count = sum(
                self._unname(f"id = {photo:d} AND {ENDED}", f"photo = {photo:d}", of=_EVERY)
                for photo in photos
            )
        else:
            count = (
                self._trim(-1.0, f"{ENDED} AND finished < ?")
                if everything
                else self._unname(ENDED, of=_EVERY)
            )
        self._unname_rest()
        self._drop_orphans()
        self.ledger.truncate_wal()
        discard_copies(self.ledger.path)
        previews.drop_orphans(self.ledger)
        masks.drop_orphans(self.ledger)
        return count
