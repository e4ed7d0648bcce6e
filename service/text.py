"""Words and tables for people: counts, the live status in one line, where lines end, and how wide a table is drawn."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, cast

from cutoutd.config.errors import ServiceError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rich.console import Console
    from rich.text import Text

    from cutoutd.daemon.live_status import LiveStatus

# Wider than the longest row there is: what reads a pipe wants one line per row.
PIPE_COLUMNS = 400


def screen() -> Console:
    """Standard output for tables and lines; it colours and wraps on a terminal only."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(
        highlight=False, width=PIPE_COLUMNS, file=cast("TextIO", _WithoutTrailingBlanks(sys.stdout))
    )


class _WithoutTrailingBlanks(io.TextIOBase):
    """Text on its way into a pipe or a file: a table's cells are filled up to the width of their column."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What Rich chooses its lines and marks by."""
        return self._to.encoding

    def write(self, text: str) -> int:
        """Writes it, less the blanks at the ends of its lines."""
        self._to.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        """Hands it on."""
        self._to.flush()


def said(text: str, style: str = "") -> Text:
    """Any text as one line on a terminal: it colours, moves and forges nothing, and markup in it is only shown."""
    from rich.text import Text

    return Text(printable(text), style=style)


def tell(console: Console, text: str, style: str = "", *, whole: Sequence[str] = ()) -> None:
    """Prints a line of any text as `said` has it; on a terminal it is folded, and `whole` stays in one piece."""
    from rich.text import Text

    shown = printable(text)
    if console.is_terminal:
        shown = folded(shown, console.width, whole=[printable(one) for one in whole])
    console.print(Text(shown, style=style), soft_wrap=True)


# What no line ends within: a command, and what is neither blank nor the beginning of one.
_PIECES = ("`[^`]*`", r"[^`\s]", "`")
# What begins a line: blanks, a sign such as ✓ with the blank after it, and up to four words with two blanks after them.
_BEGINNING = re.compile(r"\s*(?:[^\w\s`\"'(/~-] )?(?:(?:\S+ ){0,3}\S+ {2,})?")


def folded(text: str, columns: int, *, hang: int | None = None, whole: Sequence[str] = ()) -> str:
    """A text whose lines end between words, where the terminal would break one in two.

    A path or a command that is broken by a line's end cannot be copied: what stands in backticks, and any word that is
    longer than a line, is left for the terminal to continue.

    Args:
        text: what is to be shown, printable.
        columns: how wide the terminal is.
        hang: blanks before what goes on in the next line; unset, as many as the line begins with.
        whole: paths in it, which stay whole though they hold blanks.
    """
    if len(text) <= columns:
        return text
    paths = [re.escape(one) for one in sorted(whole, key=len, reverse=True) if " " in one]
    word = re.compile(rf"(\s*)((?:{'|'.join([*paths, *_PIECES])})+)")
    if hang is None:
        begins = _BEGINNING.match(text)
        hang = 0 if begins is None else begins.end()
        hang = hang if hang <= columns // 3 else 2
    lines, length = [""], 0
    for before, piece in word.findall(text):
        room = -length % columns if length else columns
        if length > hang and len(before) + len(piece) > room and len(piece) <= columns - hang:
            lines.append(" " * hang + piece)
            length = hang + len(piece)
        else:
            lines[-1] += before + piece
            length += len(before) + len(piece)
    return "\n".join(lines)


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
