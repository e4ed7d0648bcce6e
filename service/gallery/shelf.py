"""The small pictures of a gallery as files: each made once, named after its photo's row, its content and its sizes.

There is no list of them beside the folder itself, so that nothing can disagree. It decodes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from cutoutd.config.errors import FolderError
from cutoutd.daemon.ledger.previews import PICTURES, WHOLE, drop_others
from cutoutd.daemon.ledger.shots import Picture, Shot
from cutoutd.service.gallery.page import put
from cutoutd.service.gallery.thumbnails import Small

_NAME: Final = re.compile(
    r"(\d{1,18})-([0-9a-f]{12})-(\d{1,4})-(\d{1,5})x(\d{1,5})-(\d{1,7})x(\d{1,7})\.webp"
)
# What browsers can show as it is.
_SHOWABLE: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp"})


class Kept(Struct, frozen=True):
    """One small picture: its file's name, its size, and that of the whole, as (width, height) in pixels."""

    name: str
    size: tuple[int, int]
    whole: tuple[int, int]


class Shelf:
    """The pictures in one folder.

    Args:
        folder: of the gallery; made with mode 0700 where it is missing.
        side: pixels of the longest side; pictures made with another stay, and are not looked at.

    Raises:
        FolderError: it cannot be made or read.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.folder = folder
        self._side = side
        self._kept: dict[tuple[int, str], Kept] = {}
        try:
            for one in (folder, folder / PICTURES, folder / WHOLE):
                one.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (folder / PICTURES).iterdir():
                self._learn(path.name)
        except OSError as error:
            raise FolderError(
                f"The gallery's folder cannot be used ({error.strerror})", folder, "Check its permissions."
            ) from error

    def _learn(self, name: str) -> Kept | None:
        found = _NAME.fullmatch(name)
        if found is None or int(found[3]) != self._side:
            return None
        kept = Kept(name, (int(found[4]), int(found[5])), (int(found[6]), int(found[7])))
        self._kept[int(found[1]), found[2]] = kept
        return kept

    def get(self, photo: int, picture: Picture) -> Kept | None:
        """The small picture of one of a photo's files, where it was made."""
        return self._kept.get((photo, picture.key))

    def put(self, photo: int, picture: Picture, small: Small) -> Kept | None:
        """Keeps a picture, mode 0600; None where what came is no picture.

        Raises:
            FolderError: it cannot be written.
        """
        if not (small.data[:4] == b"RIFF" and small.data[8:12] == b"WEBP"):
            return None
        (width, height), (whole_width, whole_height) = small.size, small.whole
        name = f"{photo}-{picture.key}-{self._side}-{width}x{height}-{whole_width}x{whole_height}.webp"
        self._write(self.folder / PICTURES / name, small.data)
        return self._learn(name)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            put(path, data, 0o600)
        except OSError as error:
            raise FolderError(
                f"A small picture cannot be kept ({error.strerror})", path.parent, "Free some space there."
            ) from error

    def tidy(self, shots: Iterable[Shot], named: frozenset[int]) -> None:
        """Removes pictures of photos that are not among the named ones, and of earlier cutouts of those shown."""
        drop_others(self.folder, named)
        now = {shot.photo: {picture.key for picture in shot.pictures} for shot in shots}
        for below in (PICTURES, WHOLE):
            for path in sorted((self.folder / below).iterdir()):
                photo, key = _owner(path.name)
                if photo in now and key not in now[photo]:
                    path.unlink(missing_ok=True)
        self._kept = {
            (photo, key): kept
            for (photo, key), kept in self._kept.items()
            if photo in named and key in now.get(photo, {key})
        }


def _owner(name: str) -> tuple[int, str]:
    number, _, rest = name.partition("-")
    return (int(number), rest[:12]) if number.isdigit() and rest else (-1, "")


def link_whole(folder: Path, photo: int, picture: Picture) -> str:
    """A link to the file itself under a name that tells nothing; empty where a browser could not show it.

    Returns:
        Its address relative to the page.
    """
    ending = os.path.splitext(os.fsdecode(picture.path))[1].lower()  # noqa: PTH122 - a text
    if ending not in _SHOWABLE or not os.path.exists(picture.path):  # noqa: PTH110 - bytes
        return ""
    name = f"{photo}-{picture.key}{ending}"
    path = folder / WHOLE / name
    with contextlib.suppress(OSError):  # a file system without links shows small pictures only
        target = Path(os.fsdecode(picture.path))
        if not path.is_symlink() or path.readlink() != target:
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        return f"{WHOLE}/{name}"
    return ""


def copy_out(shelf: Path, target: Path, names: Iterable[str], mode: int = 0o600) -> None:
    """Brings the pictures of another folder's gallery up to date: these, and no others.

    Args:
        shelf: the gallery in the state folder.
        target: the other one; others may write there.
        names: of the pictures.
        mode: permission bits of the copies.

    Raises:
        FolderError: it cannot be written.
    """
    wanted = set(names)
    try:
        for below in (PICTURES, WHOLE):
            (target / below).mkdir(parents=True, exist_ok=True)
            if (target / below).is_symlink():  # others may write there, and it leads to where they want
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        there = {path.name for path in (target / PICTURES).iterdir()}
        for name in there - wanted:
            if _NAME.fullmatch(name):
                (target / PICTURES / name).unlink(missing_ok=True)
        for name in sorted(wanted - there):
            put(target / PICTURES / name, (shelf / PICTURES / name).read_bytes(), mode)
    except OSError as error:
        raise FolderError(
            f"The gallery cannot be written ({error.strerror})", target, "Choose another folder with -o."
        ) from error
