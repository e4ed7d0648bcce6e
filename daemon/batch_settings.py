"""What a batch is told: which names its cutouts may get, and which lie there already; it writes nothing."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable, extension
from cutoutd.daemon.files.digest import digest_file
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import candidates, mirrored_folder, name_key, portable, stem_of
from cutoutd.daemon.sources import Source


class BatchSettings(Struct, frozen=True):
    """How the photos are to be cut out.

    Attributes:
        folder: where cutouts go; exists.
        umask: of the outputs.
        overwrite: replace a file that lies under a cutout's name, instead of taking the next free name.
        exact: the one name that the one cutout of the one photo must have; empty: it follows from the photo's.
        fixes: corrections for the one photo.
        mask: absolute path of a mask for it, or empty.
        skip_existing: leave photos alone whose cutouts lie in the folder already, by name.
        plain: the folder refuses characters that others take.
    """

    folder: Path
    model: str
    deliverables: tuple[Deliverable, ...]
    matte: Matte
    limits: Limits
    umask: int
    overwrite: bool = False
    exact: str = ""
    skip_existing: bool = False
    fixes: Fixes = NOTHING_FIXED
    mask: bytes = b""
    plain: bool = False

    def names(self, photo: Source, number: int, one: Deliverable) -> Iterator[bytes]:
        """The names for a photo's cutout, in the order they are tried, as far as they are known beforehand."""
        needs_content = "{hash" in one.name
        return self.names_for(
            photo,
            number,
            one,
            mtime_ns=os.stat(photo.full).st_mtime_ns,
            digest=digest_file(photo.full, RealFileSystem(os.path.dirname(photo.full)))
            if needs_content
            else "",
            extension=extension(one),
        )

    def names_for(
        self, photo: Source, number: int, one: Deliverable, *, mtime_ns: int, digest: str, extension: str
    ) -> Iterator[bytes]:
        """The same once everything is known."""
        if self.exact:
            return iter([os.fsencode(self.exact)])
        stem = stem_of(
            one.name, photo.path, mtime_ns=mtime_ns, counter=number + 1, digest=digest, label=one.label
        )
        return candidates(self.folder_of(photo, one), portable(stem) if self.plain else stem, extension)

    def folder_of(self, photo: Source, one: Deliverable) -> bytes:
        """Where a photo's cutout goes below the output folder."""
        today = time.strftime("%Y-%m-%d")
        return mirrored_folder(photo.path, one.folder, date=today, label=one.label, plain=self.plain)


def finished_before(settings: BatchSettings, photos: Sequence[Source]) -> dict[int, tuple[bytes, ...]]:
    """Which photos have all their cutouts in the output folder already, by name, with those cutouts.

    Photos that would share a name (a.jpg and a.png) count only when all of them have one: which of them the
    first cutout belongs to cannot be told by its name.

    Returns:
        Numbers in `photos`, and absolute paths.
    """
    outbox = os.fsencode(settings.folder)
    originals = frozenset(photo.identity for photo in photos)
    wanted: dict[int, list[tuple[str, bytes]]] = {}
    nth_of: Counter[str] = Counter()
    sharing: dict[str, set[int]] = {}
    for number, photo in enumerate(photos):
        if photo.problem is not None:
            continue
        try:
            series = [settings.names(photo, number, one) for one in settings.deliverables]
        except OSError:
            continue  # its worker will say what is wrong with it
        wanted[number] = []
        for names in series:
            first = next(names)
            key = name_key(first)
            others = (
                name
                for name in itertools.chain([first], names)
                if identity_of(os.path.join(outbox, name)) not in originals
            )
            nth = next(itertools.islice(others, nth_of[key], None), b"")
            nth_of[key] += 1
            sharing.setdefault(key, set()).add(number)
            wanted[number].append((key, nth))
    there = {
        number: all(name and os.path.isfile(os.path.join(outbox, name)) for _, name in names)
        for number, names in wanted.items()
    }
    return {
        number: tuple(os.path.join(outbox, name) for _, name in names)
        for number, names in wanted.items()
        if all(there[other] for key, _ in names for other in sharing[key])
    }


def identity_of(path: bytes) -> tuple[int, int] | None:
    """Device and inode of what lies under a name; None where nothing does."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def nearest_there(folder: bytes) -> bytes:
    """The folder, or the nearest one above it that is there."""
    while identity_of(folder) is None and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder
