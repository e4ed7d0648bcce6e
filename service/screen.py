"""Where tables are drawn: as wide as the terminal, and in a pipe wide enough that no row is broken."""

from __future__ import annotations

from rich.console import Console

# Wider than the longest row there is: what reads a pipe wants one line per row.
PIPE_COLUMNS = 400


def screen() -> Console:
    """Standard output for tables and lines; it colours and wraps on a terminal only."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def counted(number: int, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
