"""Words and tables for people: counts, the live status in one line, and how wide a table is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from cutoutd.config.errors import ServiceError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Wider than the longest row there is: what reads a pipe wants one line per row.
PIPE_COLUMNS = 400
_STATES = ("pending", "running", "delivering", "done", "failed", "skipped")


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


def counts_of(status: Mapping[str, Any]) -> dict[str, int]:
    """How many photos stand in each state; states the status does not name count 0."""
    found: Any = status.get("counts")
    counts = cast("Mapping[str, Any]", found if isinstance(found, Mapping) else status)
    return {state: int(counts[state]) for state in _STATES if isinstance(counts.get(state), int)}


def status_line(status: Mapping[str, Any]) -> str:
    """`2 in hand, 14 waiting, 310 done, 1 failed`; what is zero is left out."""
    counts = counts_of(status)
    in_hand = counts.get("running", 0) + counts.get("delivering", 0)
    parts = [
        (in_hand, "in hand"),
        (counts.get("pending", 0), "waiting"),
        (counts.get("done", 0), "done"),
        (counts.get("failed", 0), "failed"),
    ]
    line = ", ".join(f"{number} {word}" for number, word in parts if number)
    notes = [str(status["why"])] if status.get("why") else []
    inboxes = cast("list[Mapping[str, Any]]", status.get("inboxes") or [])
    troubled = [inbox for inbox in inboxes if inbox.get("trouble")]
    if troubled:
        notes.append(f"{len(troubled)} of {len(inboxes)} inboxes in trouble")
    return "; ".join([line or "Waiting for photos", *notes])
