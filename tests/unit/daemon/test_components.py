"""The parts of one life: made or not made as a whole, and all of them ended."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.simulation import ALL_IO, Heard, Simulation, cutout_of
from tests.unit.daemon.conftest import full_disk

from cutoutd.config.errors import LedgerError
from cutoutd.daemon import components as components_module
from cutoutd.daemon.components import Components, Places
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.plan import Plan
from cutoutd.daemon.workers import protocol


def test_machinery_that_cannot_be_made_leaves_no_ledger_open(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Ledger] = []
    real = components_module.open_ledger

    def remember(path: Path) -> tuple[Ledger, Path | None]:
        opened.append(real(path)[0])
        return opened[-1], None

    def unreadable(*_arguments: object) -> str:
        raise full_disk()

    monkeypatch.setattr(components_module, "open_ledger", remember)
    monkeypatch.setattr(components_module, "instance_id", unreadable)
    with pytest.raises(LedgerError, match="cannot be read"):
        Components(plan, Places(tmp_path / "state"), Heard(), lambda _message: None)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].read("SELECT 1")


def test_a_ledger_disk_that_is_full_at_the_end_ends_everything_else(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot()
    for _ in range(200):
        if one.workers.jobs:
            break
        one.turn()
    parts = one.parts

    def full(_ledger: Ledger) -> None:
        raise full_disk()

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", full)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            parts.close()
    parts.abandon()  # as the supervisor does; a second end is harmless
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        parts.ledger.read("SELECT 1")
    one.supervisor = None
    one.boot()
    one.finish()
    assert one.states() == {"a.jpg": "done"}


def _two_inboxes(one: Simulation, first: Path, second: Path) -> None:
    """Two inboxes, the test's own and `other`, with these outboxes."""
    table = {"events": "poll", "poll_every": 1, "settle_polled": 2}
    one.tables["inbox"] = [
        {"path": one.inbox, "outbox": first, **table},
        {"path": one.root / "other", "outbox": second, **table},
    ]


def test_an_outbox_that_is_away_is_given_up_for_one_that_is_open_already(
    sim: Callable[..., Simulation],
) -> None:
    """Nobody opened that one again: all photos of the inbox waited until the next start."""
    one = sim()
    away = one.root / "away"
    _two_inboxes(one, away, one.outbox)
    one.boot().run(20)
    one.put("a.jpg", b"frame one")
    one.until(lambda: one.states().get("a.jpg") == "delivering")
    away.rename(one.root / "gone")
    one.put("b.jpg", b"frame two!")
    one.run(60)
    assert one.parts.dispatcher.paused
    _two_inboxes(one, one.outbox, one.outbox)
    one.reload()
    one.finish(600)
    assert one.outputs() == {"a.png": cutout_of(b"frame one"), "b.png": cutout_of(b"frame two!")}


def test_an_inbox_that_comes_back_goes_on_where_it_was(sim: Callable[..., Simulation]) -> None:
    """What was being delivered when it left stayed so, where another inbox kept the outbox open."""
    one = sim()
    _two_inboxes(one, one.outbox, one.outbox)
    one.boot()
    one.put("a.jpg", b"frame one")
    one.until(lambda: one.states().get("a.jpg") == "delivering")
    one.die()
    both = one.tables["inbox"]
    one.tables["inbox"] = both[1:]
    one.boot().run(40)
    one.tables["inbox"] = both
    one.reload()
    one.finish(600)
    assert one.outputs() == {"a.png": cutout_of(b"frame one")}


def test_a_photo_in_hand_when_its_outbox_changes_leaves_nothing_in_the_earlier_one(
    sim: Callable[..., Simulation],
) -> None:
    """What its worker had made there stayed until the next start, where another inbox keeps that outbox open."""
    one = sim()
    later = one.root / "later"
    _two_inboxes(one, one.outbox, one.outbox)
    one.boot().run(20)
    one.put("a.jpg", b"frame one")
    one.until_in_a_worker()
    _two_inboxes(one, later, one.outbox)
    one.reload()
    one.finish()
    assert (later / "a.png").read_bytes() == cutout_of(b"frame one")
    assert list(one.outbox.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("stays", [False, True])
def test_what_one_outbox_refused_is_not_asked_of_another(sim: Callable[..., Simulation], stays: bool) -> None:
    """The next one took files, and so the photo was said to be at fault for what the earlier one had refused."""
    one = sim()
    later = one.root / "later"
    _two_inboxes(one, one.outbox, one.root / "others")
    one.boot().run(20)
    one.put("a.jpg", b"frame one")
    one.until_in_a_worker()
    refused = protocol.OutboxRefused(bytes(one.outbox), errno.EACCES, "Permission denied")
    one.workers.refuse = refused
    one.workers.step()
    for io in ALL_IO:
        io.hangs = True  # the earlier outbox's answer does not come any more
    one.daemon.turn(one.now)
    one.workers.refuse = None
    both = one.tables["inbox"]
    one.tables["inbox"] = both[1:]
    if not stays:
        one.reload()
    _two_inboxes(one, later, one.root / "others")
    one.reload()
    for io in ALL_IO:
        io.hangs = False
    one.finish(300)
    assert (later / "a.png").read_bytes() == cutout_of(b"frame one")
    events = one.parts.ledger.read("SELECT kind FROM events")
    assert [row["kind"] for row in events] == ["started", "started", "done"]
