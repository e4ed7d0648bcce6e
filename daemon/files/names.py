"""What cutouts and temporaries are called: templates, collisions, length limits; pure, it touches no disk."""

from __future__ import annotations

import itertools
import os
import re
import time
import unicodedata
from collections.abc import Iterator

from msgspec import Struct

# The longest name that every common file system takes, in bytes.
LONGEST_NAME = 255

# Folders in one another that are entered. Nobody sorts photos so deep; somebody who may write here could make a tree of
# thousands, whose walk takes the square of that, and each cutout as many folders.
MOST_LEVELS = 400
# Room for " (9999)" behind a stem, so that a numbered name stays within the limit too.
_NUMBER_ROOM = 7
# What is left for a stem before that and the longest extension of ours.
_LONGEST_STEM = LONGEST_NAME - len(".avif") - _NUMBER_ROOM
# What FAT, exFAT, NTFS and SMB refuse in names.
_NOT_PORTABLE = re.compile(r'[<>:"\\|?*\x00-\x1f\x7f\udc80-\udcff]')
# What Windows takes for a device, whatever extension follows.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9]) *(?:\.|$)", re.IGNORECASE)
_TEMPORARY = re.compile(rb"^\.cutoutd-([0-9a-f]+)-(\d+)-(\d+)-(\d+)\.part$")


class Temporary(Struct, frozen=True):
    """The parts of one of our temporaries' names."""

    instance: str
    photo: int
    attempt: int
    index: int

    def name(self) -> bytes:
        """`.cutoutd-<instance>-<row>-<attempt>-<deliverable>.part`."""
        return f".cutoutd-{self.instance}-{self.photo}-{self.attempt}-{self.index}.part".encode()


def parse_temporary(name: bytes) -> Temporary | None:
    """The parts of a temporary's name, or None when it is not one of cutoutd's."""
    match = _TEMPORARY.match(name)
    if match is None:
        return None
    return Temporary(match[1].decode(), int(match[2]), int(match[3]), int(match[4]))


def name_key(path: bytes) -> str:
    """What makes two names the same on a file system that ignores case and Unicode form."""
    text = unicodedata.normalize("NFC", os.fsdecode(path)).casefold()
    return text.encode("utf-8", "backslashreplace").decode()  # bytes that are no UTF-8 as visible escapes


def mirrored_folder(path: bytes, folder: str, *, date: str, label: str, plain: bool = False) -> bytes:
    """Where a photo's cutout goes inside the outbox: the deliverable's own sub-folder, then the inbox's tree.

    Args:
        path: the photo's, in its inbox.
        folder: the deliverable's template.
        date: of the photo.
        label: the deliverable's.
        plain: folders get names that FAT, NTFS and SMB take too.
    """
    own = folder.format(date=date, deliverable=label) if folder else ""
    mirrored = os.path.join(os.fsencode(own), os.path.dirname(path))
    if not plain:
        return mirrored
    return os.fsencode("/".join(portable(one) for one in os.fsdecode(mirrored).split("/") if one))


# The last day that 64 bits of nanoseconds reach, and one that no photo is older than.
_LAST_DAY, _BEFORE_PHOTOGRAPHY_NS = "2262-04-11", -(1 << 62)


def date_of(mtime_ns: int) -> str:
    """The local day of a file's last change as `YYYY-MM-DD`; one beyond what the ledger holds counts as its last.

    Args:
        mtime_ns: nanoseconds since the epoch, whatever a camera or a file system made of them.
    """
    # The ledger keeps what is too large as a negative number.
    if not _BEFORE_PHOTOGRAPHY_NS <= mtime_ns < 1 << 63:
        return _LAST_DAY
    return time.strftime("%Y-%m-%d", time.localtime(mtime_ns / 1e9))


def stem_of(template: str, path: bytes, *, mtime_ns: int, counter: int, digest: str, label: str) -> str:
    """The file name without extension that a template gives for one photo.

    `{date}` is the photo's own modification time, which cameras set to the moment of the shot, so that the same
    photo gets the same name after a lost ledger too. Where all of it has no room, the photo's own name is cut, and
    what stands behind it stays: it tells the deliverables of one photo apart.
    """

    def filled(stem: str) -> str:
        return template.format(
            stem=stem,
            date=date_of(mtime_ns),
            counter=f"{counter:04d}",
            hash=digest[:8],
            deliverable=label,
        )

    stem = os.path.splitext(os.fsdecode(os.path.basename(path)))[0]
    text = filled(stem)
    over = len(os.fsencode(text)) - _LONGEST_STEM
    if over > 0 and not text.endswith(stem):
        times = max(1, template.count("{stem}"))
        own = os.fsencode(stem)
        text = filled(os.fsdecode(_cut(own, max(1, len(own) - -(-over // times)))))
    return text.replace("/", "_").replace("\0", "_").lstrip(".") or "photo"


def portable(stem: str) -> str:
    """A stem, or a folder's name, with what FAT, NTFS and SMB refuse replaced by `_`."""
    plain = _NOT_PORTABLE.sub("_", stem).rstrip(" .") or "photo"
    return f"_{plain}" if _DEVICE.match(plain) else plain


def name_prefix(folder: bytes, stem: str) -> str:
    """What the collision keys of all of a stem's candidate names begin with."""
    # 40 characters are at most 160 bytes: no candidate is ever cut as short as that. What follows may still
    # join with the last of them (an accent with its letter), so that one is left out, with its accents.
    head = stem[:40]
    if len(stem) > 40:
        while head and unicodedata.combining(head[-1]):
            head = head[:-1]
        head = head[:-1]
    return name_key(os.path.join(folder, os.fsencode(head)))


def candidates(folder: bytes, stem: str, extension: str, *, longest: int = LONGEST_NAME) -> Iterator[bytes]:
    """Relative names to try, in order: `a.png`, `a (2).png`, `a (3).png` … each within the length limit.

    Args:
        folder: relative folder inside the outbox.
        stem: the wanted name without extension.
        extension: with its dot.
        longest: bytes of a name without its folder; less than a file system's where another name is made of it.
    """
    raw = _cut(os.fsencode(stem), longest - len(extension) - _NUMBER_ROOM)
    for number in itertools.count(1):
        suffix = b"" if number == 1 else f" ({number})".encode()
        yield os.path.join(folder, raw + suffix + extension.encode())


def _cut(raw: bytes, limit: int) -> bytes:
    """At most `limit` bytes, without cutting a UTF-8 character in two."""
    if len(raw) <= limit:
        return raw
    end = limit
    while end > limit - 4 and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end]
