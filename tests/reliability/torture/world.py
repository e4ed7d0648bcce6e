"""Everything a torture run has thrown at a daemon, kept by the thrower, so that nothing rests on the daemon's word."""

from __future__ import annotations

import hashlib
import io
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.reliability.torture.daemon import Attacked
from tests.reliability.torture.mounts import Disk
from tests.support.photos import pixels

SIZE = (160, 120)
SUBJECTS = ("astronaut", "chelsea", "coffee")


@dataclass(frozen=True)
class Content:
    """One frame: its bytes and the pixels that a decoder gets from them."""

    data: bytes
    rgb: NDArray[np.uint8]

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.data, digest_size=32).hexdigest()


def frame(rng: random.Random) -> Content:
    """A small photo that no other resembles: crop and light are drawn anew, so its cutout tells which it is."""
    source = Image.fromarray(pixels(rng.choice(SUBJECTS)))
    width, height = source.size
    left, top = rng.randrange(width // 12), rng.randrange(height // 12)
    small = source.crop((left, top, width - rng.randrange(width // 12), height - rng.randrange(height // 12)))
    array = np.asarray(small.resize(SIZE, Image.Resampling.BICUBIC), np.float64)
    light = np.array([rng.uniform(0.75, 1.2) for _ in range(3)])
    target = io.BytesIO()
    Image.fromarray(np.clip(array * light, 0, 255).astype(np.uint8)).save(target, "JPEG", quality=93)
    data = target.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        return Content(data, np.asarray(image.convert("RGB")))


@dataclass
class World:
    """One daemon's surroundings.

    Attributes:
        keep: whether originals stay in the inbox; else they are archived.
        frames: by relative path, every content that was ever complete under it, oldest first.
        left: paths whose photo the user took away.
        frozen: paths that are left alone from now on, because the user touched their cutout.
        theirs: files in the outbox that are the user's: made or edited by hand, with their bytes.
        junk: files in the inbox that fail, with their bytes.
        removed: cutouts that the user deleted.
        lost_ledger: the history was destroyed, so that cutouts of replaced frames can no longer be told apart.
        thrown: how often each event happened.
        findings: what was seen to be wrong on the way.
    """

    daemon: Attacked
    rng: random.Random
    disk: Disk
    keep: bool = True
    frames: dict[str, list[Content]] = field(default_factory=dict[str, list[Content]])
    left: set[str] = field(default_factory=set[str])
    frozen: set[str] = field(default_factory=set[str])
    theirs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    junk: dict[str, bytes] = field(default_factory=dict[str, bytes])
    removed: set[str] = field(default_factory=set[str])
    lost_ledger: bool = False
    redone: bool = False
    thrown: dict[str, int] = field(default_factory=dict[str, int])
    findings: list[str] = field(default_factory=list[str])
    number: int = 0
    elsewhere_before: dict[str, tuple[int, int, bytes]] = field(
        default_factory=dict[str, tuple[int, int, bytes]]
    )

    @property
    def elsewhere(self) -> Path:
        """A folder that is none of the daemon's business, to which a neighbour's links lead."""
        return self.daemon.root / "elsewhere"

    def lay_out_elsewhere(self) -> None:
        """Photos that nobody threw, and one that is the neighbour's cutout."""
        if self.elsewhere_before:
            return
        self.elsewhere.mkdir()
        for name in ("DSC_0001.jpg", "private.jpg", "private.png"):
            (self.elsewhere / name).write_bytes(frame(random.Random(name)).data)
            (self.elsewhere / name).chmod(0o600)
        self.elsewhere_before = self.elsewhere_now()

    def elsewhere_files(self) -> list[Path]:
        return sorted(self.elsewhere.iterdir())

    def elsewhere_now(self) -> dict[str, tuple[int, int, bytes]]:
        """Everything there that somebody could change: names, modes, second names, bytes."""
        found = [(path, path.lstat()) for path in sorted(self.elsewhere.rglob("*"))]
        return {
            path.name: (facts.st_mode, facts.st_nlink, path.read_bytes() if path.is_file() else b"")
            for path, facts in found
        }

    def count(self, event: str, times: int = 1) -> None:
        self.thrown[event] = self.thrown.get(event, 0) + times

    def fresh_name(self) -> str:
        """A new path: mostly plain, sometimes deep, odd, long or in another case."""
        self.number += 1
        plain = f"DSC_{self.number:04d}.jpg"
        kind = self.rng.random()
        if kind < 0.7:
            return plain
        if kind < 0.8:
            return f"{self.rng.choice(('a', 'b/c', 'd/e/f'))}/{plain}"
        if kind < 0.85:
            return f"{'x' * self.rng.randrange(100, 240)}{self.number}.jpg"
        if kind < 0.9:
            return f"Ka\u0308se {self.number} \u202e'\"$(x).JPG"
        if kind < 0.95:
            return os.fsdecode(b"raw\xff\xfe%d.jpeg" % self.number)
        return f"case{self.number}.jpg" if self.rng.random() < 0.5 else f"CASE{self.number - 1}.jpg"

    def path(self, name: str) -> Path:
        return self.daemon.inbox / name

    def photos(self) -> list[str]:
        """Paths that should have a photo, unless it was archived."""
        return sorted(set(self.frames) - self.left)

    def hidden(self) -> list[Path]:
        """Originals that are under way to the archive."""
        return list(self.daemon.inbox.rglob(".cutoutd-*"))
