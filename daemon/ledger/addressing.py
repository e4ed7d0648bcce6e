"""Which photos of the ledger somebody means who types a path or a name that cutoutd printed; it changes nothing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from cutoutd.config.errors import printable
from cutoutd.config.typed_paths import expanded
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import COLUMNS, PhotoRow, photo_row

# How a photo is called where its name is not kept or not to be shown.
_NUMBER = re.compile(r"^(?:photo )?#?(\d{1,18})$")


class _Known(Struct, frozen=True):
    """A photo and every absolute path under which it, its cutouts, or the note of its failure are known."""

    row: PhotoRow
    paths: tuple[bytes, ...]
    # Relative to its inbox or outbox, as `status` and the log show them.
    short: tuple[bytes, ...]


@dataclass(slots=True)
class AddressBook:
    """Every photo whose names are kept, to be looked up by what people type.

    Args:
        ledger: read once.
    """

    ledger: Ledger
    _known: list[_Known] = field(init=False)

    def __post_init__(self) -> None:
        """Reads all names."""
        outputs: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        for row in self.ledger.read(
            "SELECT photo, outbox, name FROM deliverables WHERE state = 'done' AND name IS NOT NULL"
        ):
            outputs[row["photo"]].append((row["outbox"], row["name"]))
        self._known = []
        for raw in self.ledger.read(f"SELECT {COLUMNS} FROM photos ORDER BY id"):
            row = photo_row(raw)
            paths = [os.path.join(outbox, name) for outbox, name in outputs[row.id]]
            short = [name for _, name in outputs[row.id]]
            if row.path is not None:
                paths.append(os.path.join(row.inbox, row.path))
                short.append(row.path)
            if row.archived_to is not None:
                paths += [row.archived_to, row.archived_to + b".txt"]
                short += [os.path.basename(row.archived_to)]
            self._known.append(_Known(row, tuple(paths), tuple(short)))

    def find(self, typed: str, *, folder: str | None = None, below: bool = True) -> list[PhotoRow]:
        """The photos that are meant, oldest first; empty when there are none.

        A path of an original, of its place in an archive or a folder of failed ones, of a cutout, of a folder with
        any of these in it; else a bare name, or a photo's number.

        Args:
            typed: as it stands on the command line; escapes that cutoutd prints for odd characters are understood.
            folder: where a relative path starts; unset, the working directory.
            below: a folder means what is in it; unset, it does.
        """
        if not typed:  # a script's unset variable is not the folder that it runs in
            return []
        absolute = os.path.abspath(os.path.join(folder or os.getcwd(), expanded(typed)))
        wanted = {os.fsencode(absolute), os.fsencode(os.path.realpath(absolute))}
        shown = {printable(path) for path in wanted} | {absolute}
        found = [
            one.row for one in self._known if any(_is_at(path, wanted, shown, below) for path in one.paths)
        ]
        if found or os.path.isabs(typed):
            return found
        name = os.path.normpath(typed)
        found = [one.row for one in self._known if any(_is_called(path, name) for path in one.short)]
        number = _NUMBER.match(typed)
        if found or number is None:
            return found
        return [one.row for one in self._known if one.row.id == int(number[1])]


def _is_at(path: bytes, wanted: Iterable[bytes], shown: set[str], below: bool) -> bool:
    return any(path == one or (below and path.startswith(one.rstrip(b"/") + b"/")) for one in wanted) or (
        printable(path) in shown
    )


def _is_called(path: bytes, name: str) -> bool:
    """Whether a relative path is this one, or its last part is this name."""
    if name in (os.fsdecode(path), printable(path)):
        return True
    last = os.path.basename(path)
    return "/" not in name and name in (os.fsdecode(last), printable(last))
