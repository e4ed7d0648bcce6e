"""How the pages of figures write a measured value, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def ranged(values: Mapping[str, float], unit: str, digits: int) -> str:
    """The median with its unit, and the range where there is one."""
    middle = f"{values['median']:.{digits}f} {unit}"
    low, high = f"{values['least']:.{digits}f}", f"{values['greatest']:.{digits}f}"
    return middle if low == high else f"{middle} [{low} … {high}]"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown, without a line end behind it."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
