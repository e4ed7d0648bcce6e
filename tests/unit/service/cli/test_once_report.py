"""What `cutoutd once` says at its end, and the code it ends with."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cutoutd.config.errors import ExitCode, Reason
from cutoutd.daemon.batch import Ended, Outcome
from cutoutd.daemon.sources import Gathered, Source
from cutoutd.daemon.workers.engines import Loaded
from cutoutd.service.cli.once_report import NAMES, Report, as_dict, summary, timings_table

MODELS = {"cutout-s": Loaded("cpu", ())}


def source(name: bytes = b"a.jpg") -> Source:
    return Source(b"/in", name)


def done(name: bytes = b"a.jpg") -> Outcome:
    return Outcome(
        source(name), Ended.DONE, outputs=(b"/out/" + name,), seconds=2.0, timings={"read": 0.1, "infer": 1.0}
    )


def failed(reason: Reason = Reason.UNREADABLE) -> Outcome:
    return Outcome(source(b"b.jpg"), Ended.FAILED, reason=reason, detail="The file ends early.")


def report(*outcomes: Outcome, photos: int | None = None, **more: object) -> Report:
    count = len(outcomes) if photos is None else photos
    made = Report(Gathered(photos=[source()] * count))
    made.outcomes.extend(outcomes)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def lines(one: Report) -> list[str]:
    return [line.plain for line in summary(one, MODELS)]


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (report(done()), ExitCode.OK),
        (report(), ExitCode.OK),
        (report(done(), failed()), ExitCode.SOME_FAILED),
        (report(done(), failed(Reason.EXISTS)), ExitCode.OK),
        (report(done(), photos=2), ExitCode.SOME_FAILED),
        (report(done(), photos=2, stopped_by=2), 130),
        (report(done(), photos=2, stopped_by=15), 143),
    ],
    ids=["all", "none", "one failed", "one was there", "one was not reached", "Ctrl-C", "SIGTERM"],
)
def test_the_exit_code_says_how_it_went(one: Report, code: int) -> None:
    assert one.exit_code() == code


def test_a_whole_run_is_one_line_with_the_first_result() -> None:
    first, second = lines(report(done(), done(b"c.jpg")))
    assert first.startswith("2 done · cutout-s on cpu · ")
    assert second == "First: /out/a.jpg"


def test_what_failed_and_what_was_there_before_is_counted_apart() -> None:
    first = lines(report(done(), failed(), failed(Reason.EXISTS)))[0]
    assert first.startswith("1 done, 1 done before, 1 without a cutout · ")


def doubtful(name: bytes) -> Outcome:
    return replace(done(name), needs_review=("touches the frame",))


def test_what_is_worth_a_look_is_counted_and_after_many_photos_named() -> None:
    assert lines(report(done(), doubtful(b"c.jpg")))[0].startswith("2 done, 1 of them worth a look · ")
    assert lines(report(doubtful(b"c.jpg")))[0].startswith("1 done, worth a look · ")
    assert lines(report(doubtful(b"a.jpg"), doubtful(b"c.jpg")))[0].startswith(
        "2 done, all of them worth a look · "
    )
    few = lines(report(done(), doubtful(b"c.jpg"), failed()))
    assert [line for line in few if line.startswith(("Worth a look", "Without a cutout"))] == []
    doubts = [doubtful(b"%d.jpg" % number) for number in range(7)]
    many = lines(report(*[done()] * 20, *doubts, failed()))
    assert many[-2:] == [
        "Without a cutout: 1 photo (b.jpg)",
        "Worth a look: 7 photos (0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more)",
    ]


def test_a_run_that_was_cut_short_says_how_to_go_on() -> None:
    first, second, *_ = lines(report(done(), photos=3, stopped_by=2))
    assert first == "Stopped: 1 of 3 done"
    assert "--skip-existing" in second


def test_a_stream_names_no_file() -> None:
    assert not any("First:" in line for line in lines(report(done(), stream=True)))


def test_files_that_nobody_cut_out_are_named_as_far_as_a_line_goes() -> None:
    one = report(done())
    one.gathered.others.extend(b"/in/%d.txt" % number for number in range(NAMES + 2))
    (line,) = (line for line in lines(one) if line.startswith("Left alone, no photo"))
    assert f"{NAMES + 2} files" in line
    assert "0.txt" in line
    assert line.endswith("and 2 more)")


def test_nothing_there_says_what_is_taken_up() -> None:
    assert "JPEG, PNG" in lines(report())[0]


def test_one_object_per_photo() -> None:
    found = as_dict(failed())
    assert (found["state"], found["reason"], found["detail"]) == (
        "failed",
        "unreadable",
        "The file ends early.",
    )
    assert found["confidence"] is None


def test_times_are_medians_of_finished_photos() -> None:
    table = timings_table([done(), done(b"c.jpg"), failed()])
    cells = [list(column.cells) for column in table.columns]
    assert cells == [["read", "infer", "whole photo"], ["100", "1000", "2000"]]
