"""The digests that decide whether two contents are the same; nothing is opened here but what is named."""

from __future__ import annotations

import hashlib
import os

from cutoutd.daemon.files.interface import FileSystem
from cutoutd.models.rendering.deflate import crc32

# Read and compared at a time: calls are few beside what they carry, and a thread takes little memory.
BLOCK_BYTES = 1 << 20
# So many bytes of a cutout have a checksum of their own: a few hundred where the photo has 24 megapixels.
_PART_BYTES = 64 << 10
# A cutout's digest has 24 bytes, a photo's 32: so a recorded one tells what it was made with.
_CUTOUT_DIGEST_BYTES = 24


def new_digest(data: bytes | memoryview = b"") -> hashlib.blake2b:
    """BLAKE2b-256, to be fed with more: as hex it is what the ledger keeps for photos, and once kept for cutouts."""
    return hashlib.blake2b(data, digest_size=32)


class CutoutDigest:
    """What the ledger keeps for a cutout: BLAKE2b-192 over the CRC-32 of each 64 KiB, in a twentieth of the time.

    It tells our own cutout from one that was edited or damaged since: a change of one part goes unseen once in four
    thousand million times, one of several parts more rarely still. Against a forger it is no proof; to put a file of
    the same digest in a cutout's place he needs the right to write there, with which he can as well remove the cutout.
    """

    def __init__(self) -> None:
        self._parts = hashlib.blake2b(digest_size=_CUTOUT_DIGEST_BYTES)
        self._checksum = self._filled = 0

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes; in which pieces they come does not matter."""
        rest = memoryview(data)
        while rest:
            part = rest[: _PART_BYTES - self._filled]
            self._checksum = crc32(part, self._checksum)
            self._filled += len(part)
            if self._filled == _PART_BYTES:
                self._parts.update(self._checksum.to_bytes(4, "little"))
                self._checksum = self._filled = 0
            rest = rest[len(part) :]

    def hexdigest(self) -> str:
        """Of what came so far."""
        parts = self._parts.copy()
        if self._filled:
            parts.update(self._checksum.to_bytes(4, "little"))
        return parts.hexdigest()


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
        digest: of the content, of either kind.
        size: of the content, bytes; 0 when not known, then all of the file is read.
        fs: the file system.

    Raises:
        OSError: it cannot be read.
    """
    if size and fs.fstat(fd).st_size != size:
        return False
    # Cutouts of earlier versions were recorded with a photo's kind of digest.
    total = CutoutDigest() if len(digest) == 2 * _CUTOUT_DIGEST_BYTES else new_digest()
    rest = size or None
    while block := fs.read(fd, BLOCK_BYTES):
        total.update(block)
        if rest is not None:
            rest -= len(block)
            if rest < 0:  # it has grown meanwhile
                return False
    return total.hexdigest() == digest
