"""One inbox: opened, lost, unreadable, replaced; its files are found again whatever happened meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.simulation import ALL_IO, Simulation, cutout_of

from cutoutd.daemon.files.question import ANSWER_S, ASK_EVERY_S
from cutoutd.daemon.watching import walker as walker_module
from cutoutd.daemon.watching.inbox import RETRY_FIRST_S, RETRY_LONGEST_S
from cutoutd.daemon.watching.stall import STUCK_S

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def test_photos_dropped_while_nobody_was_there_are_found(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("deep/er/b.jpg", TWO)
    one.boot().finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "deep/er/b.png": cutout_of(TWO)}


def test_an_inbox_that_was_replaced_is_opened_anew_before_it_is_walked(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are confined to the old folder until then: its photos would fail for want of permission."""
    one = sim().boot()
    one.run(12)
    opened: list[str] = []
    real = one.parts.news.inbox_open

    def hear(path: Path, inode: tuple[int, int]) -> None:
        opened.append("open")
        real(path, inode)

    monkeypatch.setattr(one.parts.news, "inbox_open", hear)
    one.inbox.rename(one.root / "aside")  # kept, so that the new folder cannot get its inode
    one.put("a.jpg", ONE)
    for _ in range(200):
        one.turn()
        assert opened or not one.rows(), "walked under its old identity"
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


@pytest.mark.slow
def test_an_inbox_that_cannot_be_read_is_tried_with_growing_pauses(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening works and walking does not: that went round without a pause."""
    one = sim()
    walks: list[float] = []

    def refuse(*_arguments: object, **_named: object) -> None:
        walks.append(one.now)
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(walker_module, "walk", refuse)
        one.boot()
        one.put("a.jpg", ONE)
        one.run(1200)
    pauses = [b - a for a, b in itertools.pairwise(walks)]
    assert pauses[0] >= RETRY_FIRST_S
    assert max(pauses) <= RETRY_LONGEST_S + 1
    assert len(walks) < 12
    one.pass_time(RETRY_LONGEST_S)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_a_failed_photo_that_was_taken_away_is_nobodys_concern(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.workers.kill_next = True
    for _ in range(200):
        one.workers.kill_next = any(tag > 0 for tag, _ in list(one.workers.jobs)[:1])
        one.turn()
    assert one.states() == {"a.jpg": "failed"}
    (one.inbox / "a.jpg").unlink()
    one.run(40)
    assert one.states() == {"a.jpg": "skipped"}
    one.put("a.jpg", ONE)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}


def test_while_an_inbox_is_away_nothing_is_due_but_looking_for_it(sim: Make) -> None:
    """A time in the past would keep a core busy until the folder is back."""
    one = sim()
    one.inbox_table = {"rescan_every": "10s"}
    one.put("a.jpg", ONE)
    one.boot().finish()
    inbox_watcher = one.parts.inbox_watchers[bytes(one.inbox)]
    one.inbox.rename(one.root / "aside")
    inbox_watcher.lost("the folder was moved away")  # as the watcher says it, between two scans
    for _ in range(30):
        one.pass_time(1)
        one.run(6)
        assert inbox_watcher.next_due() >= one.now - 0.25  # a turn takes that long
    (one.root / "aside").rename(one.inbox)
    one.put("b.jpg", TWO)
    one.pass_time(RETRY_LONGEST_S)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}


@pytest.mark.parametrize("moment", ["settling", "in a worker"])
def test_a_photo_that_was_swapped_for_a_link_is_owed_no_more(moment: str, sim: Make) -> None:
    one = sim().boot()
    (one.root / "secret.jpg").write_bytes(TWO)
    one.run(10)
    one.put("a.jpg", ONE)
    if moment == "settling":
        one.run(3)
    else:
        one.until_in_a_worker()
    one.workers.hang = True
    (one.inbox / "a.jpg").unlink()
    (one.inbox / "a.jpg").symlink_to(one.root / "secret.jpg")
    one.run(40)
    one.workers.hang = False
    one.finish()
    assert one.outputs() == {}
    assert [(row["state"], row["reason"]) for row in one.rows() if row["live"]] == [
        ("skipped", "not-a-regular-file")
    ]


def hang(one: Simulation, *, hangs: bool, asking: bool = True) -> None:
    """Whatever touches the inbox waits: its I/O thread, the one that asks, and workers that read there."""
    one.workers.hang = hangs
    for io in ALL_IO:
        if io.name.startswith("inbox ") or (asking and io.name.startswith("asking inbox ")):
            io.hangs = hangs


def run_hanging(one: Simulation, seconds: float, *, asking: bool = True) -> None:
    for _ in range(round(seconds * 4)):
        one.turn()
        hang(one, hangs=True, asking=asking)


def test_an_inbox_that_answers_no_more_is_told_of_and_goes_on_by_itself(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.put("a.jpg", ONE)
    one.until_in_a_worker()
    hang(one, hangs=True)
    run_hanging(one, ASK_EVERY_S + ANSWER_S + 5)
    inbox_watcher = one.parts.inbox_watchers[bytes(one.inbox)]
    assert "does not answer" in inbox_watcher.trouble
    assert not one.workers.jobs, "the worker was taken away from it"
    assert [(row["state"], row["attempts"]) for row in one.rows()] == [("pending", 0)]
    run_hanging(one, 120)
    assert len([text for text in one.heard.warnings if "does not answer" in text]) == 1
    assert one.rows()[0]["attempts"] == 0
    hang(one, hangs=False)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert not inbox_watcher.trouble


def test_one_call_that_does_not_return_is_told_of_though_the_folder_answers(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    inbox_watcher = one.parts.inbox_watchers[bytes(one.inbox)]
    hang(one, hangs=True, asking=False)
    one.workers.hang = False
    for _ in range(round((STUCK_S + 5) * 4)):
        one.turn()
    assert "has not returned" in inbox_watcher.trouble
    assert inbox_watcher.next_due() >= one.now - 0.25, "or a core would be kept busy"
    hang(one, hangs=False)
    one.put("a.jpg", ONE)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert not inbox_watcher.trouble


def test_an_inbox_may_answer_as_late_as_the_whole_daemon_was(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    inbox_watcher = one.parts.inbox_watchers[bytes(one.inbox)]
    inbox_watcher.ask(one.now)
    one.pass_time(3600.0)  # the machine slept
    inbox_watcher.tick(one.now, 3600.0)
    assert not inbox_watcher.trouble
