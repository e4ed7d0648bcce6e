"""Where an original goes once its photo is done or has failed: what the settings say of it; it moves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import State


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
