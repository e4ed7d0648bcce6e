"""Typed doors to isal's deflate and checksums, for PNG, TIFF strips and temporaries; no format is known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isal import isal_zlib

if TYPE_CHECKING:  # the supervisor, which loads this too, has no NumPy
    import numpy as np
    from numpy.typing import NDArray

# isal's stubs name a buffer type that pyright cannot see on Python 3.11.
_isal: Any = isal_zlib


def raw(data: memoryview | bytes, level: int, *, last: bool) -> tuple[bytes, bytes]:
    """A raw deflate stream (RFC 1951) without header or checksum, isal level 0 to 3, in the two pieces that isal makes.

    Unless `last`, it ends on a byte boundary and may be followed by another stream made apart from it.
    """
    packer = _isal.compressobj(level, _isal.DEFLATED, -15)
    return packer.compress(data), packer.flush(_isal.Z_FINISH if last else _isal.Z_FULL_FLUSH)


def zlib_stream(data: memoryview | bytes, level: int) -> bytes:
    """A complete zlib stream (RFC 1950), isal level 0 to 3."""
    return _isal.compress(data, level)


def crc32(data: memoryview | bytes, start: int = 0) -> int:
    """The CRC-32 of PNG chunks, continued from `start`: tells damage, in a thirtieth of the time of a digest."""
    return _isal.crc32(data, start)


def adler32(data: NDArray[np.uint8]) -> int:
    """The Adler-32 of contiguous bytes."""
    return _isal.adler32(data)
