"""Drafts at once, then finals: with a slow stand-in, and in a burst with the real large network and a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.photos import frames
from tests.support.daemon_process import Daemon
from tests.support.models import add_large_stand_in
from tests.support.photos import small

Make = Callable[..., Daemon]

FRAMES = 3
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


def _in_hand(one: Daemon, name: str, model: str) -> bool:
    row = one.row(name)
    return row is not None and (row["state"], row["model"]) == ("running", model)


def _computed_s(pid: int) -> float:
    """Processor time so far; a worker shows it to everybody."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _resting(pids: list[int]) -> Callable[[], bool]:
    """Whether none of them has computed anything for a moment: the daemon is ready before its last worker is."""
    seen: list[float] = []
    since = time.monotonic()

    def rest() -> bool:
        nonlocal since
        now = [_computed_s(pid) for pid in pids]
        if now != seen:
            seen[:], since = now, time.monotonic()
        return time.monotonic() > since + 0.5

    return rest


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(600)  # 10 s of processor time, on a machine that may have other work
def test_a_new_frames_draft_does_not_wait_for_another_frames_final(daemon: Make) -> None:
    one = daemon(
        config='model = "slow"\ndraft_then_final = true\nsettle = "50ms"', tables="[engine]\nthreads = 1"
    )
    # Most of a second for a final, on one thread however many cores there are: long enough to be stopped in.
    add_large_stand_in(one.root / "models", "slow", busy_layers=3, weights=(18.0, 8.0, -14.0))
    _start(one)
    workers = one.workers()
    assert len(workers) == 2
    one.wait(_resting(workers), "both workers to be loaded", 60)
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: _in_hand(one, "a.jpg", "slow"), "the first frame's final to begin", 120)
    assert one.outputs() == ["a.png"]  # its draft
    begun = {pid: _computed_s(pid) for pid in workers}
    computing: list[int] = []

    def found() -> bool:
        computing[:] = [pid for pid in workers if _computed_s(pid) - begun[pid] > 0.1]
        return bool(computing)

    one.wait(found, "a worker to compute it", 60)
    os.kill(computing[0], signal.SIGSTOP)  # from now on this final takes as long as we like
    try:
        (one.inbox / "b.jpg").write_bytes(small("chelsea"))
        one.wait(lambda: "b.png" in one.outputs(), "the second frame's draft", 60)
        assert _in_hand(one, "a.jpg", "slow"), "the draft came only after the other frame's final"
    finally:
        os.kill(computing[0], signal.SIGCONT)
    drafts = {name: (one.outbox / name).read_bytes() for name in ("a.png", "b.png")}
    one.wait(lambda: _finals(one) == 2, "both finals", 240)
    assert one.outputs() == ["a.png", "b.png"]
    assert all((one.outbox / name).read_bytes() != draft for name, draft in drafts.items())
    assert one.status()["workers"] == 2
    assert one.stop() == 0
    assert one.leftovers() == []


@pytest.mark.slow
@pytest.mark.thorough  # the test above with a real network, which takes a core a minute
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
