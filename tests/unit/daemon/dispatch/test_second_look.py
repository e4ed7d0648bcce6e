"""What workers say of a photo's file is believed as long as a look of our own shows it too."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.support.digests import digest_of
from tests.support.simulation import Simulation, cutout_of
from tests.unit.daemon.dispatch.dishonest_workers import always, wait_for_a_failure

from cutoutd.config.errors import Reason
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.originals.aftercare import AfterCare
from cutoutd.daemon.workers import pool, protocol

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


def _ends_by_name(one: Simulation, said: str) -> None:
    wait_for_a_failure(one)
    one.finish()
    assert one.states() == {"evil.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.CRASHED]
    # One row, and not one for each time it was said.
    (row,) = [row for row in one.rows() if row["path"] == b"evil.jpg"]
    assert said in row["detail"]
    assert (one.inbox / "evil.jpg").read_bytes() == ONE
    assert one.outputs()["good.png"] == cutout_of(TWO)
    assert one.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (protocol.Changed(), "it changed while it was read"),
        (protocol.Refused(Reason.VANISHED, "gone"), "it is gone"),
        (protocol.Refused(Reason.NOT_A_REGULAR_FILE, "a pipe"), "it is no file"),
        (protocol.Unchanged("00" * 32, 0), "its content was known"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_is_not_so_ends_the_photo_by_name(sim: Make, lie: protocol.Result, said: str) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    renewed: list[object] = []
    vars(one.workers)["recycle"] = renewed.append
    always(one, "evil.jpg", lambda: lie)
    _ends_by_name(one, said)
    assert renewed  # whoever said it has ended


@pytest.mark.slow
def test_a_cutout_that_is_never_there_ends_the_photo_by_name(sim: Make) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()

    def finished() -> protocol.Result:
        facts = os.stat(one.inbox / "evil.jpg")
        (hand,) = [hand for hand in one.parts.hands.photos.values() if hand.row.path == b"evil.jpg"]
        file = protocol.FinishedFile("cutout", hand.temporaries[0], "11" * 32, 12, 1, 1, ".png")
        facts_read = (digest_of(ONE), facts.st_size, facts.st_mtime_ns, facts.st_ino)
        return protocol.Finished(*facts_read, 1, 1, 0.5, (file,), {})

    always(one, "evil.jpg", finished)
    _ends_by_name(one, "its finished cutout lay in the outbox")


def _lying_about_the_content(one: Simulation, photo: str, digest: str) -> None:
    """Its worker makes an honest cutout and names another content."""
    honest, path = one.workers.work, bytes(one.inbox / photo)

    def work(job: protocol.Job) -> protocol.Result:
        result = honest(job)
        lies = job.path == path and isinstance(result, protocol.Finished)
        return replace(result, digest=digest) if lies and isinstance(result, protocol.Finished) else result

    vars(one.workers)["work"] = work


@pytest.mark.slow
def test_content_that_its_worker_lied_about_is_not_moved_nor_done_again_for_ever(sim: Make) -> None:
    """Hidden, found to hold something else and given back it has a new change time: that makes no new photo."""
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive}}
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    _lying_about_the_content(one, "evil.jpg", "00" * 32)
    _ends_by_failing_in_the_inbox(one)
    assert [path.name for path in one.archive.iterdir()] == ["good.jpg"]


@pytest.mark.slow
def test_such_a_photo_goes_to_the_folder_for_failed_ones(sim: Make) -> None:
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive, "failed": one.failed}}
    one.put("evil.jpg", ONE)
    one.boot()
    _lying_about_the_content(one, "evil.jpg", "00" * 32)
    wait_for_a_failure(one)
    one.finish()
    assert (one.failed / "evil.jpg").read_bytes() == ONE
    assert one.leftovers() == []


def _ends_by_failing_in_the_inbox(one: Simulation) -> None:
    wait_for_a_failure(one)
    one.finish()
    evil = [row for row in one.rows() if row["path"] == b"evil.jpg"]
    assert [(row["state"], row["reason"]) for row in evil] == [("failed", Reason.CRASHED)]
    assert (one.inbox / "evil.jpg").read_bytes() == ONE
    assert one.leftovers() == []


def test_content_that_was_changed_without_a_trace_is_done_again(sim: Make) -> None:
    """As by a writer that holds it mapped: size, times and number are those of what was read."""
    one = sim()
    one.inbox_table = {"after": {"action": "archive", "archive": one.archive}}
    one.put("a.jpg", ONE)
    one.boot()
    honest, read = one.workers.work, list[bytes]()

    def work(job: protocol.Job) -> protocol.Result:
        result = honest(job)
        assert isinstance(result, protocol.Finished)
        read.append(b"")
        return replace(result, digest="00" * 32) if len(read) == 1 else result

    vars(one.workers)["work"] = work
    one.finish()
    assert len(read) == 2
    assert (one.archive / "a.jpg").read_bytes() == ONE
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []


@pytest.mark.slow
def test_no_photo_becomes_another_one_because_its_worker_says_so(sim: Make) -> None:
    """The other's file is gone: as if it had been renamed to this name, so that this one would owe nothing."""
    one = sim()
    one.put("gone.jpg", TWO)
    one.boot().finish()
    (one.inbox / "gone.jpg").unlink()
    _lying_about_the_content(one, "evil.jpg", digest_of(TWO))
    one.put("evil.jpg", b"other ten!")
    wait_for_a_failure(one)
    one.finish()
    rows = {row["path"]: (row["state"], row["reason"]) for row in one.rows()}
    assert rows[b"evil.jpg"] == ("failed", Reason.CRASHED)
    assert one.outputs() == {"gone.png": cutout_of(TWO)}


@pytest.mark.parametrize("end", ["dies", "raises", "refuses"])
def test_what_a_worker_had_begun_goes_when_it_is_not_finished(sim: Make, end: str) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()
    one.until_in_a_worker()
    ((tag, job),) = one.workers.jobs
    one.workers.jobs.clear()
    with open(job.temporaries[0], "wb") as begun:
        begun.write(b"half a cutout")
    answers = {
        "dies": pool.Died(tag, "crashed", "killed by the test"),
        "raises": pool.Failed(tag, ValueError("a mistake")),
        "refuses": pool.Finished(tag, protocol.Refused(Reason.TOO_LARGE, "too large")),
    }
    one.workers.post(answers[end])
    one.run(8)
    assert not os.path.exists(job.temporaries[0])


def test_photos_that_lie_where_they_were_found_are_read_once(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst of frames of equal size, each of which might be another one under a new name."""
    read: list[bytes | None] = []

    async def content_of(_self: AfterCare, row: PhotoRow) -> str:
        read.append(row.path)
        return ""

    one = sim()
    monkeypatch.setattr(AfterCare, "content_of", content_of)
    for number in range(6):
        one.put(f"{number}.jpg", b"frame %d" % number)
    one.boot().finish()
    assert len(one.outputs()) == 6
    assert read == []


@pytest.mark.slow
@pytest.mark.parametrize("again", ["scan", "start"])
def test_a_photo_whose_folder_was_a_link_for_a_moment_is_owed_again(sim: Make, again: str) -> None:
    """Nothing of the file had changed when it was back: it stayed skipped for ever."""
    one = sim()
    one.put("day/a.jpg", ONE)
    folder, aside = one.inbox / "day", one.root / "aside"
    one.boot()
    one.workers.hang = True
    one.until_in_a_worker()
    one.run()  # until it has settled
    folder.rename(aside)
    folder.symlink_to(aside)
    one.workers.refuse = protocol.Refused(Reason.NOT_A_REGULAR_FILE, "It lies behind a link.")
    one.workers.hang = False
    one.turn()
    assert one.states() == {"day/a.jpg": "skipped"}
    folder.unlink()
    aside.rename(folder)
    one.workers.refuse = None
    if again == "start":
        one.die()
        one.boot()
    one.finish()
    assert one.states() == {"day/a.jpg": "done"}
    assert one.outputs() == {"day/a.png": cutout_of(ONE)}
