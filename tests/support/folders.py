"""Where a daemon under test keeps its things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
