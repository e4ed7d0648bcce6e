"""What `-o` of `cutoutd once` means: a folder, one file, or standard output; it makes and writes nothing."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from cutoutd.config.errors import FolderError, UsageError, printable
from cutoutd.config.names import EXTENSIONS
from cutoutd.config.typed_paths import is_folder, is_there, typed_path
from cutoutd.daemon.sources import Gathered
from cutoutd.daemon.watching.filters import PHOTO_EXTENSIONS, RAW_EXTENSIONS

# `-` for a file means standard input or output, as everywhere.
STREAM = "-"
_FORMATS = {extension.removeprefix("."): name for name, extension in EXTENSIONS.items()} | {
    "jpeg": "jpeg",
    "tiff": "tiff",
}
# What nobody calls a folder, and no cutout is: archives, documents, films.
_OTHER_FILES = frozenset(
    {
        "7z",
        "ai",
        "bz2",
        "eps",
        "gz",
        "ico",
        "mov",
        "mp4",
        "pdf",
        "ps",
        "psb",
        "psd",
        "rar",
        "svg",
        "tar",
        "tgz",
        "xcf",
        "xz",
        "zip",
    }
)


class Target(Struct, frozen=True):
    """Where cutouts go.

    Attributes:
        folder: absolute; None for standard output.
        name: the one file that is meant, or empty for names that follow from the photos'.
        format: what its extension asks for, or empty.
    """

    folder: Path | None
    name: str = ""
    format: str = ""


def target_of(out: str, *, one_file: bool, photos: int, format_asked: str, files_each: int = 1) -> Target:
    """What is meant.

    `out` is a folder if it is one already or ends with a slash; a file if it has an extension that files have; else a
    folder.

    Args:
        out: as typed.
        one_file: whether what is cut out is one file that was named itself, or comes from standard input.
        photos: how many photos there are.
        format_asked: the value of `--format`, or empty; a preset's gives way to the name.
        files_each: how many cutouts each photo becomes, by its presets.

    Raises:
        UsageError: a single file for several photos, or a format that is not written.
        FolderError: a file lies where a folder is needed.
    """
    if out == STREAM:
        _must_be_one(out, one_file=one_file, photos=photos, files_each=files_each)
        return Target(None)
    path = typed_path(out)
    ending = path.suffix.lower().removeprefix(".")
    if (
        out.endswith(os.sep)
        or is_folder(path)
        or ending not in (_FORMATS.keys() | PHOTO_EXTENSIONS | RAW_EXTENSIONS | _OTHER_FILES)
    ):
        if is_there(path) and not is_folder(path):
            raise FolderError("This is a file, and cutouts need a folder", path, "Choose another with -o.")
        return Target(path)
    if ending not in _OTHER_FILES:
        _must_be_one(out, one_file=one_file, photos=photos, files_each=files_each)
    if ending not in _FORMATS:
        raise UsageError(
            f"{ending.upper()} is not written here",
            path,
            "Name a .png, .webp, .tif, .avif or .jpg, or a folder (with a slash at its end, if it is to be called so).",
        )
    asked = format_asked.lower().removeprefix(".")
    if asked and _FORMATS.get(asked) != _FORMATS[ending]:
        raise UsageError(
            f"The name asks for {_FORMATS[ending].upper()} and the options for {format_asked.upper()}",
            path,
            "Leave one of them out.",
        )
    return Target(path.parent, path.name, _FORMATS[ending])


def _must_be_one(out: str, *, one_file: bool, photos: int, files_each: int) -> None:
    if one_file and files_each == 1:
        return
    what = "standard output takes one cutout" if out == STREAM else f"{printable(out)} is one file"
    if one_file:
        more, less = f"the presets make {files_each} of each photo", "one preset"
    else:
        more, less = f"there {'is a folder' if photos == 1 else f'are {photos} photos'}", "one photo"
    raise UsageError(
        f"{what}, and {more}",
        fix=f"Name a folder with -o (with a slash at its end, if it is to be called so), or {less}.",
    )


def must_not_be_a_photo(target: Target, gathered: Gathered) -> None:
    """Raises UsageError when the file to be written is one of the photos themselves: originals are never touched."""
    if target.folder is None or not target.name:
        return
    try:
        facts = (target.folder / target.name).stat()
    except OSError:
        return
    if any(photo.identity == (facts.st_dev, facts.st_ino) for photo in gathered.photos):
        raise UsageError(
            "This is the photo itself, and originals are never touched",
            target.folder / target.name,
            "Choose another name with -o.",
        )
