"""Which states a disk may be in after a power cut, from a trace of the calls that were made; it runs nothing.

The model is as forgetful as POSIX lets a disk be. Bytes that were written count once the file was synced; a name (made,
renamed, removed) counts once its folder was synced; before that each may have reached the disk or not. A rename within
a folder happens as a whole or not at all; one between two folders is two changes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,ftruncate,mkdir,"
    "mkdirat,close"
)
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_FD = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*|[^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
# A name, behind the folder that it is relative to, if any.
_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class _Inode:
    """One file: what is on the disk for certain, and what was written since its last sync."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, "bytes | None"]])

    def content(self, share: float) -> bytes:
        """The bytes when the first `share` (0..1) of the pending writes arrived; None stands for a truncation."""
        data = bytearray(self.durable)
        for offset, block in self.pending[: round(len(self.pending) * share)]:
            if block is None:
                del data[offset:]
                continue
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : offset + len(block)] = block
        return bytes(data)

    def sync(self) -> None:
        self.durable, self.pending = self.content(1.0), []


@dataclass(frozen=True)
class _Change:
    """One change of a folder: names set to a file, or to None when they go."""

    folder: bytes
    names: tuple[tuple[bytes, int | None], ...]


State = dict[bytes, bytes]


@dataclass
class Model:
    """The disk as far as it is known, call by call; `root` bounds what is looked at."""

    root: bytes
    inodes: list[_Inode] = field(default_factory=list[_Inode])
    durable: dict[bytes, int] = field(default_factory=dict[bytes, int])
    current: dict[bytes, int] = field(default_factory=dict[bytes, int])
    changes: list[_Change] = field(default_factory=list[_Change])
    open: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])

    def load(self, files: dict[bytes, bytes]) -> None:
        """What lies on the disk at the start; files of equal content are one file with several names no more."""
        for path, data in files.items():
            self.inodes.append(_Inode(data))
            self.durable[path] = self.current[path] = len(self.inodes) - 1

    # --- calls -----------------------------------------------------------------------------------------------------

    def call(self, line: str) -> bool:
        """Takes one line of strace's. Returns whether the disk may have changed, or be surer than before."""
        found = _LINE.match(line)
        if found is None or int(found[3]) < 0:
            return False
        name, arguments, result = found[1], found[2], int(found[3])
        paths = [os.path.join(_plain(folder), _plain(name)) for folder, name in _NAME.findall(arguments)]
        if name == "openat":
            return self._open(paths[0], arguments, result)
        descriptor = _FD.match(arguments)
        fd = int(descriptor[1]) if descriptor else -1
        if name == "close":
            self.open.pop(fd, None)
            return False
        if name in ("write", "pwrite64") and fd in self.open:
            number, position = self.open[fd]
            at = int(arguments.rsplit(",", 1)[1]) if name == "pwrite64" else position
            data = _plain(_STRING.findall(arguments)[0])
            self.inodes[number].pending.append((at, data[:result]))
            self.open[fd] = (number, at + result)
            return True
        if name == "ftruncate" and fd in self.open:
            self.inodes[self.open[fd][0]].pending.append((int(arguments.rsplit(",", 1)[1]), None))
            return True
        if name in ("fsync", "fdatasync"):
            return self._sync(fd, descriptor[2] if descriptor else "")
        if name.startswith("mkdir") and self._inside(paths[0]):
            self.inodes.append(_Inode())
            made = ((paths[0] + b"/", len(self.inodes) - 1),)
            self._change(_Change(os.path.dirname(paths[0]), made))
            return True
        if name.startswith(("rename", "link", "unlink")):
            return self._names(name, paths, exchange="RENAME_EXCHANGE" in arguments)
        return False

    def _inside(self, path: bytes) -> bool:
        return path.startswith(self.root + b"/") and not path.endswith(b"-shm")

    def _open(self, path: bytes, arguments: str, fd: int) -> bool:
        if not self._inside(path) or "O_DIRECTORY" in arguments:
            return False
        number = self.current.get(path)
        made = number is None and "O_CREAT" in arguments
        if number is None:
            if not made:
                return False
            self.inodes.append(_Inode())
            number = len(self.inodes) - 1
            self._change(_Change(os.path.dirname(path), ((path, number),)))
        elif "O_TRUNC" in arguments:
            self.inodes[number].pending.append((0, None))
        self.open[fd] = (number, len(self.inodes[number].content(1.0)) if "O_APPEND" in arguments else 0)
        return made or "O_TRUNC" in arguments

    def _sync(self, fd: int, shown: str) -> bool:
        if fd in self.open:
            self.inodes[self.open[fd][0]].sync()
            return True
        folder = _plain(shown) if "\\x" in shown else os.fsencode(shown)
        mine = [change for change in self.changes if change.folder == folder]
        self.changes = [change for change in self.changes if change.folder != folder]
        for change in mine:
            _apply(self.durable, change)
        return bool(mine)

    def _names(self, call: str, paths: list[bytes], *, exchange: bool) -> bool:
        source, target = paths[0], paths[-1]
        if not self._inside(source) or source not in self.current:
            return False
        if call.startswith("unlink"):
            self._change(_Change(os.path.dirname(source), ((source, None),)))
            return True
        number, folders = self.current[source], (os.path.dirname(source), os.path.dirname(target))
        if call.startswith("link"):
            self._change(_Change(folders[1], ((target, number),)))
        elif folders[0] == folders[1]:
            left = self.current.get(target) if exchange else None
            self._change(_Change(folders[0], ((source, left), (target, number))))
        else:
            self._change(_Change(folders[1], ((target, number),)))
            self._change(_Change(folders[0], ((source, None),)))
        return True

    def _change(self, change: _Change) -> None:
        self.changes.append(change)
        _apply(self.current, change)

    # --- after the cut ---------------------------------------------------------------------------------------------

    def states(self) -> Iterator[State]:
        """What may lie on the disk if the power goes now: path → bytes."""
        for chosen in self._choices():
            names = dict(self.durable)
            for change in chosen:
                _apply(names, change)
            for share in (0.0, 0.5, 1.0):
                yield {
                    path: self.inodes[number].content(share)
                    for path, number in names.items()
                    if self._has_its_folders(path, names)
                }

    def _has_its_folders(self, path: bytes, names: dict[bytes, int]) -> bool:
        """Whether a file can be reached: a folder that was made and lost takes what is in it along."""
        folder = os.path.dirname(path.rstrip(b"/"))
        return folder == self.root or (folder + b"/" in names and self._has_its_folders(folder, names))

    def _choices(self) -> Iterator[list[_Change]]:
        """Which changes of names arrived: the first so many, those of one folder alone, all but one."""
        pending = self.changes
        yield from (pending[:count] for count in range(len(pending) + 1))
        for folder in {change.folder for change in pending}:
            yield [change for change in pending if change.folder == folder]
        for left_out in range(len(pending) - 1):
            yield pending[:left_out] + pending[left_out + 1 :]


def _plain(shown: str) -> bytes:
    return bytes.fromhex(shown.replace("\\x", ""))


def _apply(names: dict[bytes, int], change: _Change) -> None:
    for path, number in change.names:
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def files_below(root: Path) -> dict[bytes, bytes]:
    """Every file below a folder with its bytes, and every folder (its name ends with a slash) with none.

    SQLite's shared memory is left out: it survives no power cut.
    """
    return {
        os.fsencode(path) + (b"/" if path.is_dir() else b""): b"" if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
        if not path.name.endswith("-shm")
    }
