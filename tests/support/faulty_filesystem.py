"""A file system that fails on order: the k-th call of a kind raises, or takes fewer bytes; for tests only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.interface import Entry, FileSystem


@dataclass
class Fault:
    """One order to fail.

    Attributes:
        call: name of the method, e.g. `write`, `fsync`, `rename_noreplace`; `*` for any.
        error: errno to raise; 0 to raise nothing (a short write).
        nth: which matching call fails first, counted from 1.
        times: how many matching calls in a row fail; -1 for all from then on.
        path: only calls whose path ends so; calls on descriptors match by the path they were opened with.
        keep: for `write`: how many bytes are really written before failing, or at most when error is 0.
    """

    call: str
    error: int = 0
    nth: int = 1
    times: int = 1
    path: bytes = b""
    keep: int | None = None
    _seen: int = field(default=0, init=False)

    def strikes(self, call: str, paths: tuple[bytes, ...]) -> bool:
        if self.call not in ("*", call) or not any(path.endswith(self.path) for path in paths):
            return False
        self._seen += 1
        return self._seen >= self.nth and (self.times < 0 or self._seen < self.nth + self.times)


class FaultyFileSystem:
    """Passes every call on to `inner` unless a fault strikes; `calls` lists what was asked, in order."""

    def __init__(self, *faults: Fault, inner: FileSystem | None = None) -> None:
        self.faults = list(faults)
        self.inner: FileSystem = inner or RealFileSystem(b"/")
        self.calls: list[tuple[str, tuple[bytes, ...]]] = []
        self._opened: dict[int, bytes] = {}

    def counts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(call for call, _ in self.calls)

    @property
    def open_descriptors(self) -> int:
        """Descriptors that were opened and not closed again."""
        return len(self._opened)

    def gate(self, call: str, *paths: bytes) -> Fault | None:
        self.calls.append((call, paths))
        for fault in self.faults:
            if fault.strikes(call, paths):
                if fault.error and fault.keep is None:
                    raise OSError(fault.error, os.strerror(fault.error), os.fsdecode(paths[0]))
                return fault
        return None

    def _named(self, fd: int) -> bytes:
        return self._opened.get(fd, b"")

    def stat(self, path: bytes) -> os.stat_result:
        self.gate("stat", path)
        return self.inner.stat(path)

    def lstat(self, path: bytes) -> os.stat_result:
        self.gate("lstat", path)
        return self.inner.lstat(path)

    def exists(self, path: bytes) -> bool:
        self.gate("exists", path)
        return self.inner.exists(path)

    def is_readable(self, path: bytes) -> bool:
        self.gate("is_readable", path)
        return self.inner.is_readable(path)

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        self.gate("open", path)
        fd = self.inner.open(path, flags, mode)
        self._opened[fd] = path
        return fd

    def fstat(self, fd: int) -> os.stat_result:
        self.gate("fstat", self._named(fd))
        return self.inner.fstat(fd)

    def read(self, fd: int, count: int) -> bytes:
        self.gate("read", self._named(fd))
        return self.inner.read(fd, count)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        fault = self.gate("write", self._named(fd))
        if fault is None or fault.keep is None:
            return self.inner.write(fd, data)
        taken = self.inner.write(fd, memoryview(data)[: fault.keep]) if fault.keep else 0
        if fault.error:
            raise OSError(fault.error, os.strerror(fault.error), os.fsdecode(self._named(fd)))
        return taken

    def start_writing_back(self, fd: int, start: int, count: int) -> None:
        self.inner.start_writing_back(fd, start, count)  # a hint cannot fail

    def truncate(self, fd: int, size: int) -> None:
        self.gate("truncate", self._named(fd))
        self.inner.truncate(fd, size)

    def fsync(self, fd: int) -> None:
        self.gate("fsync", self._named(fd))
        self.inner.fsync(fd)

    def fsync_dir(self, path: bytes) -> None:
        self.gate("fsync_dir", path)
        self.inner.fsync_dir(path)

    def close(self, fd: int) -> None:
        name = self._opened.pop(fd, b"")
        self.inner.close(fd)  # the descriptor is gone even when close reports a late write error
        self.gate("close", name)

    def fchmod(self, fd: int, mode: int) -> None:
        self.gate("fchmod", self._named(fd))
        self.inner.fchmod(fd, mode)

    def inherits(self, folder: bytes) -> bool:
        self.gate("inherits", folder)
        return self.inner.inherits(folder)

    def chmod(self, path: bytes, mode: int) -> None:
        self.gate("chmod", path)
        self.inner.chmod(path, mode)

    def rename(self, source: bytes, target: bytes) -> None:
        self.gate("rename", source, target)
        self.inner.rename(source, target)

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        self.gate("rename_noreplace", source, target)
        self.inner.rename_noreplace(source, target)

    def exchange(self, one: bytes, other: bytes) -> None:
        self.gate("exchange", one, other)
        self.inner.exchange(one, other)

    def link(self, source: bytes, target: bytes) -> None:
        self.gate("link", source, target)
        self.inner.link(source, target)

    def unlink(self, path: bytes) -> None:
        self.gate("unlink", path)
        self.inner.unlink(path)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        self.gate("mkdir", path)
        self.inner.mkdir(path, mode)

    def rmdir(self, path: bytes) -> None:
        self.gate("rmdir", path)
        self.inner.rmdir(path)

    def scandir(self, path: bytes) -> AbstractContextManager[Iterator[Entry]]:
        self.gate("scandir", path)
        return self._listing(path)

    @contextmanager
    def _listing(self, path: bytes) -> Generator[Iterator[Entry]]:
        with self.inner.scandir(path) as entries:
            yield (_FaultyEntry(entry, self) for entry in entries)

    def free_bytes(self, path: bytes) -> int:
        self.gate("free_bytes", path)
        return self.inner.free_bytes(path)


@dataclass
class _FaultyEntry:
    """An entry whose look is a call like `lstat`."""

    inner: Entry
    fs: FaultyFileSystem

    @property
    def name(self) -> bytes:
        return self.inner.name

    @property
    def path(self) -> bytes:
        return self.inner.path

    def is_dir(self, *, follow_symlinks: Literal[False]) -> bool:
        return self.inner.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: Literal[False]) -> bool:
        return self.inner.is_file(follow_symlinks=follow_symlinks)

    def stat(self, *, follow_symlinks: Literal[False]) -> os.stat_result:
        self.fs.gate("lstat", self.path)
        return self.inner.stat(follow_symlinks=follow_symlinks)
