"""Orders carried out by the daemon, and the clean-up it does of itself."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation, cutout_of

from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.ledger.control import ABOUT_ALL, CommandAnswer, CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import Overrides

Make = Callable[..., Simulation]


def _from_outside(sim: Simulation, verb: Verb, arguments: CommandArguments = ABOUT_ALL) -> int:
    """What the command line does: another connection leaves an order, once the turn has come to its end."""
    sim.parts.ledger.commit()
    other = Ledger(sim.root / "state" / "ledger.sqlite", check=False)
    number = Control(other).command(verb, arguments)
    other.close()
    return number


def test_pause_holds_photos_and_resume_lets_them_go(sim: Make) -> None:
    one = sim().boot()
    _from_outside(one, Verb.PAUSE)
    one.pass_time(5)
    one.turn()
    assert one.parts.commands.paused
    one.put("a.jpg", b"photo")
    one.run(60)
    assert one.outputs() == {}
    assert one.states() == {"a.jpg": "pending"}
    _from_outside(one, Verb.RESUME)
    one.pass_time(5)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_a_pause_outlives_a_restart(sim: Make) -> None:
    one = sim().boot()
    _from_outside(one, Verb.PAUSE)
    one.parts.commands.carry_out()
    one.stop()
    assert one.boot().parts.commands.paused


def test_each_order_is_answered_once(sim: Make) -> None:
    one = sim().boot()
    number = _from_outside(one, Verb.RESCAN)
    one.parts.commands.carry_out()
    assert one.parts.control.answered(number) == CommandAnswer()
    assert one.parts.control.waiting() == []


def test_redo_of_one_photo_works_without_a_daemon_too(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.put("b.jpg", b"two")
    one.boot().finish()
    (photo,) = (row["id"] for row in one.rows() if row["path"] == b"a.jpg")
    arguments = CommandArguments(photos=frozenset({photo}))
    assert carry_out(one.parts.ledger, Verb.REDO, arguments, lambda: None) == CommandAnswer(1)
    one.workers.variant = b"better"
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"one", b"better"), "b.png": cutout_of(b"two")}


def test_photos_of_inboxes_that_are_not_watched_are_left_out_and_counted(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.put("b.jpg", b"two")
    one.boot().finish()
    one.parts.ledger.write("UPDATE photos SET inbox = x'2f6f6c64' WHERE path = ?", (b"b.jpg",))
    redone = _from_outside(one, Verb.REDO, CommandArguments(since=0.0))
    one.parts.commands.carry_out()
    assert one.parts.control.answered(redone) == CommandAnswer(1, left_out=1)
    assert one.states() == {"a.jpg": "pending", "b.jpg": "done"}
    one.parts.ledger.write("UPDATE photos SET state = 'failed'")
    answer = carry_out(one.parts.ledger, Verb.RETRY, ABOUT_ALL, one.settings, {os.fsencode(one.inbox)})
    assert answer == CommandAnswer(1, left_out=1)


def test_trimming_runs_by_itself_and_makes_no_photo_new(sim: Make) -> None:
    one = sim()
    one.tables = {"history": {"keep": "1h"}}
    one.put("a.jpg", b"one")
    one.boot().finish()
    (one.outbox / "a.png").unlink()
    one.pass_time(7200)
    one.finish()
    assert one.rows() == []
    one.pass_time(400 * 86400)
    one.finish()
    assert one.outputs() == {}, "its cutout was deleted by the user, and it is no new photo"


def test_a_redo_that_the_inbox_contradicts_is_refused_whole(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"one")
    one.boot().finish()
    jpeg = CommandArguments(overrides=Overrides(output={"format": "jpeg"}))
    number = _from_outside(one, Verb.REDO, jpeg)
    one.parts.commands.carry_out()
    answer = one.parts.control.answered(number)
    assert answer is not None
    assert "JPEG has no transparency" in answer.refused
    assert answer.fix
    assert one.states() == {"a.jpg": "done"}


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("retry", '{"photos": ["odd"]}'), ("redo", '{"paths": ["a.jpg"]}'), ("pause", "{"), ("dance", "{}")],
)
def test_an_order_that_nobody_understands_is_answered_and_not_tried_again(
    sim: Make, verb: str, arguments: str
) -> None:
    one = sim().boot()
    one.put("a.jpg", b"one")
    one.finish()
    written = one.parts.ledger.write(
        "INSERT INTO commands (verb, arguments, created) VALUES (?, ?, 0)", (verb, arguments)
    )
    number = int(written.lastrowid or 0)
    after = _from_outside(one, Verb.PAUSE)
    one.parts.commands.carry_out()
    assert "cannot carry it out" in (one.parts.control.answered(number) or CommandAnswer()).refused
    assert one.parts.control.answered(after) == CommandAnswer()
    assert one.parts.control.waiting() == []
    assert one.states() == {"a.jpg": "done"}


def test_a_redo_of_a_photo_whose_line_in_the_list_is_wrong_is_refused_with_that_line(sim: Make) -> None:
    one = sim()
    listed = one.root / "orders.csv"
    one.inbox_table = {"rule": [{"csv": str(listed)}]}
    listed.write_text("stem,name\na,shoe\n")
    one.put("a.jpg", b"one")
    one.boot().finish()
    for content, words in (
        ("stem,preset\na,wep\n", 'orders.csv:2: there is no preset "wep"'),
        ("", "header"),
    ):
        listed.write_text(content)
        answer = carry_out(one.parts.ledger, Verb.REDO, ABOUT_ALL, one.settings)
        assert words in answer.refused
        assert answer.fix.startswith("Fix it")
    assert one.states() == {"a.jpg": "done"}
