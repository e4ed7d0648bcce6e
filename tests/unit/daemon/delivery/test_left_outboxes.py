"""An outbox leaves the config while photos are in hand: nothing of ours stays in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import ALL_IO, Simulation, cutout_of

from cutoutd.daemon.files.names import Temporary

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE = b"frame one"


def _tables(one: Simulation, outbox: Path | None) -> list[dict[str, Any]]:
    """The test's own inbox with this outbox, or none of it, beside another that stays."""
    shared = {"events": "poll", "poll_every": 1, "settle_polled": 2}
    other = {**shared, "path": one.root / "other", "outbox": one.root / "others"}
    return [other] if outbox is None else [{**shared, "path": one.inbox, "outbox": outbox}, other]


def _in_hand(sim: Make) -> Simulation:
    """A photo whose cutout a worker has written, and nobody has heard of."""
    one = sim()
    one.tables["inbox"] = _tables(one, one.outbox)
    one.boot().run(20)
    one.put("day/a.jpg", ONE)
    one.until_in_a_worker()
    one.workers.step()
    assert any("part" in path for path in one.leftovers())
    return one


@pytest.mark.parametrize("inbox_stays", [True, False])
@pytest.mark.parametrize("how", ["reload", "reload and stop", "stop", "crash"])
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_what_was_in_hand_goes_when_its_outbox_leaves(
    sim: Make, turns: int, how: str, inbox_stays: bool
) -> None:
    """Whatever its worker had made lay there for ever."""
    one = _in_hand(sim)
    (one.outbox / ".keep").write_bytes(b"theirs")
    one.run(turns)
    later = one.root / "later"
    tables = _tables(one, later if inbox_stays else None)
    if how.startswith("reload"):
        one.tables["inbox"] = tables
        one.reload()
        one.run(60 if how == "reload" else 0)
    if how.endswith("stop"):
        one.stop()
    if how == "crash":
        one.die()
    if one.supervisor is None:
        one.tables["inbox"] = tables
        one.boot()
    one.finish(600)
    states = {row["state"] for row in one.rows()}
    # Where the inbox left as well, a photo whose names are committed is published when it is back.
    assert one.leftovers() == [] or (states == {"delivering"} and not inbox_stays)
    assert (one.outbox / ".keep").read_bytes() == b"theirs"
    one.tables["inbox"] = _tables(one, later if inbox_stays else one.outbox)
    one.reload()
    one.finish(600)
    made = [box / "day" / "a.png" for box in (one.outbox, later)]
    assert [path.read_bytes() for path in made if path.exists()] == [cutout_of(ONE)]
    assert one.leftovers() == []


def test_what_another_cutoutd_has_there_stays(sim: Make) -> None:
    one = _in_hand(sim)
    theirs = one.outbox / Temporary("ffffffff", 5, 0, 0).name().decode()
    theirs.write_bytes(b"part")
    one.die()
    one.tables["inbox"] = _tables(one, None)
    one.boot().run(60)
    assert one.leftovers() == [str(theirs)]


def test_one_that_is_back_before_it_was_tidied_up_keeps_what_is_made_there_now(sim: Make) -> None:
    one = _in_hand(sim)
    one.die()
    one.tables["inbox"] = _tables(one, None)
    one.boot()
    (slow,) = [io for io in ALL_IO if "left" in io.name]
    slow.hangs = True
    one.tables["inbox"] = _tables(one, one.outbox)
    one.reload()
    one.until_in_a_worker()
    one.workers.step()
    slow.hangs = False
    one.finish(600)
    assert one.outputs() == {"day/a.png": cutout_of(ONE)}
    assert len([row for row in one.rows() if row["attempts"]]) == 0


def test_what_was_made_anew_with_the_same_bytes_goes_too(sim: Make) -> None:
    """The earlier cutout counted as what was to be published, and that lay beside it for ever."""
    one = sim()
    one.tables["inbox"] = _tables(one, one.outbox)
    one.put("a.jpg", ONE)
    one.boot().finish()
    one.parts.control.redo()
    one.until(lambda: "delivering" in one.states().values())
    one.tables["inbox"] = _tables(one, one.root / "later")
    one.die()
    one.boot().finish(600)
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.leftovers() == []
