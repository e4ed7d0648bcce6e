"""The run: one outcome for each photo, names never shared."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.digests import cutout_digest_of
from tests.support.simulation import PretendedWorkers

from cutoutd.config.errors import EngineError, OutboxError, Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon import batch as batch_module
from cutoutd.daemon.batch import Batch
from cutoutd.daemon.batch_settings import BatchSettings
from cutoutd.daemon.delivery import publish
from cutoutd.daemon.files.temporary import TemporaryError, write_temporary
from cutoutd.daemon.sources import gather
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.slot import Cause
from cutoutd.models.decoding import photo as decoding


def test_nothing_is_said_of_being_looked_at_again() -> None:
    from cutoutd.daemon.batch import _NOT_WATCHED  # pyright: ignore[reportPrivateUsage]

    sentence = decoding.AGAIN
    for watching, plain in _NOT_WATCHED:
        sentence = sentence.replace(watching, plain)
    assert "again whenever" not in sentence


# --- the run, with workers that answer at once


class Pretended(PretendedWorkers):
    """As many answers as are scripted; after them honest cutouts."""

    script: list[Any]

    def submit(self, tag: int, function: object, job: protocol.Job, *, limit_s: float) -> None:  # type: ignore[override]
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, str):
            self.post(pool.Died(tag, cast("Cause", answer), "It died."))
        else:
            self.post(pool.Finished(tag, cutout_of(job) if answer is None else answer))

    def free(self) -> bool:  # type: ignore[override]
        return True

    def next_deadline(self) -> None:  # type: ignore[override]
        return None

    def tick(self) -> None: ...  # type: ignore[override]

    def stop(self, *, now: bool) -> None:  # type: ignore[override]
        self.stopped = now


def cutout_of(job: protocol.Job) -> protocol.Finished | protocol.OutboxRefused:
    data = b"cutout of " + Path(os.fsdecode(job.path)).read_bytes()
    try:
        for temporary in job.temporaries:
            write_temporary(job.outboxes[0], temporary, data)
    except TemporaryError as error:
        return protocol.OutboxRefused(error.outbox, error.code, str(error))
    files = tuple(
        protocol.FinishedFile(one.label, temporary, cutout_digest_of(data), len(data), 1, 1, ".png")
        for one, temporary in zip(job.deliverables, job.temporaries, strict=True)
    )
    return protocol.Finished("d", 1, 0, 1, 1, 1, 0.5, files, {"read": 0.1})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[batch_module.Outcome]]:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()

    def go(photos: dict[str, bytes], script: list[Any] | None = None, **changed: Any) -> list[Any]:
        for name, data in photos.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        Pretended.script = list(script or [])
        monkeypatch.setattr(pool, "Workers", Pretended)
        settings = BatchSettings(
            folder=tmp_path / "out",
            model="tiny",
            deliverables=changed.pop("deliverables", (Deliverable(),)),
            matte=Matte(),
            limits=Limits(),
            umask=0o027,
            **changed,
        )
        batch = Batch(settings, None, 1, instance="abc")  # type: ignore[arg-type]
        return list(batch.run(list(gather([tmp_path / "in"]).photos)))

    return go


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_each_photo_gets_one_cutout_in_the_same_tree(run: Callable[..., Any], tmp_path: Path) -> None:
    found = run({"a.jpg": b"A", "day/b.jpg": b"B"})
    assert [one.state for one in found] == ["done", "done"]
    assert listing(tmp_path / "out") == {"a.png": b"cutout of A", "day/b.png": b"cutout of B"}
    assert (tmp_path / "out" / "a.png").stat().st_mode & 0o777 == 0o640
    assert found[0].timings == {"read": 0.1}


def test_two_photos_of_one_name_share_none(run: Callable[..., Any], tmp_path: Path) -> None:
    run({"a.jpg": b"A", "a.png": b"B"})
    assert set(listing(tmp_path / "out")) == {"a.png", "a (2).png"}


def test_a_strangers_file_stays_unless_overwriting_was_asked_for(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "out" / "a.png").write_bytes(b"a stranger's")
    run({"a.jpg": b"A"})
    assert listing(tmp_path / "out") == {"a.png": b"a stranger's", "a (2).png": b"cutout of A"}
    run({}, overwrite=True)
    assert listing(tmp_path / "out")["a.png"] == b"cutout of A"


def _odd(kind: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(os.path.relpath(path))
        case _:
            path.symlink_to("elsewhere")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link"])
def test_what_is_no_file_is_not_overwritten_and_holds_up_none(
    run: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    """One of them ended the whole run, which said that the disk was full."""
    _odd(kind, tmp_path / "out" / "a.png")
    found = run({"a.jpg": b"A", "b.jpg": b"B"}, overwrite=True)
    assert [one.state for one in found] == ["done", "done"]
    assert listing(tmp_path / "out") == {"a (2).png": b"cutout of A", "b.png": b"cutout of B"}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "open"])
def test_the_one_name_that_cannot_be_overwritten_is_said(
    run: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "out" / "x.png"
    if kind == "open":
        with path.open("wb"):
            (found,) = run({"a.jpg": b"A"}, overwrite=True, exact="x.png")
    else:
        _odd(kind, path)
        (found,) = run({"a.jpg": b"A"}, overwrite=True, exact="x.png")
    assert (found.state, found.reason) == ("failed", Reason.NAME_TAKEN)


@pytest.mark.parametrize("kind", ["file", "pipe", "link"])
def test_a_folder_of_the_output_that_is_none_costs_its_own_photos_alone(
    run: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    """It ended the whole run."""
    if kind == "file":
        (tmp_path / "out" / "day").write_bytes(b"a stranger's")
    else:
        _odd(kind, tmp_path / "out" / "day")
    found = {one.source.path: one for one in run({"day/a.jpg": b"A", "z.jpg": b"Z"})}
    assert (found[b"day/a.jpg"].state, found[b"day/a.jpg"].reason) == ("failed", Reason.CANNOT_RENDER)
    assert found[b"z.jpg"].state == "done"
    assert listing(tmp_path / "out")["z.png"] == b"cutout of Z"


def test_a_name_that_a_folder_does_not_find_costs_its_own_photo(run: Callable[..., Any]) -> None:
    """As exFAT answers to one with a colon; the folder itself is there."""
    no_such = protocol.OutboxRefused(b"/out", errno.ENOENT, "No such file or directory")
    found = run({"8:30/a.jpg": b"A", "z.jpg": b"Z"}, [no_such])
    assert sorted(one.state for one in found) == ["done", "failed"]
    assert [one.reason for one in found if one.state == "failed"] == [Reason.CANNOT_RENDER]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_an_output_folder_that_refuses_ends_the_run_though_photos_lie_below(
    run: Callable[..., Any], code: int
) -> None:
    with pytest.raises(OutboxError):
        run({"day/a.jpg": b"A"}, [protocol.OutboxRefused(b"/out", code, "/out refuses")])


def test_a_limit_on_the_size_of_files_costs_large_cutouts_alone(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    found = run(
        {"a.jpg": b"A", "b.jpg": b"B"}, [protocol.OutboxRefused(b"/out", errno.EFBIG, "File too large")]
    )
    assert sorted(one.state for one in found) == ["done", "failed"]
    assert ["ulimit -f" in one.detail for one in found if one.state == "failed"] == [True]


@pytest.mark.parametrize(("code", "first"), [(errno.ENOSPC, "Free space"), (errno.EROFS, "See that you may")])
def test_what_to_do_fits_what_the_folder_says(
    run: Callable[..., Any], tmp_path: Path, code: int, first: str
) -> None:
    with pytest.raises(OutboxError) as caught:
        run({"a.jpg": b"A"}, [protocol.OutboxRefused(b"/out", code, "no")])
    assert caught.value.fix.startswith(first)
    assert str(tmp_path / "out") in str(caught.value)


def test_a_second_run_makes_no_second_file(run: Callable[..., Any], tmp_path: Path) -> None:
    run({"a.jpg": b"A"})
    run({})
    assert listing(tmp_path / "out") == {"a.png": b"cutout of A"}


def test_a_death_costs_an_attempt_and_the_second_one_the_photo(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    assert [one.state for one in run({"a.jpg": b"A"}, ["crashed"])] == ["done"]
    (failed,) = run({}, ["timeout", "timeout"])
    assert (failed.state, failed.reason) == ("failed", Reason.TOO_SLOW)
    assert not [name for name in listing(tmp_path / "out") if "part" in name]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (protocol.Refused(Reason.UNREADABLE, "It is cut off."), Reason.UNREADABLE),
        (protocol.OverBudget(900.0), Reason.CRASHED),  # no batch gives an allowance: it makes no sense
    ],
)
def test_one_failed_photo_does_not_stop_the_rest(
    run: Callable[..., Any], answer: Any, reason: Reason
) -> None:
    found = run({"a.jpg": b"A", "b.jpg": b"B"}, [answer])
    assert sorted(one.state for one in found) == ["done", "failed"]
    assert next(one.reason for one in found if one.state == "failed") == reason


def test_a_photo_that_never_rests_is_busy(run: Callable[..., Any]) -> None:
    (busy,) = run({"a.jpg": b"A"}, [protocol.Changed(), protocol.Changed()])
    assert (busy.state, busy.reason) == ("failed", Reason.BUSY)


def test_a_full_folder_ends_the_run_with_a_sentence(run: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="is full") as caught:
        run({"a.jpg": b"A"}, [protocol.OutboxRefused(b"/out", 28, "/out is full")])
    assert "-o" in caught.value.fix
    assert listing(tmp_path / "out") == {}


def test_workers_that_cannot_start_end_the_run(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: Pretended) -> None:
        self.post(pool.SlotFailed(0, "No memory", 1.0))

    def free(_: Pretended) -> bool:
        return False

    monkeypatch.setattr(Pretended, "start", start)
    monkeypatch.setattr(Pretended, "free", free)
    with pytest.raises(EngineError, match="No worker can start"):
        run({"a.jpg": b"A"})


def test_stopped_while_a_cutout_gets_its_name_it_is_counted_and_nothing_is_left_over(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Batch._publish  # pyright: ignore[reportPrivateUsage]

    def stopped(self: Batch, *arguments: Any) -> list[bytes]:
        found = named(self, *arguments)
        self.stop()  # as a signal that comes in this moment
        return found

    monkeypatch.setattr(Batch, "_publish", stopped)
    found = run({"a.jpg": b"A", "b.jpg": b"B"})
    assert [one.state for one in found] == ["done"]
    assert list(listing(tmp_path / "out")) == [os.fsdecode(os.path.basename(found[0].outputs[0]))]


def _cleaned_up(times: int, which: int) -> Callable[..., protocol.Result]:
    """Cutouts of which another program takes one away, so many times."""
    honest = cutout_of
    seen: list[int] = []

    def made(job: protocol.Job) -> protocol.Finished | protocol.OutboxRefused:
        found = honest(job)
        seen.append(job.photo)
        if len(seen) <= times and isinstance(found, protocol.Finished):
            Path(os.fsdecode(found.files[which].temporary)).unlink()
        return found

    return made


@pytest.mark.parametrize(("times", "state"), [(1, "done"), (2, "failed")])
def test_a_finished_cutout_that_is_taken_away_is_made_again_or_said(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, state: str
) -> None:
    """The run tried to give it its name without an end."""
    monkeypatch.setattr(f"{__name__}.cutout_of", _cleaned_up(times, 0))
    found = run({"a.jpg": b"A"})
    assert [one.state for one in found] == [state]
    assert list(listing(tmp_path / "out")) == (["a.png"] if state == "done" else [])


def test_of_two_cutouts_the_first_keeps_its_name_when_the_second_is_taken_away(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.cutout_of", _cleaned_up(1, 1))
    two = (Deliverable(), Deliverable(label="thumb", name="{stem}-thumb"))
    found = run({"a.jpg": b"A"}, deliverables=two)
    assert [one.state for one in found] == ["done"]
    assert sorted(listing(tmp_path / "out")) == ["a-thumb.png", "a.png"]


def test_a_temporary_that_cannot_be_removed_hides_no_reason(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of what went wrong were those of the tidying."""

    def refuses(_names: object, _fs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(publish, "discard", refuses)
    found = run({"a.jpg": b"A", "b.jpg": b"B"}, [protocol.Refused(Reason.UNREADABLE, "It is cut off.")])
    assert sorted(one.reason for one in found) == ["", Reason.UNREADABLE]
    with pytest.raises(OutboxError):
        run({}, [protocol.OutboxRefused(b"/out", errno.EACCES, "no")])
