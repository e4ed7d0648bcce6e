"""The digest that decides whether two contents are the same; it opens nothing by itself but what it is named."""

from __future__ import annotations

import hashlib
import os

from cutoutd.daemon.files.interface import FileSystem

# Read and compared at a time: calls are few beside what they carry, and a thread takes little memory.
BLOCK_BYTES = 1 << 20


def new_digest(data: bytes | memoryview = b"") -> hashlib.blake2b:
    """BLAKE2b-256, to be fed with more: as hex it is what the ledger keeps for contents and outputs."""
    return hashlib.blake2b(data, digest_size=32)


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
    total = new_digest()
    while block := fs.read(fd, BLOCK_BYTES):
        total.update(block)
    return total.hexdigest()


def has_content(fd: int, digest: str, size: int, fs: FileSystem) -> bool:
    """Whether a file that was opened and not read yet holds exactly this.

    Another size says no before a byte is read: a file with holes may seem to hold terabytes, and to read them takes
    hours.

    Args:
        fd: of the file.
        digest: of the content.
        size: of the content, bytes; 0 when not known, then all of the file is read.
        fs: the file system.

    Raises:
        OSError: it cannot be read.
    """
    if size and fs.fstat(fd).st_size != size:
        return False
    total, rest = new_digest(), size or None
    while block := fs.read(fd, BLOCK_BYTES):
        total.update(block)
        if rest is not None:
            rest -= len(block)
            if rest < 0:  # it has grown meanwhile
                return False
    return total.hexdigest() == digest
