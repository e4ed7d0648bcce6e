"""What each folder of the config was mounted from when it was last opened; it looks at no folder itself."""

from __future__ import annotations

import os
from pathlib import Path

from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.ledger.database import Ledger


class Folders:
    """The mounts of inboxes, outboxes and archives, so that an unmounted one is not taken for an empty one."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def recorded(self, folder: Path) -> MountIdentity | None:
        """What the folder was mounted from; None when it was never opened."""
        row = self.ledger.one("SELECT mount FROM folders WHERE path = ?", (os.fsencode(folder),))
        return None if row is None else MountIdentity.from_json(row["mount"])

    def record(self, folder: Path, identity: MountIdentity) -> None:
        """Remembers, within the running turn, what the folder is mounted from."""
        self.ledger.write(
            "INSERT OR REPLACE INTO folders (path, mount) VALUES (?, ?)",
            (os.fsencode(folder), identity.to_json()),
        )

    def all(self) -> dict[bytes, MountIdentity]:
        """Every folder that was ever opened, by its absolute path."""
        rows = self.ledger.read("SELECT path, mount FROM folders")
        return {bytes(row["path"]): MountIdentity.from_json(row["mount"]) for row in rows}
