"""How an inbox is opened: whether it is really there, and whether its events come or it is polled; it scans nothing.

All of it touches the inbox's file system and may hang there: it belongs on the inbox's I/O thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.folders import inode_of
from cutoutd.daemon.files.mounts import (
    MountIdentity,
    identify,
    mounts_without_events,
    needs_polling,
)
from cutoutd.daemon.files.usable import can_be_used
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.probe import mount_without_events, probe_events
from cutoutd.daemon.watching.watcher import Message, Watcher

# How long the event of a probe's file is awaited: it comes within milliseconds, or not at all.
PROBE_S = 1.0

_NOWHERE = MountIdentity("", "", "", "", is_own_mount=False)


class Opened(Struct):
    """What opening an inbox brought.

    Attributes:
        watcher: what watches it; None where it is polled, or away.
        identity: the mount that it lies on.
        polled: whether it is to be walked on a timer; with no watcher and not polled, it is away.
        trouble: why it is away, as a sentence.
        inode: its device and inode.
        leases: the device whose leases tell who writes; None where they do not.
        no_events: why it is polled though the user did not ask for it.
    """

    watcher: Watcher | None
    identity: MountIdentity
    polled: bool
    trouble: str = ""
    inode: tuple[int, int] = (0, 0)
    leases: int | None = None
    no_events: NoEvents | None = None


def open_inbox(settings: Inbox, recorded: MountIdentity | None, post: Callable[[Message], None]) -> Opened:
    """Sets its watches; where there are none to be had, it is polled.

    Args:
        settings: the inbox's table.
        recorded: the mount that it lay on before; None when it was never open.
        post: takes the watcher's messages, from other threads.

    Raises:
        OSError: it went away meanwhile.
    """
    answer = can_be_used(settings.path, recorded)
    if not answer:
        return Opened(None, _NOWHERE, polled=False, trouble=answer.sentence)
    identity = identify(settings.path)
    inode = inode_of(settings.path)
    leases = None if needs_polling(identity.fstype) else inode[0]
    if settings.events == "poll":
        return Opened(None, identity, polled=True, inode=inode, leases=leases)
    no_events = probe_events(settings.path, PROBE_S) if settings.events == "auto" else None
    if no_events is None:
        watcher = Watcher(str(settings.path), settings.path, recursive=settings.recursive, post=post)
        if watcher.start():
            look_for_shares(settings, watcher)
            return Opened(watcher, identity, polled=False, inode=inode, leases=leases)
        no_events = watcher.refusal
        if settings.events == "native" and no_events is not None and no_events.code != "limit":
            return Opened(None, identity, polled=False, trouble=no_events.why)
    return Opened(None, identity, polled=True, inode=inode, leases=leases, no_events=no_events)


def look_for_shares(settings: Inbox, watcher: Watcher) -> None:
    """Tells a watcher of the shares mounted below the inbox: they give events of this machine's own changes only."""
    if settings.recursive:
        for path, mount in mounts_without_events(settings.path):
            folder = settings.path / os.fsdecode(path)
            watcher.add_blind(path, mount_without_events(folder, mount))


def events_arrive(settings: Inbox) -> bool:
    """Whether a polled inbox would give events now; on its I/O thread. Raises OSError."""
    return probe_events(settings.path, PROBE_S) is None
