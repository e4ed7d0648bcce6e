"""A network mount that hangs: a small FUSE file system over a folder, which can be told to answer no more.

Needs root and /dev/fuse. It speaks the kernel's protocol itself (linux/fuse.h, version 7.31), so that it needs no
library; what it serves is flat: the files of one folder, to be read, written, renamed and removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import subprocess
import threading
import time
from enum import IntEnum
from pathlib import Path


class _Op(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    UNLINK = 10
    RENAME = 12
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    BATCH_FORGET = 42
    RENAME2 = 45


# Which fields of a SETATTR request mean something (FATTR_*).
_SET_MODE, _SET_SIZE = 1 << 0, 1 << 3
_RENAME_NOREPLACE = 1
_HEADER = struct.Struct("<IIQQIIIi")
_OUT = struct.Struct("<IiQ")
_NEEDS_NO_ANSWER = {_Op.FORGET, _Op.BATCH_FORGET}


def possible() -> bool:
    """Whether such a mount can be made here."""
    return os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)


class HangingMount:
    """`behind` is shown at `at` until `hang` is called; `end` takes the mount away, as a dead server's is."""

    def __init__(self, behind: Path, at: Path) -> None:
        self.behind = behind
        self.at = at
        self.hanging = threading.Event()
        self.asked_in_vain = 0
        self._names: list[str] = []
        at.mkdir(parents=True, exist_ok=True)
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"hang", os.fsencode(at), b"fuse.hang", 0, options) != 0:
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code), os.fspath(at))
        threading.Thread(target=self._serve, daemon=True).start()

    def hang(self) -> None:
        """From now on no request is answered."""
        self.hanging.set()

    def go_on(self) -> None:
        """What was asked meanwhile is answered, late."""
        self.hanging.clear()

    def end(self) -> None:
        """The connection is cut: every waiting call fails, and the mount goes."""
        subprocess.run(["umount", "-f", "-l", str(self.at)], check=False, capture_output=True)
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                if not select.select([self._fd], [], [], 0.05)[0]:
                    continue
                if self.hanging.is_set():
                    # Left unread: a call that the server has taken cannot even be ended by SIGKILL, and no program
                    # can do anything about that; a call to a server that is away can.
                    self.asked_in_vain += 1
                    time.sleep(0.05)
                    continue
                request = os.read(self._fd, 1 << 20)
                _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
                if opcode in _NEEDS_NO_ANSWER:
                    continue
                try:
                    answer, code = self._answer(opcode, node, request[_HEADER.size :]), 0
                except OSError as error:
                    answer, code = b"", -(error.errno or errno.EIO)
                os.write(self._fd, _OUT.pack(_OUT.size + len(answer), code, unique) + answer)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        match opcode:
            case _Op.INIT:  # version, read-ahead, flags, background, threshold, largest write, granularity, …
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0)
            case _Op.LOOKUP:
                return self._entry(self._number(os.fsdecode(body.rstrip(b"\0"))))
            case _Op.GETATTR:
                return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
            case _Op.OPEN | _Op.OPENDIR:
                return struct.pack("<QII", 0, 0, 0)
            case _Op.READ:
                _, offset, size = struct.unpack_from("<QQI", body)
                with self._path(node).open("rb") as file:
                    file.seek(offset)
                    return file.read(size)
            case _Op.READDIR:
                _, offset, size = struct.unpack_from("<QQI", body)
                return self._listing(offset, size)
            case _Op.STATFS:
                return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 1000, 1000, 4096, 255, 4096, 0)
            case _Op.RELEASE | _Op.FLUSH | _Op.RELEASEDIR | _Op.FSYNC | _Op.FSYNCDIR:
                return b""
            case _:
                return self._change(opcode, node, body)

    def _change(self, opcode: int, node: int, body: bytes) -> bytes:
        match opcode:
            case _Op.CREATE:
                flags, mode, umask = struct.unpack_from("<III", body)
                name = os.fsdecode(body[16:].rstrip(b"\0"))
                os.close(
                    os.open(self.behind / name, os.O_WRONLY | os.O_CREAT | flags & os.O_EXCL, mode & ~umask)
                )
                return self._entry(self._number(name)) + struct.pack("<QII", 0, 0, 0)
            case _Op.WRITE:
                _, offset, size = struct.unpack_from("<QQI", body)
                with self._path(node).open("r+b") as file:
                    file.seek(offset)
                    file.write(body[40 : 40 + size])
                return struct.pack("<II", size, 0)
            case _Op.SETATTR:
                valid, _, _, size = struct.unpack_from("<IIQQ", body)
                if valid & _SET_SIZE:
                    os.truncate(self._path(node), size)
                if valid & _SET_MODE:
                    self._path(node).chmod(struct.unpack_from("<I", body, 68)[0] & 0o7777)
                return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
            case _Op.UNLINK:
                (self.behind / os.fsdecode(body.rstrip(b"\0"))).unlink()
                return b""
            case _Op.RENAME | _Op.RENAME2:
                start, flags = (8, 0) if opcode == _Op.RENAME else (16, struct.unpack_from("<QI", body)[1])
                self._rename(*(os.fsdecode(name) for name in body[start:].split(b"\0")[:2]), flags=flags)
                return b""
            case _:
                raise OSError(errno.ENOSYS, "not served")

    def _rename(self, old: str, new: str, *, flags: int) -> None:
        if flags & _RENAME_NOREPLACE and (self.behind / new).exists():
            raise FileExistsError(errno.EEXIST, new)
        (self.behind / old).rename(self.behind / new)
        # The number follows the file: whoever has it open goes on reading the same one.
        number = self._names.index(old)
        self._names = [name if name != new else "" for name in self._names]
        self._names[number] = new

    def _entry(self, number: int) -> bytes:
        return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self._attributes(number)

    def _number(self, name: str) -> int:
        if not (self.behind / name).is_file():
            raise FileNotFoundError(errno.ENOENT, name)
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) + 2

    def _path(self, node: int) -> Path:
        return self.behind if node == 1 else self.behind / self._names[node - 2]

    def _attributes(self, node: int) -> bytes:
        facts = self._path(node).stat()
        return struct.pack(
            "<QQQQQQIIIIIIIIII",
            facts.st_ino, facts.st_size, facts.st_blocks, int(facts.st_atime), int(facts.st_mtime), int(facts.st_ctime),
            0, facts.st_mtime_ns % 10**9, facts.st_ctime_ns % 10**9, facts.st_mode, 1, 0, 0, 0, 4096, 0,
        )  # fmt: skip

    def _listing(self, offset: int, size: int) -> bytes:
        found = b""
        for index, name in enumerate(
            sorted(path.name for path in self.behind.iterdir())[offset:], offset + 1
        ):
            raw = os.fsencode(name)
            entry = struct.pack("<QQII", self._number(name), index, len(raw), 8) + raw
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found
