"""The digest that decides whether two contents are the same; it opens nothing by itself but what it is named."""

from __future__ import annotations

import hashlib
import os

from cutoutd.daemon.files.interface import FileSystem

_BLOCK = 1 << 20


def digest_of(data: bytes | memoryview) -> str:
    """BLAKE2b-256 as hex: what the ledger keeps for contents and outputs."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def digest_file(path: bytes, fs: FileSystem) -> str:
    """The same, of a plain file read in blocks.

    Raises:
        UnsafePath: it is none.
        OSError: it cannot be read.
    """
    fd = fs.open(path, os.O_RDONLY)
    try:
        return digest_opened(fd, fs)
    finally:
        fs.close(fd)


def digest_opened(fd: int, fs: FileSystem) -> str:
    """The same, of a file that was opened and not read yet. Raises OSError."""
    total = hashlib.blake2b(digest_size=32)
    while block := fs.read(fd, _BLOCK):
        total.update(block)
    return total.hexdigest()
