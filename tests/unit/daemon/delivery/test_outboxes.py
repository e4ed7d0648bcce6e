"""Outboxes as folders: found in trouble, looked at again, swept, and never made twice."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
from collections.abc import Callable

import pytest
from tests.support.simulation import ALL_IO, Simulation, cutout_of

from cutoutd.daemon.delivery.outboxes import PROBE_BYTES, RETRY_FIRST_S, RETRY_LONGEST_S
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import Temporary
from cutoutd.daemon.files.question import ANSWER_S, ASK_EVERY_S

Make = Callable[..., Simulation]


def test_leftovers_of_an_earlier_life_go_and_foreign_ones_stay(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.stop()
    instance = (one.root / "state" / "instance").read_text()
    ours = one.outbox / Temporary(instance, 5, 0, 0).name().decode()
    theirs = one.outbox / Temporary("ffffffff", 5, 0, 0).name().decode()
    for path in (ours, theirs):
        path.write_bytes(b"part")
    one.boot().run(10)
    assert not ours.exists()
    assert theirs.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that its workers have not")
def test_what_root_alone_may_write_is_no_place_for_its_workers(sim: Make) -> None:
    """Each photo failed, as if the outbox took all cutouts but its own."""
    one = sim()
    one.outbox.mkdir()
    os.chown(one.outbox, 4321, 4321)
    one.boot().run(10)
    one.put("a.jpg", b"photo")
    one.run(30)
    assert one.outputs() == {}
    assert one.states() == {"a.jpg": "pending"}
    (why,) = one.parts.outboxes.troubles().values()
    assert "workers give up root's rights" in why
    one.outbox.chmod(0o777)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


@pytest.mark.slow
def test_a_folder_that_is_away_is_looked_for_with_growing_pauses(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    away = one.root / "away"
    one.outbox.rename(away)
    one.put("a.jpg", b"photo")
    looks: list[float] = []
    for _ in range(1200):
        before = one.parts.outboxes.troubles()
        one.turn()
        due = one.parts.outboxes.next_due()
        if before and due != float("inf") and (not looks or due != looks[-1]):
            looks.append(due)
    pauses = [round(b - a) for a, b in itertools.pairwise(looks)]
    assert pauses == sorted(pauses), "no pause is shorter than the one before"
    assert pauses[0] <= 4 * RETRY_FIRST_S
    assert pauses[-1] <= RETRY_LONGEST_S + 1
    assert len([text for text in one.heard.warnings if "wait" in text]) == 1
    away.rename(one.outbox)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_many_photos_in_trouble_make_the_pause_no_longer(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    for _ in range(30):
        one.parts.outboxes.failed(one.outbox, "full")
    assert one.parts.outboxes.next_due() - one.now <= RETRY_FIRST_S


@pytest.mark.parametrize("known", [False, True])
def test_it_is_made_on_the_first_start_only(sim: Make, known: bool) -> None:
    one = sim()
    if known:
        one.boot().run(10)
        one.stop()
    one.inbox.mkdir(parents=True, exist_ok=True)
    one.boot()
    one.outbox.rmdir()
    one.run(10)
    assert one.outbox.exists() is not known


def hang(one: Simulation, *, hangs: bool) -> None:
    """Whatever touches the outbox waits: its I/O threads, also those to come, and workers that write there."""
    one.workers.hang = hangs
    for io in ALL_IO:
        if io.name.endswith(one.outbox.name):
            io.hangs = hangs


def test_an_outbox_that_answers_no_more_gives_its_workers_back_and_blames_no_photo(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.put("a.jpg", b"photo")
    one.until_in_a_worker()
    hang(one, hangs=True)
    for _ in range(round((ASK_EVERY_S + ANSWER_S) * 4) + 40):
        one.turn()
        hang(one, hangs=True)
    assert "does not answer" in one.parts.outboxes.troubles()[one.outbox]
    assert not one.workers.jobs, "the worker was taken away from it"
    assert [(row["state"], row["attempts"]) for row in one.rows()] == [("pending", 0)]
    assert len([text for text in one.heard.warnings if "does not answer" in text]) == 1
    hang(one, hangs=False)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}
    assert not one.parts.outboxes.troubles()


def test_a_photo_that_merely_takes_long_is_left_in_peace(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.put("a.jpg", b"photo")
    one.until_in_a_worker()
    one.workers.hang = True
    one.run(round((ASK_EVERY_S + ANSWER_S) * 4) + 200)
    assert not one.parts.outboxes.troubles()
    assert len(one.workers.jobs) == 1
    one.workers.hang = False
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_an_answer_may_be_as_late_as_the_whole_daemon_was(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.parts.outboxes.ask(one.outbox, one.now)
    one.pass_time(3600.0)  # the machine slept
    one.parts.outboxes.tick(one.now, 3600.0)
    assert not one.parts.outboxes.troubles()
    one.pass_time(ANSWER_S + 1)
    one.parts.outboxes.tick(one.now)
    assert one.parts.outboxes.troubles()


@pytest.mark.slow
def test_a_folder_that_owes_an_answer_is_not_looked_at_before_it_gives_it(sim: Make) -> None:
    one = sim().boot()
    one.run(10)
    one.parts.outboxes.ask(one.outbox, one.now)
    asking = next(io for io in ALL_IO if io.name.startswith("asking"))
    asking.hangs = True  # and the other thread is free: it could open the folder
    one.run(round(ANSWER_S * 4) + 400)
    assert one.parts.outboxes.troubles()
    assert len([text for text in one.heard.warnings if "does not answer" in text]) == 1
    asking.hangs = False
    one.run(400)
    assert not one.parts.outboxes.troubles()


def test_a_disk_that_takes_only_a_part_of_the_probe_is_full(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RealFileSystem.write

    def nearly_full(fs: RealFileSystem, fd: int, data: bytes | memoryview) -> int:
        if len(data) < PROBE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fs, fd, data[:1000])

    monkeypatch.setattr(RealFileSystem, "write", nearly_full)
    one = sim().boot().run(10)
    assert [os.strerror(errno.ENOSPC) in why for why in one.parts.outboxes.troubles().values()] == [True]
    monkeypatch.setattr(RealFileSystem, "write", real)
    one.run(60)
    assert one.parts.outboxes.troubles() == {}


def test_a_limit_on_the_size_of_files_is_no_full_disk(sim: Make) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PROBE_BYTES - 1, hard))
    try:
        assert sim().boot().run(10).parts.outboxes.troubles() == {}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
