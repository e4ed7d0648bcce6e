"""Which deliverables one photo owes: its inbox's own, or those of the first rule that fits; it makes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from cutoutd.config import photo_list
from cutoutd.config.errors import UsageError, printable
from cutoutd.config.explain import problems_of
from cutoutd.config.output import Deliverable
from cutoutd.config.photo_list import PhotoList
from cutoutd.config.plain_file import read_plain
from cutoutd.config.presets import expand
from cutoutd.config.rules import Rule, named_apart, unpack_deliverable
from cutoutd.config.settings import Inbox
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.watching.filters import matches

# A list of 100,000 photos has a few megabytes.
_MOST_BYTES = 64_000_000

Presets = Mapping[str, Mapping[str, Any]]


class ListError(UsageError):
    """A list cannot be read now, or has no header: what its photos become is not known."""


class LineError(UsageError):
    """The line of a list that names a photo has a mistake."""


class Chosen(Struct, frozen=True):
    """What one photo owes, and the rule that says so, in words; empty: the inbox itself."""

    deliverables: tuple[Deliverable, ...]
    rule: str = ""


def chosen(inbox: Inbox, path: bytes, presets: Presets) -> Chosen:
    """What a photo owes.

    Args:
        inbox: its inbox.
        path: its path relative to the inbox.
        presets: the user's own.

    Raises:
        ListError: a list that may name it cannot be read.
        LineError: the line of a list that names it has a mistake.
    """
    for number, rule in enumerate(inbox.rule, 1):
        if rule.csv is not None:
            found = _listed(rule.csv, inbox, path, presets)
            if found is not None:
                return found
        elif matches(rule.match, path):
            return Chosen(rule.deliver, f'rule {number} (match = "{rule.match}")')
    return Chosen(inbox.deliverables())


def problems_of_list(rule: Rule, inbox: Inbox, presets: Presets) -> Iterator[str]:
    """What is wrong with a rule's list: `file:line: sentence`."""
    if rule.csv is None:
        return
    try:
        listed = read_list(rule.csv)
    except ListError as error:
        yield str(error)
        return
    for line, problem in sorted(listed.wrong.items()):
        yield f"{printable(rule.csv)}:{line}: {problem}"
    for entry in sorted(listed.entries.values(), key=lambda one: one.line):
        try:
            _deliverables_of(rule.csv, entry, inbox, presets)
        except LineError as error:
            yield error.what


def read_list(path: Path) -> PhotoList:
    """The list as it is now; read again only when it has changed.

    Raises:
        ListError: it cannot be read, or its header is wrong.
    """
    listed = run_with_timeout(LOOK_S, lambda: _looked_at(path), "it does not answer")
    if isinstance(listed, str):
        raise ListError(f"The list of photos cannot be read ({listed})", path, "Put it there again.")
    if 1 in listed.wrong:
        raise ListError(
            f"{printable(path)}: {listed.wrong[1]}", fix="Fix it; a changed list is taken up at once."
        )
    return listed


def _looked_at(path: Path) -> PhotoList | str:
    try:
        facts = path.stat()
        return _parsed(path, facts.st_mtime_ns, facts.st_size, facts.st_ino)
    except OSError as error:
        return error.strerror or "it is not there"


@lru_cache(maxsize=8)
def _parsed(path: Path, mtime_ns: int, size: int, inode: int) -> PhotoList:
    del mtime_ns, size, inode  # part of the key only
    return photo_list.parse(read_plain(path, _MOST_BYTES))


def _listed(path: Path, inbox: Inbox, photo: bytes, presets: Presets) -> Chosen | None:
    """What a list says of a photo; None where it does not name it."""
    listed = read_list(path)
    stem = photo_list.folded(os.path.splitext(os.path.basename(os.fsdecode(photo)))[0])
    if stem in listed.mistaken:
        line = listed.mistaken[stem]
        raise _line_error(path, line, listed.wrong[line])
    entry = listed.entries.get(stem)
    if entry is None:
        return None
    return Chosen(_deliverables_of(path, entry, inbox, presets), f"{printable(path)}:{entry.line}")


def _line_error(path: Path, line: int, problem: str) -> LineError:
    return LineError(f"{printable(path)}:{line}: {problem}", fix="Fix it; then `cutoutd retry` the photo.")


def _deliverables_of(
    path: Path, entry: photo_list.Entry, inbox: Inbox, presets: Presets
) -> tuple[Deliverable, ...]:
    """What one line of a list asks for."""
    if entry.preset:
        wanted = named_apart(unpack_deliverable({"preset": entry.preset}))
    else:
        wanted = [one.model_dump(exclude_unset=True) for one in inbox.deliverables()]
    if entry.name:
        suffix = "-{deliverable}" if len(wanted) > 1 else ""
        wanted = [{**one, "name": entry.name + suffix} for one in wanted]
    try:
        return tuple(Deliverable.model_validate(expand(one, presets)) for one in wanted)
    except ValidationError as error:
        words = "; ".join(problem.message for problem in problems_of(error, Deliverable))
        raise _line_error(path, entry.line, words) from error
    except ValueError as error:
        raise _line_error(path, entry.line, str(error)) from error
