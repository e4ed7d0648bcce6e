"""What a WebP film leaves free around its first picture; Pillow's decoder does all else."""

from __future__ import annotations

import struct
from typing import Final

# Of the flags in the extended header (RFC 9649, 2.7): some pixels are transparent; the file is a film.
_ALPHA: Final = 0x10
_FILM: Final = 0x02
_FLAGS_AT: Final = 20
_FIRST_PART_AT: Final = 30  # behind that header, which is always as long


def with_what_it_leaves_free(data: bytes) -> bytes:
    """The same file, with the flag that has its first picture's surroundings transparent where there are any.

    Some writers set the flag only for pictures that are transparent themselves; the rest of the canvas is black then.
    """
    if (
        data[12:16] != b"VP8X"
        or len(data) < _FIRST_PART_AT
        or data[_FLAGS_AT] & (_FILM | _ALPHA) != _FILM
        or _fills(data)
    ):
        return data
    return data[:_FLAGS_AT] + bytes([data[_FLAGS_AT] | _ALPHA]) + data[_FLAGS_AT + 1 :]


def _fills(data: bytes) -> bool:
    """Whether the first picture is as large as the canvas; True where there is none."""
    at = _FIRST_PART_AT
    while at + 24 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF":
            return (
                data[at + 14 : at + 20] == data[24:30]
            )  # width and height, three bytes each, as the header has them
        at += 8 + size + size % 2
    return True
