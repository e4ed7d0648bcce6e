"""Small disks and mounts of a run's own, in a mount namespace that ends with the process; needs root on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS = 0x00020000
TMPFS_BYTES = 6 << 20


@functools.cache
def own_namespace() -> bool:
    """Gives this process its own mounts. False where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True).returncode == 0


@dataclass
class Disk:
    """What an outbox (or the state folder) lies on.

    `plain` is the folder as it is, `tmpfs` a small disk under the outbox, `state` one under the state folder,
    `bind` another folder mounted there, which can be unmounted without losing its files.
    """

    kind: str
    at: Path
    back: Path

    @staticmethod
    def possible() -> bool:
        return own_namespace()

    def set_up(self) -> None:
        self.at.mkdir(parents=True, exist_ok=True)
        if self.kind == "bind":
            self.back.mkdir(exist_ok=True)
        if self.kind != "plain":
            self.mount()

    def mount(self) -> None:
        if self.kind == "bind":
            _run("mount", "--bind", str(self.back), str(self.at))
        else:
            _run("mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(self.at))

    def unmount(self) -> None:
        _run("umount", "-l", str(self.at))

    def read_only(self, *, yes: bool) -> None:
        """Takes writes away, or gives them back."""
        how = "remount,bind," if self.kind == "bind" else "remount,"
        _run("mount", "-o", how + ("ro" if yes else "rw"), str(self.at))

    def fill(self) -> None:
        """Takes every byte that is left."""
        with contextlib.suppress(OSError), (self.at / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError), (self.at / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1))

    def free(self) -> None:
        (self.at / "filler").unlink(missing_ok=True)

    def tear_down(self) -> None:
        if self.kind != "plain":
            with contextlib.suppress(subprocess.CalledProcessError):
                self.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
