"""Failed photos in the manifest, through the daemon's real parts."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.simulation import Simulation

from cutoutd.config.errors import Reason
from cutoutd.daemon.delivery import failure_lines, manifest
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.workers.protocol import Refused

Make = Callable[..., Simulation]


def lines(one: Simulation) -> list[dict[str, Any]]:
    path = one.outbox / "manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def failing(sim: Make, kind: bool | str = True) -> Simulation:
    one = sim()
    one.inbox_table = {"manifest": kind}
    one.put("a.jpg", b"frame one")
    one.boot()
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing there")
    one.finish()
    return one


def test_a_failure_has_its_line_and_the_cutout_that_follows_supersedes_it(sim: Make) -> None:
    one = failing(sim)
    (failed,) = lines(one)
    assert (failed["state"], failed["source"], failed["reason"]) == ("failed", "a.jpg", "no-subject")
    assert failed["detail"].startswith("nothing there")
    one.workers.refuse = None
    one.parts.control.retry()
    one.finish()
    done = lines(one)[1]
    assert (done["state"], done["output"], done["supersedes"]) == ("done", "a.png", failed["id"])
    one.workers.variant = b"better"
    one.parts.control.redo(overrides=Overrides.of({"output": {"format": "webp"}}))
    one.finish()
    again = lines(one)[2]
    assert (again["output"], again["supersedes"]) == ("a.webp", done["id"])
    assert len(lines(one)) == 3


def test_every_line_supersedes_one_that_stands_there(sim: Make) -> None:
    """A cutout that was made again with the same bytes has no second line: the next one supersedes its first."""
    one = sim()
    one.inbox_table = {"manifest": True}
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    for options in ({}, {"output": {"format": "webp"}}):
        one.parts.control.redo(overrides=Overrides.of(options))
        one.finish()
    first, second = lines(one)
    assert (first["output"], second["output"]) == ("a.png", "a.webp")
    assert second["supersedes"] == first["id"]


def test_a_list_as_csv_has_a_header_and_a_row_for_each(sim: Make) -> None:
    one = failing(sim, "csv")
    one.workers.refuse = None
    one.parts.control.retry()
    one.finish()
    with (one.outbox / "manifest.csv").open(newline="") as file:
        failed, done = csv.DictReader(file)
    assert tuple(failed) == manifest.COLUMNS
    assert (failed["state"], done["state"], done["supersedes"]) == ("failed", "done", failed["id"])
    assert (done["source"], done["output"]) == ("a.jpg", "a.png")
    assert not (one.outbox / "manifest.jsonl").exists()


def test_a_crash_before_the_cursor_moved_doubles_no_line(sim: Make) -> None:
    one = failing(sim)
    one.parts.ledger.set_meta(failure_lines.CURSOR, 0)
    one.parts.ledger.commit()
    one.die()
    one.boot().finish()
    assert len(lines(one)) == 1


def test_a_list_that_begins_now_does_not_speak_of_the_past(sim: Make) -> None:
    one = failing(sim, False)
    assert lines(one) == []
    one.inbox_table = {"manifest": True}
    one.reload()
    one.run(40)
    assert lines(one) == []


@pytest.mark.slow
def test_an_outbox_that_takes_no_lines_is_left_alone_for_a_while_and_then_has_them(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = failing(sim, False)
    one.inbox_table = {"manifest": True}
    one.reload()
    one.run(10)
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing there")
    tried: list[object] = []

    def full(*_arguments: object) -> None:
        tried.append(1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "record", full)
        one.parts.control.retry()
        one.run(60)  # 15 seconds
    assert len(tried) == 1
    one.wall -= 1e8  # a clock that is set back makes that while no longer
    one.run(300)
    assert [line["state"] for line in lines(one)] == ["failed"]
