"""One delivery, watched: `python -m tests.reliability.torture.deliver_once ROOT STORY` runs it below ROOT.

The daemon's real ledger, outbox and after-care code in one thread (only the worker process is pretended), without
the crash points of `simulation.py`. Two marks on standard error frame the calls that count.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.support.simulation import BROKEN, Simulation, simulated

ONE, TWO = b"frame one " * 40, b"frame two " * 50
BEGIN, END = b"<the story begins>", b"<the story ends>"
BAD = BROKEN + b" frame " * 40
STORIES = ("fresh", "replaced", "archived", "archived deep", "trashed deep", "failed deep")


def simulation(root: Path, story: str) -> Simulation:
    table: dict[str, object] = {}
    if story.startswith("archived"):
        table["after"] = {"action": "archive", "archive": root / "archive"}
    elif story.startswith("trashed"):
        table["after"] = {"action": "trash"}
    elif story.startswith("failed"):
        table["after"] = {"failed": root / "failed"}
    return Simulation(root, inbox_table=table)


def photo_of(story: str) -> tuple[str, bytes]:
    """The path in the inbox and the bytes of the photo that comes last."""
    name = "day/sub/a.jpg" if story.endswith("deep") else "a.jpg"
    return name, {"replaced": TWO, "failed deep": BAD}.get(story, ONE)


def main(root: Path, story: str) -> None:
    """Boots, waits for the mark, delivers, ends without a goodbye."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_DATA_HOME", str(root / "home"))
    with simulated(patch, synced=True):  # which calls sync what is what the test asks
        sim = simulation(root, story).boot()
        if story == "replaced":
            sim.put("a.jpg", ONE)
            sim.finish()
        sim.run(12)
        sim.put(*photo_of(story))
        shutil.copytree(root, root.with_name(root.name + "-before"))
        os.sync()  # what was before is on the disk, the photo too
        os.write(2, BEGIN)
        sim.finish()
        os.write(2, END)
        shutil.copytree(root, root.with_name(root.name + "-after"))  # the goodbye tidies the ledger up
        sim.die()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
