"""A photo that comes through standard input, whatever that is, as a file; it looks at no photo.

A folder there ends Python itself before any program of ours begins.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cutoutd.config.errors import FolderError, UsageError
from cutoutd.service import streams

EXAMPLE: Final = "Send a photo: `cutoutd once - -o - < a.jpg > a.png`."
_BLOCK: Final = 1 << 20


def kept_from_standard_input(scratch: Path, most_bytes: int) -> Path:
    """A file with what comes in, and no more of it than shows that it is too much.

    Its name is what its cutout is called in a folder.

    Raises:
        UsageError: nobody sends anything: it is a terminal, closed, or cannot be read.
        FolderError: there is no room for it.
    """
    if streams.STDIN in streams.closed:
        raise UsageError("Standard input is closed", fix=EXAMPLE)
    if sys.stdin.isatty():
        raise UsageError("Standard input is a terminal", fix=EXAMPLE)
    path = scratch / "stdin"
    most_bytes += 1  # one more than is taken, so that the limit itself says no
    blocks = _blocks(sys.stdin.buffer.read, sys.stdin.fileno(), most_bytes)
    try:
        with path.open("wb") as file:
            for block in blocks:
                file.write(block)
    except OSError as error:
        raise FolderError(
            f"Standard input finds no room among the temporary files ({error.strerror})",
            scratch.parent,
            "Free space there, or name another folder: `TMPDIR=... cutoutd once ...`.",
        ) from error
    return path


def _blocks(read: Callable[[int], bytes | None], fd: int, left: int) -> Iterator[bytes]:
    try:
        while left > 0:
            block = read(min(_BLOCK, left))
            if block is None:  # others have set a pipe not to wait, and nothing has come yet: that is no end
                select.select([fd], [], [])
                continue
            if not block:
                return
            yield block
            left -= len(block)
    except OSError as error:
        raise UsageError(f"Standard input cannot be read ({error.strerror})", fix=EXAMPLE) from error
