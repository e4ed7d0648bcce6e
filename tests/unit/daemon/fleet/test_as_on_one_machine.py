"""What users ask of a daemon means the same when nodes do the work: the head has no workers of its own here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import add_large_stand_in
from tests.support.pretended_fleet import FleetSimulation
from tests.support.simulation import cutout_of, simulated

from cutoutd.config.errors import EngineError, Reason
from cutoutd.daemon.fleet.records import Broke, Returned
from cutoutd.daemon.ledger.control import Control, Verb
from cutoutd.daemon.ledger.database import Ledger

pytestmark = pytest.mark.slow

Make = Callable[..., FleetSimulation]
FLEET = {"scheduler": "tls://h:1", "certificates": "/c", "local": False}


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Make]:
    """Makes a head whose inbox has these options, with a node of two slots."""
    made: list[FleetSimulation] = []

    def make(tables: dict[str, Any] | None = None, **inbox: Any) -> FleetSimulation:
        one = FleetSimulation(tmp_path, inbox_table=inbox, tables={"fleet": FLEET, **(tables or {})})
        made.append(one)
        if inbox.get("model") == "large":
            add_large_stand_in(one.root / "models")
        one.boot()
        one.until(lambda: one.link.offers)
        one.link.join("anna")
        return one

    with simulated(monkeypatch):
        yield make
        for one in made:
            one.die()


def command(one: FleetSimulation, verb: Verb) -> None:
    """What the command line does: another connection leaves an order."""
    other = Ledger(one.root / "state" / "ledger.sqlite", check=False)
    Control(other).command(verb)
    other.close()
    one.pass_time(5)


def test_pause_holds_photos_and_resume_lets_them_go(head: Make) -> None:
    one = head()
    command(one, Verb.PAUSE)
    one.run(4)
    one.put("a.jpg", b"photo")
    one.run(40)
    assert one.link.given == []
    command(one, Verb.RESUME)
    one.peace = True
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_no_subject_fails_by_name_and_retry_starts_afresh(head: Make) -> None:
    one = head()
    one.put("a.jpg", b"photo")
    one.until(lambda: one.link.given)
    one.link.answer(0, Returned({"is": "Refused", "reason": "no-subject", "detail": "nothing stands out"}))
    one.finish()
    assert one.heard.failures == [Reason.NO_SUBJECT]
    command(one, Verb.RETRY)
    one.peace = True
    one.until(lambda: one.states() == {"a.jpg": "done"})
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_a_draft_comes_first_and_its_final_replaces_it(head: Make) -> None:
    one = head(model="large", draft_then_final=True)
    one.put("a.jpg", b"photo")
    one.until(lambda: one.link.given)
    (draft,) = (order.job.model for _, order in one.link.given)
    one.link.answer()
    one.until(lambda: one.link.given)
    assert one.outputs() == {"a.png": cutout_of(b"photo")}  # while the final is in hand
    (final,) = (order.job.model for _, order in one.link.given)
    assert (draft == "large", final) == (False, "large")
    one.peace = True
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}
    assert one.states() == {"a.jpg": "done"}


def test_several_deliverables_come_together(head: Make) -> None:
    one = head(deliver=[{"label": "master"}, {"label": "small", "format": "webp", "folder": "web"}])
    one.peace = True
    one.put("a.jpg", b"photo")
    one.finish()
    assert one.outputs() == {
        "a.png": cutout_of(b"photo", label="master"),
        "web/a.webp": cutout_of(b"photo", label="small"),
    }


def test_an_original_is_archived_once_its_cutout_is_safe(head: Make, tmp_path: Path) -> None:
    one = head(after={"action": "archive", "archive": tmp_path / "archive"})
    one.put("a.jpg", b"photo")
    one.until(lambda: one.link.given)
    assert (one.inbox / "a.jpg").exists()
    one.peace = True
    one.finish()
    one.until(lambda: not (one.inbox / "a.jpg").exists())
    assert (tmp_path / "archive" / "a.jpg").read_bytes() == b"photo"


def test_the_newest_is_next_whichever_node_is_free(head: Make) -> None:
    one = head(order="newest")
    command(one, Verb.PAUSE)
    one.run(4)
    for number in range(6):
        one.put(f"{number}.jpg", b"photo %d" % number)
        one.run(20)
    command(one, Verb.RESUME)
    one.link.join("bert", slots=1, large=1)
    one.until(lambda: len(one.link.given) == 3)
    assert {Path(order.job.path.decode()).name for _, order in one.link.given} == {"5.jpg", "4.jpg", "3.jpg"}
    one.link.answer(2)
    one.until(lambda: len(one.link.given) == 3)
    assert Path(one.link.given[-1][1].job.path.decode()).name == "2.jpg"


def test_a_photo_that_takes_too_long_there_twice_is_too_slow(head: Make) -> None:
    one = head({"limits": {"time_per_photo": 7}})
    one.put("a.jpg", b"photo")
    for _ in range(2):
        one.until(lambda: one.link.given)
        assert one.link.given[0][1].limit_s == 7
        one.link.answer(0, Broke("timeout", "7 s"))
    one.finish()
    assert one.heard.failures == [Reason.TOO_SLOW]


def test_what_is_said_of_a_photo_is_as_short_for_a_large_one(head: Make) -> None:
    one = head()
    one.put("a.jpg", b"photo" * 1_000_000)
    one.until(lambda: one.link.given)
    assert len(one.link.given[0][0].job) < 10_000
    one.peace = True
    one.finish()
    assert len(one.outputs()["a.png"]) > 5_000_000


def test_a_daemon_whose_relay_cannot_come_back_ends_to_be_started_again(head: Make) -> None:
    one = head()
    one.put("a.jpg", b"photo")
    one.until(lambda: one.link.given)
    one.link.ended = "The relay's keeper ended"
    one.link.relay_dies()
    with pytest.raises(EngineError, match="keeper ended") as told:
        one.run(2)
    assert "service managers start it again" in str(told.value)
    one.link.ended = ""
    one.die()
    one.boot()
    one.link.join("anna")
    one.peace = True
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}
