"""Standard streams that outlive their terminal or reader, and whether a terminal went away; it prints nothing."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

# `typing` itself is not imported: with all that it loads it would be half of what `cutoutd --version` takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

# What a process inherits as standard input, output and error.
STDIN, STDOUT = 0, 1
_STANDARD = (STDIN, STDOUT, 2)
# Those of them that were closed when this one started.
closed: set[int] = set()


def repair() -> None:
    """Gives closed standard descriptors /dev/null, so that no file of ours is opened under their numbers.

    `cutoutd run >&-` would otherwise print into the ledger. Characters that the terminal's encoding lacks are
    written as escapes instead of ending the program.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            spare = os.open(os.devnull, os.O_RDWR)
            if spare != number:  # it takes the lowest free number, which is this one, unless 0 was closed too
                os.dup2(spare, number)
                os.close(spare)
            os.set_inheritable(number, True)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        # Python itself sets None for a descriptor that was closed at its start.
        stream: object = getattr(sys, name)
        if stream is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    out: object = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")


class Enduring(io.TextIOBase):
    """A text stream whose reader may go away, or whose disk may be full: what cannot be written is dropped.

    For work that must not end because nobody looks on any more. `gone` tells that the other end is, `lost` that a full
    disk took nothing.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self.gone = False
        self.lost = False
        self.filter: Callable[[str], str] = str

    def write(self, text: str, /) -> int:
        """Writes it or drops it; never raises OSError.

        Raises:
            TypeError: for bytes, by which click asks whether a stream is one of text.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - see above
            raise TypeError("text is written here, not bytes")
        if not self.gone:
            try:
                self._stream.write(self.filter(text))
            except (OSError, ValueError) as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        """Writes out what is held back; never raises OSError."""
        if not self.gone:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        # A full disk may have room later; a reader that left does not come back.
        self.gone = not isinstance(error, OSError) or not _is_full(error)
        self.lost = self.lost or not self.gone
        with suppress(OSError, ValueError):
            empty = os.open(os.devnull, os.O_WRONLY)
            if self.gone:
                # What is held back goes there, also at the program's end.
                os.dup2(empty, self._stream.fileno())
            os.close(empty)

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        return not self.gone and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor beneath."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Closes the stream beneath; never raises OSError."""
        if not self.closed:
            self.flush()
            with suppress(OSError, ValueError):
                self._stream.close()
            super().close()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - as of the stream beneath
        """As of the stream beneath."""
        return self._stream.encoding

    @property
    def buffer(self) -> Any:
        """The bytes beneath."""
        return self._stream.buffer


def _is_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def endure(*names: str) -> None:
    """From now on these of `stdout` and `stderr` may go away without ending the program."""
    for name in names:
        stream = getattr(sys, name)
        if not isinstance(stream, Enduring):
            setattr(sys, name, Enduring(stream))


def filtered(stream: TextIO, what: Callable[[str], str]) -> None:
    """From now on every text that is written to an enduring stream passes through a function first."""
    if isinstance(stream, Enduring):
        stream.filter = what


class Terminal:
    """The terminal that this process was started from, if any.

    Args:
        path: the file that stands for the controlling terminal.
    """

    def __init__(self, path: str = "/dev/tty") -> None:
        self._path = path
        self._had = self._there()

    def gone(self) -> bool:
        """Whether there was one and it has hung up, which is when the kernel and the shell send SIGHUP."""
        return self._had and not self._there()

    def _there(self) -> bool:
        try:
            os.close(os.open(self._path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return False
        return True
