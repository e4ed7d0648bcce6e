"""What the ledger forgets and what it must not: trimming, tombstones, `forget`; photos are never touched."""

from __future__ import annotations

from cutoutd.daemon.ledger import Ledger


class History:
    """Removes names, reasons and times of old rows, and keeps what stops an old photo from becoming new."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def trim(self, keep_s: float) -> int:
        """Turns rows finished longer ago than `keep_s` seconds into tombstones. Returns how many."""
        limit = self.ledger.clock() - keep_s
        ended = "state IN ('done', 'failed', 'skipped', 'superseded') AND finished < ? AND aftercare IN"
        ended += " ('none', 'done', 'failed')"
        self._bury(ended, (limit,))
        cursor = self.ledger.write(
            f"DELETE FROM photos WHERE {ended} AND id NOT IN (SELECT previous FROM photos"
            " WHERE previous IS NOT NULL AND state IN ('pending', 'running', 'delivering'))",
            (limit,),
        )
        return cursor.rowcount

    def _bury(self, condition: str, values: tuple[float, ...]) -> None:
        # A failed photo has a digest only when it was read; without one its size and time stand for it.
        self.ledger.write(
            "INSERT OR REPLACE INTO tombstones (inbox, key, size, mtime_ns, digest, last_seen)"
            " SELECT inbox, key, size, mtime_ns, coalesce(digest, ''), ? FROM photos"
            f" WHERE {condition} AND state IN ('done', 'failed')",
            (self.ledger.clock(), *values),
        )

    def seen(self, inbox: bytes, paths: list[bytes]) -> None:
        """A scan found these files: their tombstones stay."""
        now = self.ledger.clock()
        for path in paths:
            self.ledger.write(
                "UPDATE tombstones SET last_seen = ? WHERE inbox = ? AND key = ?",
                (now, inbox, self.ledger.key(path)),
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
        """Keeps only the keyed digest of a finished photo's name (`history.filenames = false`).

        The names of its cutouts go as well; their keys and digests stay, so that nothing is done twice.
        """
        self.ledger.write(
            "UPDATE photos SET path = NULL, detail = '' WHERE id = ? AND state IN ('done', 'skipped')"
            " AND aftercare IN ('none', 'done', 'failed')",
            (photo,),
        )
        self.ledger.write("UPDATE deliverables SET name = NULL WHERE photo = ? AND state = 'done'", (photo,))

    def forget(self, *, everything: bool) -> int:
        """Removes the names of finished photos now; with `everything` their rows become tombstones.

        Returns:
            How many photos were forgotten.
        """
        if everything:
            count = self.trim(-1.0)
        else:
            cursor = self.ledger.write(
                "UPDATE photos SET path = NULL, detail = '', archived_to = NULL WHERE path IS NOT NULL"
                " AND state IN ('done', 'skipped', 'superseded', 'failed')"
                " AND aftercare IN ('none', 'done', 'failed')"
            )
            count = cursor.rowcount
            self.ledger.write("UPDATE deliverables SET name = NULL WHERE state IN ('done', 'replaced')")
        self.ledger.write("UPDATE commands SET arguments = '', answer = '' WHERE taken IS NOT NULL")
        self.ledger.truncate_wal()
        return count
