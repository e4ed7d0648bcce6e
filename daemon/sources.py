"""Which photos stand behind the files and folders that somebody names; it opens no photo and cuts out nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from cutoutd.config.errors import Reason, printable
from cutoutd.config.folders import is_inside
from cutoutd.daemon.files.names import mirrored_folder
from cutoutd.daemon.watching.filters import (
    Kind,
    Rules,
    classify,
    extension,
    is_excluded_folder,
    is_ignored_folder,
    is_junk_name,
    is_pair_partner,
    raw_pair_key,
)
from cutoutd.daemon.watching.scan import Found, problem_of, walk
from cutoutd.models.decoding import formats

# Every format shows itself in its first bytes; a container's list of brands is the longest of them.
_HEAD_BYTES = 4096

_WORDS = {
    Reason.NOT_A_REGULAR_FILE: "It is no ordinary file.",
    Reason.PLACEHOLDER: "Its content lies in a cloud; download it first.",
    Reason.NO_PERMISSION: "It may not be read; give yourself access to it and to the folders it lies in.",
    Reason.UNREADABLE: "It cannot be read.",
}
_LINK = "It is a link, and links inside a folder are not followed; name it itself to have it cut out."

_PIPE = "It is a pipe. Send its content to standard input, and name `-` instead."


class Source(Struct, frozen=True):
    """One file to cut out: `root` joined with `path` is its name, `path` is mirrored in the output folder.

    Attributes:
        problem: why it cannot be cut out, or None; `detail` says it in a sentence.
        size: bytes.
        real: where its content lies, if the name is a link that was named explicitly.
        identity: device and inode of the content; (0, 0) where nothing is there.
    """

    root: bytes
    path: bytes
    problem: Reason | None = None
    size: int = 0
    detail: str = ""
    real: bytes = b""
    identity: tuple[int, int] = (0, 0)

    @property
    def full(self) -> bytes:
        """The absolute path of the content."""
        return self.real or self.name

    @property
    def name(self) -> bytes:
        """The absolute path as it was named."""
        return os.path.join(self.root, self.path)


class Gathered(Struct):
    """What was found.

    Attributes:
        photos: in a stable order, each file once.
        folders: those that were named and can be read.
        others: files in them that are no photos by their names.
        again: names of files that are there under another name already.
    """

    photos: list[Source] = field(default_factory=list[Source])
    folders: list[Path] = field(default_factory=list[Path])
    others: list[bytes] = field(default_factory=list[bytes])
    again: list[bytes] = field(default_factory=list[bytes])


def gather(paths: Sequence[Path], *, recursive: bool = True) -> Gathered:
    """The photos behind files and folders.

    A folder's other files are only listed, unless their content is that of a photo; a file that was named itself is
    always taken, whatever its name, and a link that was named is followed. What is not there or cannot be read is a
    source with a problem, so that it holds up nothing else.
    """
    gathered = Gathered()
    seen: dict[tuple[int, int], bytes] = {}
    for path in paths:
        for source in _behind(Path(os.path.abspath(path)), gathered, recursive=recursive):
            first = seen.get(source.identity)
            if first is None:
                gathered.photos.append(source)
            elif first != source.name:
                gathered.again.append(source.name)
            if source.identity != (0, 0):
                seen.setdefault(source.identity, source.name)
    return gathered


def _behind(path: Path, gathered: Gathered, *, recursive: bool) -> Iterator[Source]:
    root, name = os.fsencode(path.parent), os.fsencode(path.name)
    try:
        facts = path.stat()
    except OSError as error:
        yield Source(root, name, *_missing(path, error))
        return
    if stat.S_ISDIR(facts.st_mode):
        try:
            found = list(walk(path, Rules(), recursive=recursive))
        except OSError as error:
            why = f"The folder cannot be read ({error.strerror}). Give yourself access to it."
            yield Source(root, name, Reason.NO_PERMISSION, detail=why)
            return
        gathered.folders.append(path)
        top = os.fsencode(path)
        strange = [one for one in found if _other(one)] + list(_without_extension(path, recursive=recursive))
        disguised = [one for one in strange if one.problem is None and _is_photo(os.path.join(top, one.path))]
        gathered.others += sorted(os.path.join(top, one.path) for one in strange if one not in disguised)
        photos = [
            *_in_folder(top, found),
            *(Source(top, one.path, size=one.size, identity=(one.device, one.inode)) for one in disguised),
        ]
        yield from sorted(photos, key=lambda one: one.path)
        return
    problem = problem_of(facts)
    real = os.fsencode(os.path.realpath(path)) if path.is_symlink() else b""
    identity = (facts.st_dev, facts.st_ino)
    why = _WORDS[problem] if problem else ""
    if problem is Reason.NOT_A_REGULAR_FILE and stat.S_ISFIFO(facts.st_mode):
        why = _PIPE
    yield Source(root, name, problem, facts.st_size, why, real, identity)


def _missing(path: Path, error: OSError) -> tuple[Reason, int, str]:
    """Reason, size and sentence for a name behind which nothing can be reached."""
    if isinstance(error, PermissionError):
        return Reason.NO_PERMISSION, 0, _WORDS[Reason.NO_PERMISSION]
    if os.path.islink(path):  # pathlib's raises for names that are too long
        there = printable(os.readlink(os.fsencode(path)))
        return Reason.NOT_FOUND, 0, f"It is a link to {there}, and nothing can be reached there."
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ENAMETOOLONG:
        return Reason.NOT_FOUND, 0, "There is no such file or folder; check the name."
    return Reason.UNREADABLE, 0, f"It cannot be read ({error.strerror})."


def _in_folder(root: bytes, found: list[Found]) -> Iterator[Source]:
    photos = [one for one in found if one.kind in (Kind.PHOTO, Kind.RAW)]
    partners = {raw_pair_key(one.path) for one in photos if is_pair_partner(one.path)}
    for one in photos:
        if classify(one.path, Rules()) is Kind.RAW and raw_pair_key(one.path) in partners:
            continue
        identity = (0, 0) if one.problem else (one.device, one.inode)
        yield Source(root, one.path, one.problem, one.size, _detail(one), identity=identity)
    # Folders that cannot be read, and links to albums: their photos would be missed in silence.
    for one in found:
        if one.kind is Kind.OTHER and one.problem is not None and not _other(one):
            yield Source(root, one.path, one.problem, one.size, _detail(one))


def _without_extension(path: Path, *, recursive: bool) -> Iterator[Found]:
    """Plain files whose names have no extension: an inbox leaves them alone, as downloads are called so for a while."""
    top = os.fsencode(path)
    for folder, folders, names in os.walk(top):
        here = os.path.relpath(folder, top)
        under = b"" if here == b"." else here + b"/"
        folders[:] = [one for one in folders if recursive and not is_excluded_folder(under + one, Rules())]
        for name in names:
            if extension(name) or is_junk_name(name):
                continue
            try:
                facts = os.lstat(os.path.join(folder, name))
            except OSError:
                continue  # gone meanwhile
            if stat.S_ISREG(facts.st_mode):
                yield Found(
                    under + name,
                    facts.st_size,
                    facts.st_mtime_ns,
                    facts.st_ino,
                    facts.st_dev,
                    facts.st_mode,
                    Kind.OTHER,
                )


def _is_photo(path: bytes) -> bool:
    """Whether a file is a photo by its first bytes, whatever its name."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return formats.sniff(head, "").format is not None


def _other(one: Found) -> bool:
    """Whether it is a plain file that is no photo by its name, or a link to such."""
    return one.kind is Kind.OTHER and (
        one.problem is None
        or (one.problem is Reason.NOT_A_REGULAR_FILE and b"." in os.path.basename(one.path))
    )


def _detail(one: Found) -> str:
    if one.problem is Reason.NOT_A_REGULAR_FILE and stat.S_ISLNK(one.mode):
        return _LINK
    return "" if one.problem is None else _WORDS.get(one.problem, "")


def folder_that_eats(
    outbox: Path, gathered: Gathered, own_folders: Iterable[tuple[str, str]], *, date: str
) -> Path | None:
    """A named folder in which cutouts would come to lie, to be taken for photos the next time; None: no one.

    Args:
        outbox: the output folder; need not exist.
        gathered: the photos, and the folders they come from.
        own_folders: `folder` and `label` of each deliverable.
        date: what `{date}` in a folder stands for.
    """
    deliverables = list(own_folders)
    targets = {
        outbox / os.fsdecode(mirrored_folder(photo.path, folder, date=date, label=label))
        for photo in gathered.photos
        if photo.problem is None
        for folder, label in deliverables
    }
    for folder in gathered.folders:
        for target in sorted(targets):
            if is_inside(target, folder) and not _is_passed_over(target, folder):
                return folder
    return None


def _is_passed_over(target: Path, folder: Path) -> bool:
    """Whether the target lies in a part of the folder that no walk enters, such as a hidden one."""
    real = Path(os.path.realpath(target))
    for above in (real, *real.parents):
        if is_inside(folder, above):
            return False  # arrived at the folder itself
        if is_ignored_folder(os.fsencode(above.name)):
            return True
    return False
