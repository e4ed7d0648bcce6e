"""Where an original goes once its photo is done or has failed, and whether that place can be used; it moves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.folders import make_folder
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.mounts import MountIdentity, identify, inode_of, takes_plain_names_only
from cutoutd.daemon.files.usable import must_be_usable
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.originals.trash import Trash, find_trash


class Destination(Struct, frozen=True):
    """Where an original goes.

    Attributes:
        folder: the archive or the folder for failed ones; None for the trash.
        rest_s: how long it must have rested where the system does not tell who writes it.
        mounts: what the folders concerned were mounted from when they were seen last.
    """

    folder: Path | None
    rest_s: float
    mounts: Mapping[Path, MountIdentity]


def destination_of(
    row: PhotoRow, inbox: Inbox, recorded: Callable[[Path], MountIdentity | None]
) -> Destination | None:
    """Where the settings send this original; None when it is to stay.

    Args:
        row: a photo in any state; only finished and failed ones have a destination.
        inbox: the settings of its inbox.
        recorded: what a folder was mounted from when it was seen last, if ever.
    """
    after = inbox.after
    if row.state == State.FAILED:
        if after.failed is None:
            return None
        folder, rest_s = after.failed, after.failed_after
    elif row.state == State.DONE and after.action != "keep":
        folder, rest_s = (None if after.action == "trash" else after.archive), after.rest
    else:
        return None
    folders = (inbox.path, *(() if folder is None else (folder,)))
    known = {folder: recorded(folder) for folder in folders}
    return Destination(
        folder, rest_s, {folder: mount for folder, mount in known.items() if mount is not None}
    )


class Reached(Struct, frozen=True):
    """A destination that can be used now.

    Attributes:
        place: the folder, an absolute path; or the trash.
        fs: reaches what lies below it, and below the inbox.
        mount: what the folder lies on; None for the trash.
        inode: the folder's device and inode; of no meaning for the trash.
        plain: it takes plain names only.
    """

    place: bytes | Trash
    fs: FileSystem
    mount: MountIdentity | None = None
    inode: tuple[int, int] = (0, 0)
    plain: bool = False


def reach(destination: Destination, inbox: Path, planned: bytes, folder_mode: int) -> Reached:
    """On the inbox's I/O thread: the folder is made when it was never seen, else it must be the one that was seen.

    Args:
        destination: where the original is to go.
        inbox: where it lies.
        planned: the place that was committed for it before, an absolute path; empty: none was.
        folder_mode: permission bits of a folder that is made.

    Raises:
        OSError: the inbox or the folder is not there, or another lies in its place.
    """
    must_be_usable(inbox, destination.mounts.get(inbox))
    inside, folder = os.fsencode(inbox), destination.folder
    if folder is None:
        trash = find_trash(inside)
        return Reached(trash, _around(inside, trash.root, planned))
    if folder not in destination.mounts:
        make_folder(folder, folder_mode)
    must_be_usable(folder, destination.mounts.get(folder))
    inode, mount, place = inode_of(folder) or (0, 0), identify(folder), os.fsencode(folder)
    return Reached(place, _around(inside, place, planned), mount, inode, takes_plain_names_only(mount.fstype))


def _around(inbox: bytes, place: bytes, planned: bytes) -> FileSystem:
    roots = [inbox, place]
    if planned and not any(planned.startswith(root + b"/") for root in roots):
        roots.append(os.path.dirname(planned))  # the setting changed after it had got that far
    return RealFileSystem(*roots)
