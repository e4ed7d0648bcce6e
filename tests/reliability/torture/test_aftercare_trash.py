"""The trash as after-care, with a real daemon: killed on the way, done again from there, and emptied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import small

# As many deaths as photos take turns; every test run has two.
FULL = os.environ.get("CUTOUTD_FULL_ATTACKS") == "1"


@pytest.fixture
def trashing(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path, config='[inbox.after]\naction = "trash"', tables="[engine]\nworkers = 1")
    yield one
    one.kill()


def _trashed(one: Daemon) -> list[str]:
    return sorted(path.name for path in (one.root / "home/data/Trash/files").glob("*"))


def test_an_original_in_the_trash_is_done_again_until_it_is_gone(trashing: Daemon) -> None:
    """Workers are confined to the inboxes, so that a photo in the trash was once refused as unreadable."""
    one = trashing.start()
    (one.inbox / "a.jpg").write_bytes(small())
    (one.inbox / "b.jpg").write_bytes(small("chelsea"))
    one.wait(lambda: _trashed(one) == ["a.jpg", "b.jpg"], "both originals in the trash", 60)
    one.wait(lambda: one.outputs() == ["a.png", "b.png"], "both cutouts")
    answer = one.cli("redo", str(one.inbox / "a.jpg"), "--format", "webp")
    assert answer.returncode == 0, answer.stderr
    one.wait(lambda: "a.webp" in one.outputs() and one.settled(), "the cutout in another format", 60)
    assert {row["state"] for row in one.rows()} == {"done"}
    assert _trashed(one) == ["a.jpg", "b.jpg"]

    shutil.rmtree(one.root / "home/data/Trash")
    before = one.outputs()
    assert one.cli("redo", "--all").returncode == 0
    one.wait(lambda: {row["reason"] for row in one.rows()} == {"vanished"}, "the named answers", 60)
    assert one.outputs() == before
    one.stop()


def test_kills_on_the_way_to_the_trash_lose_no_original(trashing: Daemon) -> None:
    one, photos = (
        trashing,
        {f"{number}.jpg": small() + b"%d" % number for number in range(12 if FULL else 6)},
    )
    one.start(ready=False)
    for name, data in photos.items():
        (one.inbox / name).write_bytes(data)
    for count in range(1, len(photos), 2 if FULL else 3):
        one.wait(lambda count=count: len(one.outputs()) >= count, "another cutout", 60)
        one.kill()
        one.start(ready=False)
    one.wait(lambda: len(_trashed(one)) == len(photos) and one.settled(), "all originals in the trash", 120)
    one.stop()
    files = {path.name: path.read_bytes() for path in (one.root / "home/data/Trash/files").iterdir()}
    assert files == photos
    assert one.outputs() == sorted(name.replace("jpg", "png") for name in photos)
    assert one.leftovers() == []
