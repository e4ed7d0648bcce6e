"""Where a daemon under test keeps its things."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# linux/posix_acl_xattr.h: version, then kind, rights and id of each entry; kinds are user, group, mask, others.
_NOBODY = 0xFFFFFFFF
_KINDS = {"user": 0x01, "group": 0x04, "mask": 0x10, "others": 0x20}


def give_default_acl(folder: Path, **rights: int) -> None:
    """What is made in a folder has these rights from now on; skips the test where its file system knows none."""
    entries = [struct.pack("<HHI", _KINDS[kind], bits, _NOBODY) for kind, bits in rights.items()]
    try:
        os.setxattr(folder, "system.posix_acl_default", struct.pack("<I", 2) + b"".join(entries))
    except (OSError, AttributeError):
        pytest.skip("this file system knows no default ACLs")


@contextmanager
def nested(folder: Path, levels: int, name: str = "d") -> Generator[None]:
    """Folders in one another below `folder`, deeper than any path reaches, with a file in the last; they go again."""
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=inner)
        outer, inner = inner, os.open(name, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(os.open("deep.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)
    try:
        yield
    finally:  # what clears temporary folders away goes no deeper than a thousand
        subprocess.run(["rm", "-rf", folder / name], check=True)


@dataclass
class Below:
    """The folders of one daemon, all below `root`."""

    root: Path

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def failed(self) -> Path:
        return self.root / "failed"

    @property
    def state(self) -> Path:
        return self.root / "state"
