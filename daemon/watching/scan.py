"""Walks an inbox and says what lies in it; opens no file and never compares with the ledger.

Everything is looked at beneath the inbox: a sub-folder that became a link is not there, and its link is no photo.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat as stat_module
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.filesystem import FileFacts, RealFileSystem
from cutoutd.daemon.files.interface import Entry, FileSystem
from cutoutd.daemon.ledger.records import Facts
from cutoutd.daemon.watching.filters import (
    RAW_EXTENSIONS,
    Kind,
    Rules,
    classify,
    extension,
    is_excluded_folder,
    is_junk_name,
    is_pair_partner,
    is_visible,
    raw_pair_key,
)
from cutoutd.daemon.watching.settle import HintKind

# macOS, sys/stat.h: the content lies in a cloud; opening the file would download it.
SF_DATALESS = 0x40000000
# Windows, winnt.h: FILE_ATTRIBUTE_OFFLINE and FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS, the same of OneDrive.
_ATTRIBUTES_ELSEWHERE = 0x1000 | 0x400000
# Zero blocks on disk prove no placeholder: btrfs, ZFS, NFS and FUSE show that for new or small files.

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


class Found(Struct, frozen=True):
    """One thing in an inbox that is not junk.

    Attributes:
        path: relative to the inbox, `/` between components.
        size: bytes; 0 for a folder that could not be read.
        mtime_ns: nanoseconds, by the file's own clock.
        inode: of the name itself; links are not followed.
        device: number of its file system.
        mode: type and permission bits; 0 for what could not even be looked at.
        kind: by name.
        problem: why it cannot be processed, or None.
        error: errno behind problem, 0 when there is none. A walk with any is not free of errors: what it did
            not show may still exist.
        uid: the owner.
        ctime_ns: last change of the inode by the machine's clock, which no camera and no `utime` sets.
        partner: of a RAW that a walk found, whether the JPEG of its shot lies beside it (`partners`).
    """

    path: bytes
    size: int
    mtime_ns: int
    inode: int
    device: int
    mode: int
    kind: Kind
    problem: Reason | None = None
    error: int = 0
    uid: int = 0
    ctime_ns: int = 0
    partner: bool = False

    @property
    def facts(self) -> FileFacts:
        """The same as the settle tracker takes it."""
        return FileFacts(self.size, self.mtime_ns, self.inode, self.device, self.mode)


def facts_of(found: Found | FileFacts) -> Facts:
    """What the ledger keeps of a stat."""
    owner = getattr(found, "uid", 0)
    changed = getattr(found, "ctime_ns", 0)
    return Facts(found.size, found.mtime_ns, found.inode, found.mode | owner << 16, changed)


def walk(
    root: Path,
    rules: Rules,
    *,
    recursive: bool,
    fs: FileSystem | None = None,
    under: bytes = b"",
) -> Iterator[Found]:
    """Everything in an inbox that is not junk, depth first, in no particular order.

    Memory is that of one folder's sub-folder and RAW names (of all its names, where it holds RAWs: only they tell
    which RAW is alone, so it is listed once more at its end), however many files there are. Links are never
    followed, so there are no loops; a link, FIFO, socket or device is yielded with NOT_A_REGULAR_FILE. A sub-folder
    or entry that cannot be read is yielded with its problem, and the walk goes on. What vanishes meanwhile is left
    out.

    Args:
        root: the inbox.
        rules: its include and exclude patterns; excluded folders are not entered.
        recursive: whether to enter sub-folders.
        fs: the file system; unset, the real one below the inbox.
        under: only this sub-folder, relative to root; nothing is yielded when it does not exist.

    Raises:
        OSError: the inbox itself cannot be read, or was replaced (ESTALE) during the walk; an empty inbox and
            a missing one are different things.
    """
    top = os.fsencode(root)
    fs = fs or RealFileSystem(top)
    at_start = fs.stat(top)  # a missing inbox is an error even when only a part of it was asked for
    if under and (not recursive or any(is_excluded_folder(part, rules) for part in _ancestors(under))):
        return
    folders = [under]
    while folders:
        folder = folders.pop()
        try:
            yield from _folder(fs, top, folder, rules, folders if recursive else None)
        except OSError as error:
            if folder == b"":
                raise
            if error.errno not in _GONE and not isinstance(error, UnsafePath):
                yield _unreadable(folder, error)
    at_end = fs.stat(top)
    if (at_start.st_dev, at_start.st_ino) != (at_end.st_dev, at_end.st_ino):
        # Unmounted or replaced meanwhile: what the walk did not show is not gone, it was elsewhere.
        raise OSError(errno.ESTALE, "the inbox was replaced or unmounted during the walk", os.fsdecode(top))


def examine(root: Path, path: bytes, rules: Rules, fs: FileSystem | None = None) -> Found | None:
    """One path as `walk` would yield it; None when it is gone, junk, or a folder.

    Raises:
        OSError: the path cannot be looked at for another reason than absence or permission.
    """
    top = os.fsencode(root)
    fs = fs or RealFileSystem(top)
    kind = classify(path, rules)
    try:
        stat = fs.lstat(os.path.join(top, path))
    except OSError as error:
        if error.errno in _GONE or isinstance(error, UnsafePath) or kind is Kind.JUNK:
            return None
        if error.errno in _DENIED:
            return _unreadable(path, error)
        raise
    if stat_module.S_ISDIR(stat.st_mode):
        return None
    return _found(path, stat, rules)


def _ancestors(under: bytes) -> Iterator[bytes]:
    parts = under.split(b"/")
    return (b"/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _folder(
    fs: FileSystem, top: bytes, folder: bytes, rules: Rules, deeper: list[bytes] | None
) -> Iterator[Found]:
    """The files of one folder, its RAWs last; its sub-folders are added to deeper."""
    raws: list[bytes] = []
    with fs.scandir(os.path.join(top, folder) if folder else top) as entries:
        for entry in entries:
            path = folder + b"/" + entry.name if folder else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if deeper is not None and not is_excluded_folder(path, rules):
                        deeper.append(path)
                    continue
                if is_junk_name(entry.name):
                    continue  # not even looked at
                if extension(entry.name) in RAW_EXTENSIONS:
                    raws.append(path)
                    continue
                found = _found(path, entry.stat(follow_symlinks=False), rules)
            except OSError as error:
                found = None if error.errno in _GONE else _unreadable(path, error)
            if found is not None:
                yield found
    if raws:
        yield from _raws(fs, top, raws, partners(top, folder, rules, fs), rules)


def _raws(
    fs: FileSystem, top: bytes, paths: list[bytes], paired: frozenset[bytes], rules: Rules
) -> Iterator[Found]:
    """The RAWs of one folder, each with whether its JPEG is there."""
    for path in paths:
        try:
            found = _found(path, fs.lstat(os.path.join(top, path)), rules)
        except OSError as error:
            gone = error.errno in _GONE or isinstance(error, UnsafePath)
            found = None if gone else _unreadable(path, error)
        if found is not None:
            yield replace(found, partner=True) if raw_pair_key(path) in paired else found


def partners(top: bytes, folder: bytes, rules: Rules, fs: FileSystem | None = None) -> frozenset[bytes]:
    """The `raw_pair_key` of every JPEG (or HEIF) in one folder that is taken up in place of its RAW.

    That is a file by a name that counts in this inbox: for a link, or a JPEG that is excluded, nobody makes a
    cutout, and its RAW must not wait for one. Whether it is complete, or a photo at all, is not asked.

    Args:
        top: the inbox.
        folder: relative to it.
        rules: the inbox's include and exclude patterns.
        fs: the file system; unset, the real one below the inbox.

    Raises:
        OSError: the folder cannot be listed.
    """
    fs = fs or RealFileSystem(top)
    with fs.scandir(os.path.join(top, folder) if folder else top) as entries:
        paths = (
            (folder + b"/" + entry.name if folder else entry.name)
            for entry in entries
            if is_pair_partner(entry.name) and _is_file(entry)
        )
        return frozenset(raw_pair_key(path) for path in paths if classify(path, rules) is Kind.PHOTO)


def _is_file(entry: Entry) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return True  # what cannot be looked at may still be one: its RAW stays what it is until it can


def _found(path: bytes, stat: os.stat_result, rules: Rules) -> Found | None:
    """A stat result as a finding; None for junk."""
    kind = classify(path, rules)
    problem = problem_of(stat)
    if kind is Kind.JUNK:
        # A name without extension is a download in progress, but a link to an album is not: say so.
        if problem is None or extension(path.rpartition(b"/")[2]) or not is_visible(path, rules):
            return None
        kind = Kind.OTHER
    return Found(
        path=path,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        inode=stat.st_ino,
        device=stat.st_dev,
        mode=stat.st_mode,
        kind=kind,
        problem=problem,
        uid=stat.st_uid,
        ctime_ns=stat.st_ctime_ns,
    )


def problem_of(stat: os.stat_result) -> Reason | None:
    """What a look at a name (links not followed) already says against opening it; None when nothing does."""
    if not stat_module.S_ISREG(stat.st_mode):
        return Reason.NOT_A_REGULAR_FILE
    flags: int = getattr(stat, "st_flags", 0)
    attributes: int = getattr(stat, "st_file_attributes", 0)
    if flags & SF_DATALESS or attributes & _ATTRIBUTES_ELSEWHERE:
        return Reason.PLACEHOLDER
    return None


def _unreadable(path: bytes, error: OSError) -> Found:
    reason = Reason.NO_PERMISSION if error.errno in _DENIED else Reason.UNREADABLE
    return Found(path, 0, 0, 0, 0, 0, Kind.OTHER, reason, error.errno or errno.EIO)


class PollState:
    """What the last poll of an inbox showed, in 16 bytes a file, to tell which files changed since.

    Feed each pass of a poll: `begin`, `see` for every finding, `end`. It stands in for events on shares that
    send none; a file that it calls changed goes to the settle tracker like any other hint.
    """

    def __init__(self) -> None:
        self._keys = array("Q")  # sorted 64-bit digests of paths, and beside each
        self._signs = array("Q")  # a digest of size, mtime and inode
        self._next: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def begin(self) -> None:
        """A new pass; findings of an unfinished one are dropped."""
        self._next = []

    def see(self, found: Found) -> HintKind | None:
        """`created` for a file that the last finished pass did not show, `modified` for another one's worth
        of size, mtime or inode, None for an unchanged one.
        """
        key = _digest(found.path)
        sign = _digest(b"%d %d %d %d" % (found.size, found.mtime_ns, found.inode, found.mode))
        self._next.append((key, sign))
        at = bisect_left(self._keys, key)
        if at == len(self._keys) or self._keys[at] != key:
            return "created"
        return None if self._signs[at] == sign else "modified"

    def end(self, *, complete: bool) -> int:
        """The pass is over.

        Args:
            complete: whether the walk was free of errors; otherwise what it did not show is kept as it was,
                so that a hiccup of a share does not make every file new again.

        Returns:
            How many files of the last pass are no longer there (0 when not complete).
        """
        seen = dict(self._next)
        self._next = []
        missing = [(key, sign) for key, sign in zip(self._keys, self._signs, strict=True) if key not in seen]
        if not complete:
            seen.update(missing)
        ordered = sorted(seen.items())
        self._keys = array("Q", (key for key, _ in ordered))
        self._signs = array("Q", (sign for _, sign in ordered))
        return len(missing) if complete else 0


def _digest(data: bytes) -> int:
    """64 bits: among 100,000 files two collide with a chance of 3 in ten billion; a full scan heals it."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
