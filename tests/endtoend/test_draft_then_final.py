"""A draft, then the real large network's final: a burst, a kill in the middle, every final all the same."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.photos import frames
from tests.support.daemon_process import Daemon

Make = Callable[..., Daemon]

FRAMES = 5
LARGE = "isnet-imgly"


@pytest.fixture
def burst(tmp_path: Path) -> list[Path]:
    """Photos with a camera's file structure; small ones, for the network sees 1,024 pixels of any."""
    return frames(tmp_path / "camera", 2, FRAMES)


def _start(one: Daemon) -> None:
    one.start(ready=False)
    one.wait(lambda: one.said("ready"), "the large network to be loaded", 240)


def _finals(one: Daemon) -> int:
    return len(one.rows("state = 'done'"))


def _deliverables(one: Daemon) -> Counter[tuple[int, str, str]]:
    with sqlite3.connect(f"file:{one.state / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10) as db:
        rows = db.execute("SELECT photo, stage, state FROM deliverables").fetchall()
    db.close()
    return Counter((photo, stage, state) for photo, stage, state in rows)


@pytest.mark.slow
@pytest.mark.timeout(900)  # pulling 113 MB and 20 s of processor time, on a machine that may have other work
def test_a_burst_gets_drafts_at_once_and_every_final_through_a_kill(
    daemon: Make, burst: list[Path], real_model: Callable[[str], Path]
) -> None:
    one = daemon(
        config='quality = "best"\ndraft_then_final = true',
        environment={"CUTOUTD_MODELS_DIR": str(real_model(LARGE))},
    )
    _start(one)
    names = [f"frame{number}.png" for number in range(FRAMES)]
    for number, photo in enumerate(burst):
        (one.inbox / f"frame{number}.jpg").write_bytes(photo.read_bytes())
    one.wait(lambda: one.outputs() == names, "every draft", 120)
    # Drafts come first: the large network can hardly have begun.
    assert _finals(one) < FRAMES
    drafts = {name: (one.outbox / name).read_bytes() for name in names}
    one.wait(lambda: _finals(one) >= 1, "the first final", 200)
    assert one.outputs() == names
    one.kill()
    assert _finals(one) < FRAMES, "the kill came too late to show anything"
    _start(one)
    one.wait(lambda: _finals(one) == FRAMES, "the other finals", 300)
    assert one.outputs() == names  # exactly one cutout each
    rows = one.rows("live = 1")
    assert [row["model"] for row in rows] == [LARGE] * FRAMES
    assert _deliverables(one) == Counter(
        {
            (row["id"], stage, state): 1
            for row in rows
            for stage, state in (("draft", "replaced"), ("final", "done"))
        }
    )
    assert all((one.outbox / name).read_bytes() != drafts[name] for name in names)
    assert one.stop() == 0
    assert one.leftovers() == []
