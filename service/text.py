"""Words and tables for people: counts, the live status in one line, and how wide a table is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.config.errors import ServiceError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cutoutd.daemon.live_status import LiveStatus

# Wider than the longest row there is: what reads a pipe wants one line per row.
PIPE_COLUMNS = 400


def screen() -> Console:
    """Standard output for tables and lines; it colours and wraps on a terminal only."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def said(text: str, style: str = "") -> Text:
    """Any text as one line on a terminal: it colours, moves and forges nothing, and markup in it is only shown."""
    from rich.text import Text

    return Text(printable(text), style=style)


def refuse_control_characters(text: str) -> None:
    """Nothing that another program could take for the end of a line gets into a file that it reads.

    Raises:
        ServiceError: a path or an argument holds one, or bytes that are no UTF-8.
    """
    if printable(text) != text:
        raise ServiceError(
            "A service cannot be set up for a path with control characters, or with bytes that are no UTF-8",
            text,
            "Rename the folder, and change the configuration with it.",
        )


def counted(number: int, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def status_line(status: LiveStatus) -> str:
    """`2 in hand, 14 waiting, 310 done, 1 failed`; what is zero is left out."""
    counts = status.counts
    parts = [
        (counts.in_hand, "in hand"),
        (counts.pending, "waiting"),
        (counts.done, "done"),
        (counts.failed, "failed"),
    ]
    line = ", ".join(f"{number} {word}" for number, word in parts if number)
    notes = [status.why] if status.why else []
    troubled = sum(bool(inbox.trouble) for inbox in status.inboxes)
    if troubled:
        notes.append(f"{troubled} of {len(status.inboxes)} inboxes in trouble")
    return "; ".join([line or "Waiting for photos", *notes])
