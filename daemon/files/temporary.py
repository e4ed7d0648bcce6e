"""A cutout's private temporary in its outbox: written, synced and read back; it takes no name that a user sees."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Generator
from typing import Self

from cutoutd.config.errors import CutoutError, ExitCode
from cutoutd.daemon.files.digest import CutoutDigest, has_content
from cutoutd.daemon.files.filesystem import RealFileSystem, Root, write_all
from cutoutd.daemon.files.folders import make_below
from cutoutd.daemon.files.interface import FileSystem

# So many bytes are sent on their way to the disk at once: enough for a disk's liking, a tenth of a large cutout.
_SEND_AT = 2 << 20


class TemporaryError(CutoutError):
    """A temporary could not be written; `code` is the errno and `outbox` the folder it concerns."""

    exit_code = ExitCode.FOLDER

    def __init__(self, outbox: bytes, code: int, what: str) -> None:
        super().__init__(what, outbox)
        self.outbox = outbox
        self.code = code
        self.args = (outbox, code, what)


class TemporaryWriter:
    """A private temporary that is written while its bytes are still being made.

    Nothing is opened before the first bytes come. Left before `finish`, it is closed and emptied: a full disk is
    not helped by our own leftovers, and workers may not unlink.

    Args:
        outbox: the outbox's absolute path; it must exist and is never created here, sub-folders are.
        path: absolute path of the file; one that is left over from an earlier attempt is emptied first.
        inode: device and inode that the outbox must have; None for any.
        folder_mode: permission bits of sub-folders that are made.
        listed: whether a manifest will name the file, with its SHA-256.
        fs: the file system; unset, the real one below the outbox, with that inode.

    Attributes:
        size: how many bytes came so far.
    """

    def __init__(
        self,
        outbox: bytes,
        path: bytes,
        *,
        inode: tuple[int, int] | None = None,
        folder_mode: int = 0o755,
        listed: bool = False,
        fs: FileSystem | None = None,
    ) -> None:
        self._outbox = outbox
        self._path = path
        self._folder_mode = folder_mode
        self._fs = fs or RealFileSystem(Root(outbox, inode))
        self._fd: int | None = None
        self.size = self._sent = 0
        self._digest = CutoutDigest()
        self._sha256 = hashlib.sha256() if listed else None
        self._finished = False

    def __enter__(self) -> Self:
        """Closed and, unless it was finished, emptied on the way out."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """See `__enter__`."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):  # what went wrong with the file was told by then
                self._fs.close(fd)
        if self.begun and not self._finished:
            with contextlib.suppress(OSError):
                self._empty()

    @property
    def begun(self) -> bool:
        """Whether any bytes came."""
        return self.size > 0

    @property
    def sha256(self) -> str:
        """Of what came so far, in hex; empty where no manifest wants it."""
        return "" if self._sha256 is None else self._sha256.hexdigest()

    def take(self, data: bytes | memoryview) -> None:
        """Writes the next bytes, which must not change any more.

        Raises:
            TemporaryError: the outbox cannot take the file now.
        """
        with self._told():
            if self._fd is None:
                self._fd = self._opened()
            self.size += len(data)
            write_all(self._fs, self._fd, data)
            if self.size - self._sent >= _SEND_AT:
                self._fs.start_writing_back(self._fd, self._sent, self.size - self._sent)
                self._sent = self.size
        self._digest.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)

    def finish(self) -> str:
        """Syncs the file and its folder and reads it back.

        Returns:
            The digest of what lies on the disk.

        Raises:
            TemporaryError: the outbox cannot take the file now.
        """
        with self._told():
            if self._fd is None:
                self._fd = self._opened()
            self._fs.fsync(self._fd)
            fd, self._fd = self._fd, None
            self._fs.close(fd)
            self._fs.fsync_dir(os.path.dirname(self._path))
            digest = self._digest.hexdigest()
            same = self._reads_as_written(digest)
        if not same:
            raise TemporaryError(
                self._outbox, errno.EIO, "The outbox gave back other bytes than were written"
            )
        self._finished = True
        return digest

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            code, why = error.errno or errno.EIO, error.strerror or str(error)
            raise TemporaryError(self._outbox, code, f"The outbox cannot take a cutout ({why})") from error

    def _opened(self) -> int:
        fs = self._fs
        make_below(fs, self._outbox, os.path.dirname(self._path), self._folder_mode)
        with contextlib.suppress(FileNotFoundError):
            self._empty()  # left over from an earlier attempt that a crash cut short
        # Private by this process's umask, which does not count where the folder gives permissions of its own.
        return fs.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)

    def _empty(self) -> None:
        """Workers may not unlink, but they can truncate; what lies there may be no link, nor a second name."""
        self._fs.close(self._fs.open(self._path, os.O_WRONLY | os.O_TRUNC))

    def _reads_as_written(self, digest: str) -> bool:
        """Whether the file holds what was written, as its length and digest tell: the bytes themselves are gone."""
        fd = self._fs.open(self._path, os.O_RDONLY)
        try:
            return has_content(fd, digest, self.size, self._fs)
        finally:
            self._fs.close(fd)


def write_temporary(
    outbox: bytes,
    temporary: bytes,
    data: bytes | memoryview,
    *,
    inode: tuple[int, int] | None = None,
    folder_mode: int = 0o755,
    fs: FileSystem | None = None,
) -> str:
    """Writes a whole private temporary; arguments, result and errors are those of `TemporaryWriter`."""
    with TemporaryWriter(outbox, temporary, inode=inode, folder_mode=folder_mode, fs=fs) as file:
        file.take(data)
        return file.finish()


def empty_temporary(outbox: bytes, temporary: bytes, *, inode: tuple[int, int] | None = None) -> None:
    """Gives a temporary's room back, if it can: workers may not unlink, but they can truncate."""
    fs = RealFileSystem(Root(outbox, inode))
    with contextlib.suppress(OSError):
        fs.close(fs.open(temporary, os.O_WRONLY | os.O_TRUNC))
