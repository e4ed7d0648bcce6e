"""Which names in an inbox are photos and which are never touched: tables of policy; opens no file."""

# Extensions as words in a line read better than as a column of quotes.
from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cutoutd.daemon.files.names import MOST_LEVELS
from cutoutd.models.decoding.formats import PHOTO_EXTENSIONS, RAW_EXTENSIONS


class Kind(StrEnum):
    """What a name says about a file; the content decides later whether that is true."""

    PHOTO = "photo"
    RAW = "raw"
    OTHER = "other"  # a finished file that is no photo: counted as `skipped: not-a-photo`, never opened
    JUNK = "junk"  # never touched, never in the ledger


@dataclass(frozen=True)
class Rules:
    """An inbox's own patterns, on top of the tables below.

    Attributes:
        include: when not empty, only files that match one of these are seen at all.
        exclude: files and folders that match one of these are never seen.

    A pattern without `/` is compared with every component of the path, one with `/` with the whole path
    relative to the inbox; `*` and `?` stop at `/`, `**` does not. Upper and lower case are the same.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


# Formats that cameras write beside a RAW of the same stem: one picture, delivered once.
PAIR_EXTENSIONS = frozenset({"jpg", "jpeg", "jpe", "heic", "heif", "hif"})

# Extensions that programs put beside a photo; they come and go with it and mean nothing to a cutout.
SIDECARS: dict[str, str] = {
    "xmp": "edits as Adobe, darktable and digiKam write them",
    "aae": "edits of Apple Photos",
    "acr": "Adobe Camera Raw masks",
    "arp": "RawTherapee, old",
    "comask": "Capture One mask",
    "cop": "Capture One preview",
    "cos": "Capture One settings",
    "cot": "Capture One thumbnail",
    "dop": "DxO PhotoLab",
    "dr4": "Canon Digital Photo Professional recipe",
    "nka": "Nikon NX Studio",
    "nksc": "Nikon NX Studio",
    "on1": "ON1 Photo RAW",
    "pp3": "RawTherapee and ART",
    "rpp": "Raw Photo Processor",
    "spd": "SILKYPIX development",
    "thm": "camera thumbnail of a film or RAW",
    "vrd": "Canon recipe",
}

# Behind a photo's own, final name: notes that lie beside it for as long as its download is unfinished, running or not.
NOTES_BESIDE: dict[str, str] = {
    ".aria2": "aria2's notes on a download in progress",
    ".lftp-pget-status": "lftp's notes on a download in progress",
    ".st": "axel's notes on a download in progress",
}

# Shell patterns of names that are not finished or not the user's; lower case.
JUNK_NAMES: dict[str, str] = {
    **{f"*{behind}": what for behind, what in NOTES_BESIDE.items()},
    ".*": "hidden: .DS_Store, ._resource forks, FTP upload names, our own .cutoutd- files",
    "~*": "office and editor lock files",
    "*~": "editor backups",
    "desktop.ini": "Windows folder settings",
    "thumbs.db": "Windows thumbnails",
    "ehthumbs*.db": "Windows thumbnails",
    "icon\r": "macOS folder icon",
    "*.part": "partial download (Firefox, FTP clients)",
    "*.partial": "partial download",
    "*.filepart": "WinSCP upload in progress",
    "*.crdownload": "Chrome download in progress",
    "*.download": "Safari download in progress",
    "*.opdownload": "Opera download in progress",
    "*.!sync": "Resilio Sync in progress",
    "*.crswap": "Chrome's copy of a file that a page saves",
    "*.tacitpart": "FolderSync upload in progress",
    "*.upload": "upload in progress",
    "*.uploading": "upload in progress",
    "*.tmp": "temporary file",
    "*.temp": "temporary file",
    "*.swp": "editor swap file",
    "*.lock": "lock file",
    "*.lck": "lock file",
    "#*#": "Emacs backup",
    "*_exiftool_tmp": "ExifTool's copy of a photo whose data it changes",
    "*:zone.identifier": "where Windows had a file from, in a file of its own by WSL and some shares",
    "*:com.dropbox.att*": "the same of Dropbox",
    "*.digikamtempfile.*": "digiKam download in progress, a temporary that ends in .JPG",
    "tmpfile??????": "gphoto2 download in progress",
}

# Shell patterns of folders that are never entered; lower case.
JUNK_FOLDERS: dict[str, str] = {
    ".*": "hidden: .Trash, .Spotlight-V100, .stversions, .stfolder, .dtrash, .thumbnails",
    "@eadir": "Synology thumbnails",
    "#recycle": "Synology bin",
    "#snapshot": "Synology, all files as they were earlier",
    "@sharebin": "Synology, to be deleted",
    "@tmp": "Synology, uploads in progress",
    "@recycle": "QNAP bin",
    "@__thumb": "QNAP thumbnails",
    "@recently-snapshot": "QNAP, all files as they were earlier",
    "~snapshot": "NetApp, all files as they were earlier",
    "$recycle.bin": "Windows bin",
    "recycler": "Windows bin, old",
    "system volume information": "Windows internals",
    "lost+found": "file system repair",
    "found.[0-9][0-9][0-9]": "file system repair, Windows",
    "network trash folder": "bin of Macs on a share",
    "temporary items": "saves of Macs on a share, in progress",
    "(a document being saved by *)": "the same, of one program",
    "*.sb-????????-??????": "a Mac's save in progress: the photo in a folder beside it",
    "*.download": "Safari download in progress",
    "adobe bridge cache": "Adobe Bridge thumbnails",
    "__macosx": "leftovers of macOS zip files",
    "captureone": "Capture One cache and settings",
    "nksc_param": "Nikon NX Studio sidecars",
    "*.lrdata": "Lightroom previews",
    "*.lrcat-data": "Lightroom masks",
    "*.lrlibrary": "Lightroom library",
    "*.photoslibrary": "Apple Photos library",
    "*.aplibrary": "Aperture library",
    "*.migratedphotolibrary": "iPhoto library, old",
    "*.cosessiondb": "Capture One session",
    "*.cocatalog": "Capture One catalogue",
}


def extension(name: bytes) -> str:
    """The part after the last dot, in lower case; empty when there is none (or only a leading dot)."""
    stem, dot, last = name.rpartition(b".")
    return os.fsdecode(last).lower() if dot and stem else ""


def classify(relpath: bytes, rules: Rules) -> Kind:
    """What to do with a file, from its name alone.

    Args:
        relpath: path relative to the inbox, `/` between components; need not be UTF-8.
        rules: the inbox's own include and exclude patterns.

    A name without extension is JUNK: cameras' programs write such names while a download runs and rename
    afterwards, and the rename is seen. An unknown extension is OTHER: reported once, never opened.
    """
    if not is_visible(relpath, rules):
        return Kind.JUNK
    ext = extension(relpath.rpartition(b"/")[2])
    if not ext or ext in SIDECARS:
        return Kind.JUNK
    if ext in PHOTO_EXTENSIONS:
        return Kind.PHOTO
    if ext in RAW_EXTENSIONS:
        return Kind.RAW
    return Kind.OTHER


def is_visible(relpath: bytes, rules: Rules) -> bool:
    """Whether a path is neither junk by name or folder nor ruled out by the inbox's own patterns."""
    folder, _, name = relpath.rpartition(b"/")
    if (
        relpath.count(b"/") > MOST_LEVELS
        or is_junk_name(name)
        or any(is_ignored_folder(part) for part in folder.split(b"/") if part)
    ):
        return False
    return _wanted(_text(relpath), rules)


def is_junk_name(name: bytes) -> bool:
    """Whether a file name (no folder) is temporary, hidden or a system's own; sidecars are not asked here."""
    return _JUNK_NAME.fullmatch(_text(name)) is not None


@lru_cache(maxsize=1024)  # a walk asks the same few names for every file
def is_ignored_folder(name: bytes) -> bool:
    """Whether a folder of this name (one component) is never entered."""
    return _JUNK_FOLDER.fullmatch(_text(name)) is not None


def is_excluded_folder(relpath: bytes, rules: Rules) -> bool:
    """Whether a walk need not enter this folder: ignored by name, too deep, or everything in it is excluded."""
    if relpath.count(b"/") >= MOST_LEVELS or is_ignored_folder(relpath.rpartition(b"/")[2]):
        return True
    return _excluded(_text(relpath), rules) or _excluded(_text(relpath) + "/\0", rules)


def raw_pair_key(relpath: bytes) -> bytes:
    """Equal for a RAW and the JPEG of its stem in the same folder: DSC_1.NEF and dsc_1.jpg.

    Pixel phones name the two PXL_1.RAW-01.COVER.jpg (.RAW-01.MP.COVER.jpg with a film) and PXL_1.RAW-02.ORIGINAL.dng.
    """
    folder, slash, name = relpath.rpartition(b"/")
    stem = _PIXEL_ENDING.sub("", _text(name.rpartition(b".")[0] or name))
    return folder + slash + stem.encode("utf-8", "surrogateescape")


# What Pixel phones put behind the stem of a RAW and of the picture, or the motion photo, beside it.
_PIXEL_ENDING = re.compile(r"(\.raw-0[12])?(\.mp)?(\.cover|\.original)?$")


def is_pair_partner(relpath: bytes) -> bool:
    """Whether this is the kind of file that a camera writes beside a RAW."""
    return extension(relpath.rpartition(b"/")[2]) in PAIR_EXTENSIONS


def translate(pattern: str) -> str:
    """A shell pattern as a regular expression: `*`, `?`, `[…]` within a component, `**` across them."""
    parts: list[str] = []
    rest = pattern
    while rest:
        match = _TOKEN.match(rest)
        token = match.group() if match else rest[0]
        rest = rest[len(token) :]
        parts.append(
            _class(token) if len(token) > 2 and token[0] == "[" else _TOKENS.get(token) or re.escape(token)
        )
    return "".join(parts)


_TOKENS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]")


def _class(token: str) -> str:
    """`[!a-z]` as a regular expression's class that never matches `/`."""
    negated = token[1] == "!"
    body = token[2 if negated else 1 : -1].replace("\\", "\\\\").replace("^", "\\^").replace("[", "\\[")
    body = body.replace("]", "\\]").replace("&", "\\&").replace("~", "\\~").replace("|", "\\|")
    found = f"[^/{body}]" if negated else f"[{body}]"
    try:
        re.compile(found)
    except re.error:  # a range that runs backwards: the pattern means what it says
        return re.escape(token)
    return found


def matches(pattern: str, relpath: bytes) -> bool:
    """Whether a photo's path relative to its inbox, or its name alone, fits a pattern as `include` has them."""
    found, text = _any_of((pattern,)), _text(relpath)
    return found is not None and any(found.fullmatch(form) for form in (text, text.rpartition("/")[2]))


def _wanted(text: str, rules: Rules) -> bool:
    if rules.exclude and _excluded(text, rules):
        return False
    include = _any_of(rules.include)
    return include is None or any(include.fullmatch(form) for form in (text, text.rpartition("/")[2]))


def _excluded(text: str, rules: Rules) -> bool:
    """Whether a pattern matches the path, one of its components, or a folder that it lies in."""
    exclude = _any_of(rules.exclude)
    if exclude is None:
        return False
    parts = text.split("/")
    if any(exclude.fullmatch(part) for part in parts):
        return True
    return any(exclude.fullmatch("/".join(parts[:count])) for count in range(2, len(parts) + 1))


@lru_cache(maxsize=128)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    cleaned = (pattern.lower().removeprefix("./").removeprefix("/").rstrip("/") for pattern in patterns)
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in cleaned), re.DOTALL)


def _text(name: bytes) -> str:
    """A name for comparing: bytes that are not UTF-8 stay distinct, upper and lower case become one."""
    return name.decode("utf-8", "surrogateescape").lower()


def _table(patterns: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns), re.DOTALL)


_JUNK_NAME = _table(JUNK_NAMES)
_JUNK_FOLDER = _table(JUNK_FOLDERS)
