"""On which line of a TOML file does a key stand? For error messages only; `tomllib` reads the values.

The text must be valid TOML (`tomllib` has accepted it), which keeps this scanner small.
"""

from __future__ import annotations

import re

# A place in the parsed document: table and key names, and 0-based indices into arrays.
Place = tuple[str | int, ...]

# Options lie at most half as deep, such as `inbox.0.rule.0.deliver.0.caption`; what is written deeper than this has the
# line of what it lies in, or a key of thousands of names would take gigabytes.
DEEPEST = 16

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
# The four kinds of string, longest delimiter first; up to two more quotes may close a multi-line one.
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


def locate(text: str) -> dict[Place, int]:
    """The 1-based line of every table, key and array element of a valid TOML document."""
    return _Scanner(text).run()


def line_of(lines: dict[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest table around it; 1 when nothing of it is in the file."""
    for end in range(len(place), 0, -1):
        if place[:end] in lines:
            return lines[place[:end]]
    return 1


class _Scanner:
    """One pass over the text; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._counted = (0, 1)  # up to which position lines were counted, and the line there
        self.lines: dict[Place, int] = {}
        self.tables: dict[Place, int] = {}  # how many elements each array of tables has so far

    def run(self) -> dict[Place, int]:
        """The line of every table and key, by place; call it once."""
        table: Place = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return self.lines
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line = self._line()
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        names = self._key()
        self.at += 2 if is_array else 1
        is_array = is_array and len(names) <= DEEPEST
        names = names[:DEEPEST]
        table: Place = ()
        for name in names[:-1]:
            table = self._newest((*table, name))
            self.lines.setdefault(table, line)
        table = (*table, names[-1])
        if is_array:
            index = self.tables[table] = self.tables.get(table, -1) + 1
            self.lines.setdefault(table, line)
            table = (*table, index)
        self.lines.setdefault(table, line)
        return table

    def _newest(self, table: Place) -> Place:
        """Below an array of tables, a header speaks of its newest element."""
        return (*table, self.tables[table]) if table in self.tables else table

    def _pair(self, table: Place) -> None:
        line = self._line()
        place = table
        for name in self._key()[: max(0, DEEPEST - len(table))]:
            place = (*place, name)
            self.lines.setdefault(place, line)
        self.at += 1  # the equals sign
        self._skip(_SPACES)
        self._value(place)

    def _value(self, place: Place) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self._string()
        elif opening == "[":
            self._array(place)
        elif opening == "{":
            self._inline_table(place)
        else:
            self._skip(_SCALAR)

    def _array(self, place: Place) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.lines.setdefault((*place, index), self._line())
            self._value((*place, index))
            index += 1

    def _inline_table(self, place: Place) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(place)

    def _key(self) -> list[str]:
        """A bare, quoted or dotted key; ends before `=` or `]`."""
        names: list[str] = []
        while True:
            self._skip(_SPACES)
            names.append(self._string() if self.text[self.at] in "\"'" else self._skip(_BARE_KEY))
            self._skip(_SPACES)
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _string(self) -> str:
        for pattern in _STRINGS:
            match = pattern.match(self.text, self.at)
            if match is not None:
                self.at = match.end()
                return _unquote(match[0])
        raise AssertionError("not valid TOML")  # tomllib has read this text before

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise AssertionError("not valid TOML")  # tomllib has read this text before
        self.at = match.end()
        return match[0]

    def _line(self) -> int:
        before, line = self._counted
        line += self.text.count("\n", before, self.at)
        self._counted = (self.at, line)
        return line


def _unquote(literal: str) -> str:
    """The text of a one-line string as it stands in a key."""
    if literal.startswith("'"):
        return literal[1:-1]
    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", _unescape, literal[1:-1])


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPES.get(code, code)
