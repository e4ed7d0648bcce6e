"""Do the folders of a configuration fit together? Looks at the disk to compare and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cutoutd.config.errors import printable
from cutoutd.config.explain import Problem
from cutoutd.config.locate import Place
from cutoutd.config.settings import Inbox, Settings
from cutoutd.config.timeouts import run_with_timeout

# A folder for comparison: device and inode of the nearest ancestor that exists, and the names below it.
_Identity = tuple[int | str, int, tuple[str, ...]]
_Inside = Callable[[Path, Path], bool]

# All folders together are looked at for so long: far more than a share that is merely slow takes.
LOOK_S = 5.0


def folder_problems(settings: Settings) -> list[Problem]:
    """Outboxes, archives and failed folders inside an inbox, originals among cutouts, and inboxes that overlap.

    While one of the folders hangs (a network mount whose server is away) they are compared by their spelling.
    """
    found = run_with_timeout(LOOK_S, lambda: _problems(settings, is_inside), None)
    return _problems(settings, _spelt_inside) if found is None else found


def _problems(settings: Settings, inside: _Inside) -> list[Problem]:
    return [
        *_deliveries_inside_inboxes(settings.inbox, inside),
        *_originals_among_cutouts(settings.inbox, inside),
        *_overlaps(settings.inbox, inside),
    ]


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies below it, however the two are spelt.

    Symbolic links are followed; folders that exist are the same when device and inode agree, so a
    case-insensitive disk and a bind mount are seen through.
    """
    target = _identity(folder)
    real = Path(os.path.realpath(path))
    return any(_identity(ancestor) == target for ancestor in (real, *real.parents))


def _spelt_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))


def _identity(path: Path) -> _Identity:
    real = Path(os.path.realpath(path))
    missing: list[str] = []
    for ancestor in (real, *real.parents):
        try:
            found = ancestor.stat()
        except OSError:
            missing.append(ancestor.name)
            continue
        names = tuple(reversed(missing))
        if missing and _ignores_case(ancestor):
            names = tuple(name.casefold() for name in names)
        return found.st_dev, found.st_ino, names
    return str(real), 0, ()


def _ignores_case(folder: Path) -> bool:
    """Whether the folder's own name in other letters is the same folder."""
    swapped = folder.with_name(folder.name.swapcase()) if folder.name else folder
    if swapped == folder:
        return False
    try:
        return folder.samefile(swapped)
    except OSError:
        return False


def _deliveries_inside_inboxes(inboxes: tuple[Inbox, ...], inside: _Inside) -> Iterator[Problem]:
    for index, inbox in enumerate(inboxes):
        targets: list[tuple[Place, str, Path | None]] = [
            (("outbox",), "the outbox", inbox.outbox),
            (("after", "archive"), "the archive", inbox.after.archive),
            (("after", "failed"), "the folder for failed photos", inbox.after.failed),
            *((("outbox",), "the outbox's sub-folder", folder) for folder in _own_folders(inbox)),
        ]
        told: set[Place] = set()
        for key, what, folder in targets:
            if folder is None or key in told:
                continue
            around = next((other for other in inboxes if inside(folder, other.path)), None)
            if around is not None:
                told.add(key)
                yield Problem(
                    ("inbox", index, *key),
                    f"{what} {printable(folder)} lies inside the inbox {printable(around.path)}, so its "
                    f"files would be taken for new photos: choose a folder beside the inbox, such as "
                    f"{printable(around.path.parent / folder.name)}{_not_itself(around, folder)}",
                )


def _own_folders(inbox: Inbox) -> list[Path]:
    """Where cutouts lie below the outbox, as far as the settings alone say."""
    named = [one.folder.format(date="{date}", deliverable=one.label) for one in inbox.any_deliverables()]
    return [inbox.outbox / folder for folder in dict.fromkeys([*named, inbox.review]) if folder]


def _originals_among_cutouts(inboxes: tuple[Inbox, ...], inside: _Inside) -> Iterator[Problem]:
    """An original moved into an outbox lies among cutouts, takes their names, and is delivered with them."""
    for index, inbox in enumerate(inboxes):
        targets = [
            (("after", "archive"), "the archive", inbox.after.archive),
            (("after", "failed"), "the folder for failed photos", inbox.after.failed),
        ]
        for key, what, folder in targets:
            around = next(
                (o.outbox for o in inboxes if folder is not None and inside(folder, o.outbox)), None
            )
            if folder is None or around is None:
                continue
            where = "is" if inside(around, folder) else "lies inside"
            yield Problem(
                ("inbox", index, *key),
                f"{what} {printable(folder)} {where} the outbox {printable(around)}, so originals would lie among "
                f"cutouts: choose a folder beside it, such as {printable(around.parent / _beside(around, folder))}",
            )


def _beside(outbox: Path, folder: Path) -> str:
    """A name for the example that is not the outbox's own."""
    return "originals" if folder.name == outbox.name else folder.name


def _not_itself(inbox: Inbox, folder: Path) -> str:
    """A different example where the sibling would be the inbox itself."""
    return "-cutouts" if inbox.path.parent / folder.name == inbox.path else ""


def _overlaps(inboxes: tuple[Inbox, ...], inside: _Inside) -> Iterator[Problem]:
    for index, inbox in enumerate(inboxes):
        for other in inboxes[:index]:
            inner, outer = (inbox, other) if inside(inbox.path, other.path) else (other, inbox)
            if not inside(inner.path, outer.path):
                continue
            same = inside(outer.path, inner.path)
            if same:
                message = f"{printable(inbox.path)} is watched twice: remove one of the two [[inbox]] tables"
            elif outer.recursive:
                message = (
                    f"the inbox {printable(inner.path)} lies inside the inbox {printable(outer.path)}, so "
                    f"its photos would be done twice: move it out, or set recursive = false for the outer one"
                )
            else:
                continue
            yield Problem(("inbox", index, "path"), message)
