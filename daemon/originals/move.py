"""What happens to an original once its cutout is safe, or there will be none: archive, trash, or the failed folder.

Never a deletion: an original is first renamed to a hidden name that is ours alone, then that very file is identified
and known to be written by nobody, then it is linked or copied to where it goes and synced, and only then the hidden
name goes. No name that others write is ever unlinked. Each step is one I/O call whose plan was committed to the
ledger before (`aftercare.py` does that), so that a crash between any two leaves the original where it was or where it
was going.
"""

from __future__ import annotations

import contextlib
import errno
import os
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.copying import (
    StillWritten,
    copy_file,
    digest_at_rest,
    same_content,
    take_name,
)
from cutoutd.daemon.files.filesystem import (
    NO_LINKS,
    RenameUnsupported,
)
from cutoutd.daemon.files.folders import make_below
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.names import LONGEST_NAME, candidates, mirrored_folder, portable
from cutoutd.daemon.files.writers import Writers, writers
from cutoutd.daemon.ledger.records import Facts, differ, folded
from cutoutd.daemon.originals.giving_back import to_its_name
from cutoutd.daemon.originals.trash import Trash, still_planned, trash_target, write_trash_info
from cutoutd.daemon.watching.look import is_unfinished
from cutoutd.models.decoding.formats import sniff

# Of so many files of the original's name and size in the archive the content is compared; beyond, it takes the next
# free name, though it may lie there already: a folder full of them must not be read for each original.
MOST_COMPARED = 20


# All that tells a photo's format lies there.
_HEAD_BYTES = 512


class Step(StrEnum):
    """What a look at an original before its move showed."""

    READY = "ready"
    MOVED = "moved"
    REPLACED = "replaced"
    GONE = "gone"
    WRITTEN = "written"
    MISREAD = "misread"
    BEHIND_LINK = "behind a link"


class Ready(Struct, frozen=True):
    """The outcome of `hide`: with READY, `target` is where the original is to go; with MISREAD, `ctime_ns` is the
    change time that it has by being back under its name.
    """

    step: Step
    target: bytes = b""
    ctime_ns: int = 0


class Original(Struct, frozen=True):
    """An original as the ledger knows it.

    Attributes:
        path: absolute, in the inbox.
        hidden: absolute path from `hidden_name`, committed to the ledger before `hide`.
        relative: its path inside the inbox, mirrored where it goes.
        facts: what was seen of it when it was read.
        digest: of the content that was cut out; None for a photo that failed, which its facts identify.
        patient: whether it was closed, or has rested for as long as the settings ask: where the system does not tell
            who writes a file, that has to do.
        device: of the file system whose leases are believed (`files/writers.py`); None where it does not tell.
        broken_off: it could not be read, and fell silent a moment ago: if it begins like a photo it may be a part of
            one, whose writer goes on with it though nobody has it open now.
    """

    path: bytes
    hidden: bytes
    relative: bytes
    facts: Facts
    digest: str | None = None
    patient: bool = True
    device: int | None = None
    broken_off: bool = False


def hidden_name(path: bytes, instance: str, photo: int) -> bytes:
    """The name, beside the original, under which it waits while it is identified and moved.

    It holds the original's own name, so that even a lost ledger loses no photo; one that is too long is cut.
    """
    head = f".cutoutd-{instance}-{photo}.original.".encode()
    stem, extension = os.path.splitext(os.path.basename(path))
    # Room for `.part` behind it, which a copy to another file system is called.
    room = LONGEST_NAME - len(head) - len(b".part") - len(extension)
    return os.path.join(os.path.dirname(path), head + stem[:room] + extension)


def look(original: Original, fs: FileSystem) -> Step:
    """Whether the original may be moved now; it changes nothing.

    Returns:
        READY; WRITTEN when somebody writes it, may still do so, or has a download of it to go on with; REPLACED when
        something else lies there; BEHIND_LINK when a link lies where one of its folders was; GONE.

    Raises:
        OSError: the folder cannot be used now.
    """
    try:
        fd = fs.open(original.path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return Step.GONE
    except UnsafePath:
        return Step.REPLACED if _is_reached(original.path, fs) else Step.BEHIND_LINK
    except PermissionError:  # a photo that failed because of that: its name can be moved all the same
        return _look_at_name(original, fs)
    try:
        facts = fs.fstat(fd)
        changed = differ(original.facts, _facts(facts))
        if changed and original.digest is None:
            return Step.REPLACED
        if original.broken_off and sniff(fs.read(fd, _HEAD_BYTES), "").format is not None:
            return Step.WRITTEN
        if is_unfinished(original.path, fs):
            return Step.WRITTEN
        match writers(fd, original.device):
            case Writers.NOBODY:
                return Step.READY
            case Writers.UNKNOWN if original.patient and not changed:
                return Step.READY
            case _:
                return Step.WRITTEN
    finally:
        fs.close(fd)


def _is_reached(path: bytes, fs: FileSystem) -> bool:
    """Whether a name can be looked at: then what is wrong is what lies under it, and not the way there."""
    try:
        return fs.exists(path)
    except UnsafePath:
        return False


def _look_at_name(original: Original, fs: FileSystem) -> Step:
    if differ(original.facts, _facts(fs.lstat(original.path))):
        return Step.REPLACED
    return Step.READY if original.patient else Step.WRITTEN


def _facts(facts: os.stat_result) -> Facts:
    return Facts(facts.st_size, facts.st_mtime_ns, facts.st_ino, 0, facts.st_ctime_ns)


def hide(
    original: Original,
    *,
    folder: bytes | Trash,
    folder_mode: int = 0o755,
    planned: bytes = b"",
    plain: bool = False,
    fs: FileSystem,
) -> Ready:
    """Takes the original out of everybody's way, makes sure it is the photo that was read, and finds its place.

    Repeating it after a crash is safe.

    Args:
        original: what is to be moved.
        folder: where it goes.
        folder_mode: permission bits of sub-folders that are made there.
        planned: where an earlier life meant to put it, if it got that far.
        plain: the folder refuses characters that others take.
        fs: the file system.

    Returns:
        READY with a target; MOVED when it lies at the planned place already; REPLACED when the file is another
        photo, MISREAD when it is the same file and holds something else than was read of it, WRITTEN when somebody has
        it open for writing (all three are back under their name); BEHIND_LINK when a link lies where one of its
        folders was; GONE when there is nothing to move.

    Raises:
        OSError: the folder cannot be used now; the original is untouched or hidden, never lost.
    """
    hidden = original.hidden
    try:
        is_hidden = fs.exists(hidden)
    except UnsafePath:
        return Ready(Step.BEHIND_LINK)
    ended = None if is_hidden else _take_away(original, planned, fs)
    if ended is not None:
        return ended
    sure = _make_sure(original, fs)
    if sure.step is not Step.READY:
        return sure
    if planned and fs.exists(planned) and same_content(hidden, planned, fs):
        fs.fsync_dir(os.path.dirname(planned))
        fs.unlink(hidden)  # a crash came between its arrival there and its going here
        return Ready(Step.MOVED, planned)
    if isinstance(folder, Trash):
        if planned and still_planned(original.path, planned, fs):
            return Ready(Step.READY, planned)
        return Ready(Step.READY, trash_target(original.path, folder, fs))
    return _find_place(original, folder, folder_mode, plain=plain, fs=fs)


def _take_away(original: Original, planned: bytes, fs: FileSystem) -> Ready | None:
    """Gives the original its hidden name, if it is not at its planned place already; None: it has that name now."""
    if planned and _arrived(original, planned, fs):
        return Ready(Step.MOVED, planned)
    step = look(original, fs)  # the one before the intent was committed is a moment old, or a crash
    if step is not Step.READY:
        return Ready(step)
    try:
        _rename_away(original.path, original.hidden, fs)
    except FileNotFoundError:
        return Ready(Step.GONE)
    # Before it leaves the folder: a power cut that brought the old name back beside the archived photo would
    # make a new photo of it.
    fs.fsync_dir(os.path.dirname(original.hidden))
    return None


def _make_sure(original: Original, fs: FileSystem) -> Ready:
    """READY when what is hidden is the photo that was read; what is not, or is still written, gets its name back."""
    try:
        same = _is_it(original, fs)
    except StillWritten:
        to_its_name(original.hidden, original.path, fs)
        return Ready(Step.WRITTEN)
    except UnsafePath:  # swapped by somebody who saw our name
        if not _is_reached(original.hidden, fs):
            return Ready(Step.BEHIND_LINK)
        same = False
    if not same:
        to_its_name(original.hidden, original.path, fs)
        return _as_it_lies(original, fs)
    return Ready(Step.READY)


def _as_it_lies(original: Original, fs: FileSystem) -> Ready:
    """Whether what was given back, and holds something else than was read, is the file that was read all the same."""
    try:
        now = _facts(fs.lstat(original.path))
    except OSError:
        return Ready(Step.REPLACED)
    untouched = original.digest is not None and not differ(original.facts, replace(now, ctime_ns=0))
    return Ready(Step.MISREAD, ctime_ns=now.ctime_ns) if untouched else Ready(Step.REPLACED)


def _arrived(original: Original, planned: bytes, fs: FileSystem) -> bool:
    """Whether the original lies at its place, now that its hidden name is gone; the last act is to take that away."""
    if not fs.exists(planned):
        return False
    try:
        if original.digest is None:
            return True
        same = folded(fs.lstat(planned).st_size) == original.facts.size
        return same and digest_at_rest(planned, fs, None) == original.digest
    except UnsafePath:
        return False  # the name was free, and is somebody's pipe or link now


def _is_it(original: Original, fs: FileSystem) -> bool:
    """Whether the hidden file is the very one that was read, at rest.

    Raises:
        StillWritten: somebody has it open for writing.
    """
    now = fs.lstat(original.hidden)  # whose change time is that of our own rename
    if original.digest is not None:
        # Another size is other content: a file with holes may seem to hold terabytes, which take hours to read.
        same = folded(now.st_size) == original.facts.size
        return same and digest_at_rest(original.hidden, fs, original.device) == original.digest
    if differ(original.facts, Facts(now.st_size, now.st_mtime_ns, now.st_ino)):
        return False
    with contextlib.suppress(PermissionError):  # a photo that failed because of that
        fd = fs.open(original.hidden, os.O_RDONLY)
        try:
            if writers(fd, original.device) is Writers.SOMEBODY:
                raise StillWritten(errno.EBUSY, "another program is writing it", os.fsdecode(original.hidden))
        finally:
            fs.close(fd)
    return True


def _find_place(original: Original, folder: bytes, mode: int, *, plain: bool, fs: FileSystem) -> Ready:
    mirrored = mirrored_folder(original.relative, "", date="", label="", plain=plain)
    target_folder = os.path.join(folder, mirrored)
    make_below(fs, folder, target_folder.rstrip(b"/"), mode)
    stem, extension = os.path.splitext(os.path.basename(original.relative))
    size, compared = fs.lstat(original.hidden).st_size, 0
    shown = portable(os.fsdecode(stem)) if plain else os.fsdecode(stem)
    for name in candidates(target_folder, shown, os.fsdecode(extension)):
        if not fs.exists(name):
            return Ready(Step.READY, name)
        if original.digest is None or compared >= MOST_COMPARED or fs.lstat(name).st_size != size:
            continue
        compared += 1
        if same_content(original.hidden, name, fs):
            fs.fsync_dir(target_folder)
            fs.unlink(original.hidden)  # the very same photo was archived before
            return Ready(Step.MOVED, name)
    raise AssertionError("candidate names never end")


def move(original: Original, target: bytes, *, trash: bool, fs: FileSystem) -> bool:
    """Moves the hidden original to its committed place.

    Returns:
        False when something else took that place meanwhile: ask `hide` again.

    Raises:
        StillWritten: somebody writes it; it stays hidden.
        OSError: the place cannot take it now; the original stays hidden beside its old name.
    """
    if trash:
        write_trash_info(original.path, target, fs)
    try:
        _move_to_folder(original.hidden, target, fs)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _copy_across(original, target, fs)
    return True


def _copy_across(original: Original, target: bytes, fs: FileSystem) -> bool:
    """To another file system: copy, sync, compare, publish without replacing, and only then let go."""
    hidden = portable(os.fsdecode(os.path.basename(original.hidden)))  # there it may have to be plain
    part = os.path.join(os.path.dirname(target), os.fsencode(f"{hidden}.part"))
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(part)  # left over from a try that a crash cut short
    try:
        copy_file(original.hidden, part, fs, device=original.device)
        take_name(part, target, fs)
    except OSError as error:
        with contextlib.suppress(OSError):
            fs.unlink(part)
        if isinstance(error, FileExistsError):
            return False
        raise
    fs.fsync_dir(os.path.dirname(target))
    fs.unlink(original.hidden)
    fs.fsync_dir(os.path.dirname(original.hidden))
    return True


def _move_to_folder(source: bytes, target: bytes, fs: FileSystem) -> None:
    """Into another folder of the same file system, without replacing; there on the disk before it goes from here.

    A rename between folders is two changes to a disk that promises no more than it must, and a power cut may keep
    the one that takes the name away alone. Where the file system has no links, a rename has to do.
    """
    try:
        fs.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        take_name(source, target, fs)
        fs.fsync_dir(os.path.dirname(target))
    else:
        fs.fsync_dir(os.path.dirname(target))
        fs.unlink(source)
    fs.fsync_dir(os.path.dirname(source))


def _rename_away(original: bytes, hidden: bytes, fs: FileSystem) -> None:
    """One rename to a name that is ours alone. It holds our random id and the row's number: nobody else makes it, so
    that where no exclusive rename exists a plain one, which takes whatever file has the name, is as safe.
    """
    try:
        fs.rename_noreplace(original, hidden)
    except RenameUnsupported:
        fs.rename(original, hidden)
