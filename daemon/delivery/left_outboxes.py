"""Temporaries of ours in outboxes that have left the config: they go too, and nothing else there is touched.

All methods run in the supervisor's loop. What touches such a folder runs on a thread that lives no longer than that.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from cutoutd.daemon.delivery import leftovers, publish
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.files.story import send
from cutoutd.daemon.files.usable import must_be_usable
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.folders import Folders

# Where the ledger remembers which outboxes the config named last.
_NAMED = "outboxes"


class LeftOutboxes:
    """Tidies them up; made before any photo of this life is taken up.

    Args:
        ledger: knows which outboxes there were, and what they were mounted from.
        post: the supervisor's queue.
        instance: whose temporaries go.
    """

    def __init__(self, ledger: Ledger, *, post: Callable[[Done], None], instance: str) -> None:
        self._ledger = ledger
        self._post = post
        self._instance = instance
        # Attempts of this life bear its time and later ones (`dispatch/dispatcher.py`).
        self._before = time.time_ns() // 1_000_000
        self._swept = False
        self._threads: list[IoThread] = []

    def follow(self, outboxes: Collection[Path], keep: frozenset[bytes]) -> None:
        """Another config: what an earlier life left in outboxes that it names no more is swept, once for each start.

        What this life has in hand there is discarded as the photos come out of it.

        Args:
            outboxes: those that the config names.
            keep: absolute paths of temporaries that still wait to be published.
        """
        named = json.dumps(sorted(map(str, outboxes)))
        before = self._ledger.get_meta(_NAMED)
        if not self._swept:
            self._swept = True
            for path in {Path(one) for one in json.loads(before or "[]")} - set(outboxes):
                self._there(path, _sweep, self._instance, keep, self._before)
        if named != before:
            self._ledger.set_meta(_NAMED, named)

    def discard(self, temporaries: Iterable[bytes]) -> None:
        """Removes temporaries that nobody will publish, in whichever of the folders known here they lie."""
        there, _elsewhere = leftovers.by_outbox(temporaries, self._mounts())
        for outbox, names in there.items():
            self._there(Path(os.fsdecode(outbox)), _discard, names)

    def close(self, timeout_s: float) -> None:
        """Waits for what is under way, but not for a mount that hangs."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _mounts(self) -> dict[bytes, MountIdentity]:
        return Folders(self._ledger).all()

    def _there(self, path: Path, work: Callable[..., None], *arguments: Any) -> None:
        self._threads = [thread for thread in self._threads if not thread.join(0.0)]
        thread = IoThread("an outbox that has left the config", self._post)
        self._threads.append(thread)
        send(thread, work, path, self._mounts().get(os.fsencode(path)), *arguments)
        thread.stop()


def _sweep(
    path: Path, mount: MountIdentity | None, instance: str, keep: frozenset[bytes], before: int
) -> None:
    """On the I/O thread. Raises OSError."""
    must_be_usable(path, mount)
    outbox = os.fsencode(path)
    leftovers.sweep(outbox, instance, keep, fs=RealFileSystem(outbox), before=before)


def _discard(path: Path, mount: MountIdentity | None, names: list[bytes]) -> None:
    """On the I/O thread. Raises OSError."""
    must_be_usable(path, mount)
    publish.discard(names, RealFileSystem(os.fsencode(path)))
