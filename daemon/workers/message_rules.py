"""What a record's annotations allow a field to be, and text made to fit; `codec` reads by them."""

from __future__ import annotations

from msgspec import Struct


class Range(Struct, frozen=True):
    """A number's smallest and largest value; for `Annotated`."""

    low: float
    high: float


class Text(Struct, frozen=True):
    """Printable text of at most `longest` characters; `lines` also lets line feeds through. For `Annotated`."""

    longest: int
    lines: bool = False


class Hex(Struct, frozen=True):
    """Exactly so many hexadecimal digits, or none where `empty`; for `Annotated`."""

    digits: int
    empty: bool = False


class Most(Struct, frozen=True):
    """At most so many entries of a list or table; for `Annotated`."""

    entries: int


class Raw(Struct, frozen=True):
    """Plain values that whoever asked reads himself; for `Annotated`."""


def printed(text: object, longest: int, *, lines: bool = False) -> str:
    """Any text made fit for `Text`: what is not printable as an escape, and cut.

    Args:
        text: what to say.
        longest: characters of the answer at most.
        lines: line feeds stay.
    """
    shown = "".join(
        one if one.isprintable() or (lines and one == "\n") else one.encode("unicode_escape").decode("ascii")
        for one in str(text)[:longest]
    )
    return shown[:longest]
