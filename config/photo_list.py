"""The user's list of photos and what each becomes, read from the text of a CSV file; it opens none."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from cutoutd.config import names

# Columns that mean something; all others are the user's own.
STEM, PRESET, NAME = "stem", "preset", "name"
_DELIMITERS = ",;\t"


class Entry(Struct, frozen=True):
    """One photo of the list, and the number of its line."""

    line: int
    preset: str
    name: str


class PhotoList(Struct, frozen=True):
    """What stands in a list.

    Attributes:
        entries: by the photo's stem, folded.
        wrong: by a line's number what is wrong with it; line 1 is the header, and then nothing else counts.
        mistaken: stems of lines with a mistake, and the line.
    """

    entries: Mapping[str, Entry]
    wrong: Mapping[int, str] = field(default_factory=dict[int, str])
    mistaken: Mapping[str, int] = field(default_factory=dict[str, int])


def folded(stem: str) -> str:
    """A stem for comparing: upper and lower case, and ways to write accents, are the same."""
    return unicodedata.normalize("NFC", stem.strip()).casefold()


def parse(data: bytes) -> PhotoList:
    """The list in these bytes; mistakes are part of the answer."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return PhotoList({}, {1: f"line {line} is not UTF-8: save the list as CSV in UTF-8"})
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = ((reader.line_num, cells) for cells in reader)
    try:
        header = [cell.strip().casefold() for cell in next((cells for _, cells in rows), list[str]())]
        if header.count(STEM) != 1 or not {PRESET, NAME} & set(header):
            return PhotoList({}, {1: "the header needs a column stem, and preset or name beside it"})
        return _entries(rows, header)
    except csv.Error as error:
        return PhotoList({}, {1: f"line {reader.line_num} is no CSV ({error})"})


def _entries(rows: Iterable[tuple[int, list[str]]], header: Sequence[str]) -> PhotoList:
    entries: dict[str, Entry] = {}
    wrong: dict[int, str] = {}
    mistaken: dict[str, int] = {}
    for line, cells in rows:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if not any(row.values()):
            continue
        stem = folded(row.get(STEM, ""))
        entry = Entry(line, row.get(PRESET, ""), row.get(NAME, ""))
        problem = _problem(stem, entry, entries)
        if problem:
            wrong[line] = problem
            mistaken[stem] = line
        else:
            entries[stem] = entry
    for stem in mistaken:  # also the first of two lines: which of them is meant?
        entries.pop(stem, None)
    return PhotoList(entries, wrong, mistaken)


def _problem(stem: str, entry: Entry, entries: Mapping[str, Entry]) -> str:
    if not stem:
        return "the stem is missing"
    if stem in entries:
        return f"the photo stands in line {entries[stem].line} already"
    if not (entry.preset or entry.name):
        return "neither preset nor name is given"
    try:
        names.check_name(entry.name or "{stem}")
    except ValueError as error:
        return str(error)
    return ""
