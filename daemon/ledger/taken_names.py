"""Names in an outbox that rows hold or are about to hold; what lies there besides is seen in the folder itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cutoutd.daemon.ledger.database import Ledger


@dataclass(frozen=True, slots=True)
class Taken:
    """Name keys that are held, some of them known by their keyed digests alone (`history.filenames = false`)."""

    names: frozenset[str]
    nameless: frozenset[str]
    key: Callable[[str], str]

    def __contains__(self, name: object) -> bool:
        return name in self.names or (bool(self.nameless) and self.key(str(name)) in self.nameless)

    def __or__(self, more: Iterable[str]) -> Taken:
        return Taken(self.names | frozenset(more), self.nameless, self.key)


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
