"""Whether a folder's events can be relied on, tried with a file of our own; it watches nothing for longer."""

from __future__ import annotations

import os
import queue
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from cutoutd.config.errors import printable
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.mounts import POLLED_KINDS, MountIdentity, identify, needs_polling
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.watcher import Hint, Message, Watcher, WatchLost

_PROBE = ".cutoutd-probe-"
_LEFT_PROBE = re.compile(rb"\.cutoutd-probe-[0-9a-f]{16}")


def probe_events(root: Path, timeout_s: float) -> NoEvents | None:
    """Why native events cannot be relied on in a folder; None when they can.

    Shares are judged by their kind. Elsewhere a hidden file of ours is written and removed, and its event
    awaited for timeout_s seconds; in a folder that may not be written to, the kind alone decides.

    Raises:
        OSError: the folder cannot be looked at.
    """
    mount = identify(root)
    if needs_polling(mount.fstype):
        return mount_without_events(root, mount)
    said: queue.SimpleQueue[Message] = queue.SimpleQueue()
    watcher = Watcher("probe", root, recursive=False, post=said.put)
    top = os.fsencode(root)
    fs = RealFileSystem(top)
    with fs.scandir(top) as entries:  # of a daemon that was killed in this very second
        left = [entry.path for entry in entries if _LEFT_PROBE.fullmatch(entry.name)]
    for path in left:
        with suppress(OSError):
            fs.unlink(path)
    probe = os.path.join(top, f"{_PROBE}{secrets.token_hex(8)}".encode())
    if not watcher.start():
        return watcher.refusal
    try:
        try:
            fs.close(fs.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except OSError:
            return None  # read-only for us, or full: a local file system's events are taken on trust
        try:
            return (
                None
                if _arrives(said, os.path.basename(probe), timeout_s)
                else _silent(root, mount, timeout_s)
            )
        finally:
            with suppress(FileNotFoundError):
                fs.unlink(probe)
    finally:
        watcher.stop()


def mount_without_events(folder: Path, mount: MountIdentity) -> NoEvents:
    """What to say of a folder on a share: a write from here gives an event, another machine's does not."""
    what = POLLED_KINDS.get(mount.fstype, "unknown program")
    source = f" of {printable(mount.source)}" if mount.source not in ("", "none") else ""
    return NoEvents(
        f"{printable(folder)} lies on a file system that tells nothing of changes made elsewhere "
        f"({mount.fstype}, {what}{source}).",
        "mount",
    )


def _silent(root: Path, mount: MountIdentity, timeout_s: float) -> NoEvents:
    why = f"A file made in {printable(root)} ({mount.fstype}) gave no file event within {timeout_s:g} s."
    return NoEvents(why, "silent")


def _arrives(said: queue.SimpleQueue[Message], name: bytes, timeout_s: float) -> bool:
    """Whether a hint about name comes within timeout_s seconds, whatever else happens in the folder."""
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        try:
            message = said.get(timeout=left)
        except queue.Empty:
            return False
        if isinstance(message, Hint) and message.path == name:
            return True
        if isinstance(message, WatchLost):
            return False
    return False
