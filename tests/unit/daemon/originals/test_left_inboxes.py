"""An inbox leaves the config while an original of it is hidden: to its owner the photo is never gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.simulation import ALL_IO, BROKEN, Simulation, cutout_of

from cutoutd.daemon.originals import giving_back

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE = b"frame one"
# So many turns after its cutout is done an original is on its way, or lies in the archive.
STEPS = range(9)


def _tables(one: Simulation) -> list[dict[str, Any]]:
    """The test's own inbox, which archives, and another that stays."""
    shared = {"outbox": one.outbox, "events": "poll", "poll_every": 1, "settle_polled": 2}
    after = {"action": "archive", "archive": one.archive, "failed": one.failed}
    return [{**shared, "path": one.inbox, "after": after}, {**shared, "path": one.root / "other"}]


def _begun(sim: Make, photo: bytes = ONE) -> Simulation:
    """A photo whose original is to go elsewhere from now on."""
    one = sim()
    one.tables["inbox"] = _tables(one)
    one.put("day/a.jpg", photo)
    one.boot()
    one.until(lambda: any(row["aftercare"] != "none" for row in one.rows()))
    return one


def _originals(one: Simulation) -> list[bytes]:
    """Those that their owner can find."""
    boxes = (one.inbox, one.archive, one.failed)
    return [path.read_bytes() for box in boxes for path in box.rglob("a*.jpg")]


@pytest.mark.parametrize("how", ["reload", "reload before an answer is heard", "restart", "crash"])
@pytest.mark.parametrize("turns", STEPS)
def test_an_original_has_its_name_or_its_place_when_its_inbox_leaves(sim: Make, turns: int, how: str) -> None:
    """It lay under its hidden name until the inbox came back, if ever."""
    one = _begun(sim)
    one.run(turns)
    both = one.tables["inbox"]
    one.tables["inbox"] = both[1:]
    if how.startswith("reload"):
        for io in list(ALL_IO) if how != "reload" else ():
            io.step()
        one.reload()
    else:
        one.die() if how == "crash" else one.stop()
        one.boot()
    one.run(60)
    assert _originals(one) == [ONE]
    assert one.leftovers() == []
    one.tables["inbox"] = both
    one.reload()
    one.finish(600)
    assert (one.archive / "day" / "a.jpg").read_bytes() == ONE, "what was owed is done once it is back"
    assert one.outputs() == {"day/a.png": cutout_of(ONE)}
    assert one.leftovers() == []


@pytest.mark.parametrize("turns", STEPS)
def test_an_inbox_that_is_back_at_once_goes_on(sim: Make, turns: int) -> None:
    one = _begun(sim)
    one.run(turns)
    both = one.tables["inbox"]
    for pause in (0, 1, 2):
        one.tables["inbox"] = both[1:]
        one.reload()
        one.run(pause)
        one.tables["inbox"] = both
        one.reload()
        one.run(pause)
    one.finish(600)
    assert _originals(one) == [ONE]
    assert (one.archive / "day" / "a.jpg").read_bytes() == ONE
    assert one.leftovers() == []
    assert one.outputs() == {"day/a.png": cutout_of(ONE)}


@pytest.mark.parametrize("turns", STEPS)
def test_the_original_of_a_failed_photo_is_there_too(sim: Make, turns: int) -> None:
    one = _begun(sim, BROKEN)
    one.run(turns)
    one.tables["inbox"] = one.tables["inbox"][1:]
    one.reload()
    one.run(60)
    assert _originals(one) == [BROKEN]
    assert [path for path in one.leftovers() if "original" in path] == []


def test_it_is_waited_for_where_the_inbox_is_away_too(sim: Make) -> None:
    one = _begun(sim)
    one.until(lambda: any("original" in path for path in one.leftovers()))
    one.die()
    one.inbox.rename(one.root / "away")
    one.tables["inbox"] = one.tables["inbox"][1:]
    one.boot()
    one.inbox.rmdir()  # the test's own boot made it
    one.run(60)
    (one.root / "away").rename(one.inbox)
    one.pass_time(60)
    one.run(60)
    assert _originals(one) == [ONE]
    assert len([text for text in one.heard.notices if "has left the config" in text]) == 1


def test_a_name_that_was_taken_meanwhile_is_left_to_its_owner(sim: Make) -> None:
    one = _begun(sim)
    one.until(lambda: any("original" in path for path in one.leftovers()))
    one.put("day/a.jpg", b"another")
    one.tables["inbox"] = one.tables["inbox"][1:]
    one.reload()
    one.run(60)
    assert sorted(_originals(one)) == sorted([ONE, b"another"])
    assert (one.inbox / "day" / "a.jpg").read_bytes() == b"another"
    assert one.leftovers() == []


def test_a_mistake_of_ours_with_one_is_tried_again(sim: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _begun(sim)
    one.until(lambda: any("original" in path for path in one.leftovers()))
    real, mistaken = giving_back.bring_back, [True]

    def bring_back(*arguments: Any, **named: Any) -> bool:
        if mistaken:
            raise KeyError("ours")
        return real(*arguments, **named)

    monkeypatch.setattr(giving_back, "bring_back", bring_back)
    one.die()
    one.tables["inbox"] = one.tables["inbox"][1:]
    one.boot()
    one.run(60)
    assert _originals(one) == []
    assert not one.daemon.mistakes.count
    mistaken.clear()
    one.pass_time(700)
    one.run(60)
    assert _originals(one) == [ONE]
