"""Names in an outbox, as rows hold them: taken, given up, and those of cutouts that are still to be withdrawn.

It touches no file: what lies in an outbox besides is seen in the folder itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.states import State


class Taken(Struct, frozen=True):
    """Name keys that are held, some of them known by their keyed digests alone (`history.filenames = false`)."""

    names: frozenset[str]
    nameless: frozenset[str]
    key: Callable[[str], str]

    def __contains__(self, name: object) -> bool:
        return name in self.names or (bool(self.nameless) and self.key(str(name)) in self.nameless)

    def __or__(self, more: Iterable[str]) -> Taken:
        return Taken(self.names | frozenset(more), self.nameless, self.key)

    def without(self, keys: Iterable[str]) -> Taken:
        """All but these, named or nameless."""
        free = frozenset(keys)
        return Taken(self.names - free, self.nameless - free, self.key)


def names_taken(ledger: Ledger, outbox: bytes, prefix: str, *, besides: int) -> Taken:
    """Name keys in an outbox, with this prefix, that rows other than `besides` hold or are about to hold."""
    held = (
        "SELECT name_key FROM deliverables WHERE outbox = ? AND name_key >= ? AND name_key < ?"
        " AND state IN ('delivering', 'done') AND photo <> ?"
    )
    rows = ledger.read(held, (outbox, prefix, prefix + "\U0010ffff", besides))
    nameless = ledger.read(held, (outbox, "/", "0", besides))  # "0" comes after "/"
    return Taken(
        frozenset(row["name_key"] for row in rows),
        frozenset(row["name_key"] for row in nameless),
        ledger.nameless,
    )


class Withdrawal(Struct, frozen=True):
    """A cutout that is to go, if it is still exactly what was published.

    `holder` is the name of the photo's cutout that has the same name but for case and Unicode form, or empty;
    `is_beside` says that a newer cutout of the very photo lies in the same outbox.
    """

    id: int
    outbox: bytes
    name: bytes
    out_digest: str
    out_size: int
    holder: bytes
    is_beside: bool


class Withdrawals:
    """Deliverables in the state `leaving`: their names are free for others, their files still lie there.

    Their photo was renamed (`leave`), done again in another format or under another name (`Transitions.delivering`), or
    saved anew, while their label is no longer asked for (`leave_outdated`).
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def leave(self, old: PhotoRow, new: PhotoRow) -> None:
        """A renamed photo is cut out again under its new name; what it has under the old one is to go after that.

        Args:
            old: the row that spoke for the photo so far; it ends.
            new: the row of the name that it has now, which takes over what a `redo` asked of it, the points or the
                mask that it was made with, and what was decided about it.
        """
        self.ledger.write(
            "UPDATE deliverables SET gives_way_to = ? WHERE gives_way_to = ? AND state = 'leaving'",
            (new.id, old.id),
        )
        self.ledger.write(
            "UPDATE deliverables SET state = 'leaving', gives_way_to = ? WHERE photo = ? AND state = 'done'",
            (new.id, old.id),
        )
        self.ledger.move(old.id, State.SUPERSEDED, {"live": 0, "finished": self.ledger.clock()})
        made_with = Remarks(self.ledger).handed_on(old.id, new.id)
        wish = Overrides.from_json(old.overrides).with_corrections(made_with)
        self.ledger.write("UPDATE photos SET overrides = ? WHERE id = ?", (wish.to_json(), new.id))

    def given_up(self, outbox: bytes) -> Mapping[str, Mapping[str, int]]:
        """Our cutouts that may be replaced by their name's new owner: per name key digests, each with its size."""
        rows = self.ledger.read(
            "SELECT name_key, out_digest, out_size FROM deliverables WHERE outbox = ? AND state = 'leaving'",
            (outbox,),
        )
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            found.setdefault(row["name_key"], {})[row["out_digest"]] = int(row["out_size"] or 0)
        return found

    def sizes_of(self, digests: Iterable[str]) -> dict[str, int]:
        """How many bytes our cutouts with these digests have; those that are not known, or empty, are left out."""
        wanted = tuple({digest for digest in digests if digest})
        if not wanted:
            return {}
        rows = self.ledger.read(
            "SELECT out_digest, max(out_size) AS size FROM deliverables"
            f" WHERE out_digest IN ({', '.join('?' * len(wanted))}) GROUP BY out_digest",
            wanted,
        )
        return {row["out_digest"]: int(row["size"]) for row in rows if row["size"]}

    def due(self, inbox: bytes) -> list[Withdrawal]:
        """Those whose photo, or the one that followed it, has its cutout under another name or elsewhere by now."""
        rows = self.ledger.read(
            "SELECT d.id, d.outbox, d.name, d.out_digest, d.out_size,"
            # One whose name was forgotten is known by its key alone: then nothing under that name is touched.
            " (SELECT coalesce(h.name, d.name) FROM deliverables h WHERE h.outbox = d.outbox"
            "   AND h.name_key IN (d.name_key, nameless(d.name_key)) AND h.state = 'done') AS holder,"
            " EXISTS (SELECT 1 FROM deliverables e WHERE e.photo IN (d.photo, d.gives_way_to)"
            "   AND e.outbox = d.outbox AND e.state = 'done' AND e.id > d.id) AS beside"
            " FROM deliverables d JOIN photos p ON p.id = d.photo WHERE d.state = 'leaving' AND p.inbox = ?"
            # Whoever is to replace it in its place may fall through.
            " AND NOT EXISTS (SELECT 1 FROM deliverables h WHERE h.outbox = d.outbox"
            "   AND h.name_key IN (d.name_key, nameless(d.name_key)) AND h.state = 'delivering')"
            " AND (EXISTS (SELECT 1 FROM deliverables e WHERE e.photo = d.photo AND e.label = d.label"
            "   AND e.state = 'done' AND e.id > d.id)"
            " OR EXISTS (SELECT 1 FROM photos q JOIN deliverables e ON e.photo = q.id WHERE q.previous = p.id"
            "   AND e.label = d.label AND e.state = 'done' AND e.id > d.id)"
            " OR EXISTS (SELECT 1 FROM photos q JOIN deliverables e ON e.photo = q.id WHERE q.id = d.gives_way_to"
            "   AND q.state = 'done' AND e.state = 'done')"
            # What it gives way to may be gone, or not known. A copy is not it, and may have been done long before.
            " OR (NOT EXISTS (SELECT 1 FROM photos q WHERE q.id = d.gives_way_to"
            "   AND q.state IN ('pending', 'running', 'delivering', 'failed'))"
            "  AND EXISTS (SELECT 1 FROM photos q JOIN deliverables e ON e.photo = q.id WHERE q.inbox = p.inbox"
            "   AND q.digest = p.digest AND q.id <> p.id AND q.state = 'done' AND e.state = 'done')))"
            " ORDER BY d.id",
            (inbox,),
        )
        return [
            Withdrawal(
                row["id"],
                row["outbox"],
                row["name"] or b"",
                row["out_digest"],
                int(row["out_size"] or 0),
                row["holder"] or b"",
                bool(row["beside"]),
            )
            for row in rows
        ]

    def withdrawn(self, deliverable: int) -> None:
        """Nothing of ours lies there any more, or what lies there is somebody else's."""
        self.ledger.write(
            "UPDATE deliverables SET state = 'replaced' WHERE id = ? AND state = 'leaving'", (deliverable,)
        )


def leave_outdated(ledger: Ledger, photo: int) -> None:
    """What shows a photo's earlier content, under labels that it was not asked for this time, is to go."""
    ledger.write(
        "UPDATE deliverables SET state = 'leaving', gives_way_to = ? WHERE state = 'done'"
        # An earlier frame's original may be elsewhere: then its cutouts are not this photo's.
        " AND photo = (SELECT p.id FROM photos n JOIN photos p ON p.id = n.previous WHERE n.id = ?"
        "  AND p.digest <> n.digest AND p.archived_to IS NULL AND p.aftercare = 'none')"
        " AND label NOT IN (SELECT label FROM deliverables WHERE photo = ? AND state = 'done')",
        (photo, photo, photo),
    )
