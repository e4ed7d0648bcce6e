"""A ledger with finished photos and their files, as a daemon leaves them, made without one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tests.support.photos import encoded, pixels

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import doubts_text

PICTURES = ("astronaut", "chelsea", "coffee")


@dataclass
class Shoot:
    """An inbox, an outbox and a state folder below `root`; `add` does what a daemon would have done."""

    root: Path
    ledger: Ledger = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        for folder in (self.inbox, self.outbox, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(self.state / "ledger.sqlite")

    @property
    def inbox(self) -> Path:
        return self.root / "in"

    @property
    def outbox(self) -> Path:
        return self.root / "out"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CUTOUTD_")}
        return {**kept, "CUTOUTD_STATE_DIR": str(self.state), "HOME": str(self.root)}

    def started(self, name: bytes, picture: str = "coffee", size: tuple[int, int] | None = None) -> int:
        """A photo that a worker has in hand. Returns its row."""
        self.count += 1
        path = os.path.join(os.fsencode(self.inbox), name)
        Path(os.fsdecode(path)).parent.mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(encoded(picture, size=size))
        cursor = self.ledger.write(
            "INSERT INTO photos (inbox, path, key, size, state, arrived, started, model)"
            " VALUES (?, ?, ?, ?, 'running', ?, ?, 'cutout-s')",
            (os.fsencode(self.inbox), name, self.ledger.key(name), self.count, 1.7e9, 1.7e9 + self.count),
        )
        self.ledger.commit()
        return int(cursor.lastrowid or 0)

    def done(
        self, photo: int, picture: str = "coffee", labels: tuple[str, ...] = ("master",), *doubts: str,
        size: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Its cutouts lie in the outbox: `white` as a square JPEG, all others as the photo's size in alpha."""
        for label in labels:
            name = f"{photo}-{label}.{'jpg' if label == 'white' else 'png'}"
            if label == "white":
                on_white(picture).save(self.outbox / name, quality=90)
            else:
                cut(picture, size).save(self.outbox / name, compress_level=1)
            self.ledger.write(
                "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
                " VALUES (?, ?, ?, ?, ?, ?, 'done')",
                (photo, label, os.fsencode(self.outbox), os.fsencode(name), name, f"{photo} {label}"),
            )
        self.ledger.write(
            "UPDATE photos SET state = 'done', finished = ?, confidence = 0.71, doubts = ? WHERE id = ?",
            (self.ledger.clock(), doubts_text(doubts), photo),
        )
        self.ledger.commit()

    def add(
        self, name: bytes, picture: str = "coffee", labels: tuple[str, ...] = ("master",), *doubts: str
    ) -> int:
        """A photo that is done. Returns its row."""
        photo = self.started(name, picture)
        self.done(photo, picture, labels, *doubts)
        return photo

    def failed(self, name: bytes, why: str, picture: str = "chelsea") -> int:
        """A photo that has failed. Returns its row."""
        photo = self.started(name, picture)
        self.ledger.write(
            "UPDATE photos SET state = 'failed', reason = 'no-subject', detail = ?, finished = ? WHERE id = ?",
            (why, self.ledger.clock(), photo),
        )
        self.ledger.commit()
        return photo


def cut(picture: str, size: tuple[int, int] | None = None) -> Image.Image:
    """A photo with an ellipse left of it."""
    image = Image.fromarray(pixels(picture)).convert("RGB")
    image = image if size is None else image.resize(size)
    mask = Image.new("L", image.size, 0)
    width, height = image.size
    ImageDraw.Draw(mask).ellipse((width * 0.2, height * 0.12, width * 0.8, height * 0.88), fill=255)
    image.putalpha(mask)
    erased = np.asarray(image).copy()
    erased[erased[..., 3] == 0] = 0
    return Image.fromarray(erased)


def on_white(picture: str) -> Image.Image:
    """The same on a white square."""
    alone = cut(picture)
    side = max(alone.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(alone, ((side - alone.width) // 2, (side - alone.height) // 2), alone)
    return square
