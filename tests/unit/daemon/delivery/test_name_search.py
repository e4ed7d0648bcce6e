"""Names for a photo's cutouts: numbers that stay a photo's own, and a place for each though two wish for the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery.name_search import NameSearch, find
from cutoutd.daemon.delivery.naming import Route
from cutoutd.daemon.files.digest import digest_of
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.retry_rules import retry_rules
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.workers.protocol import Finished, FinishedFile

CUTOUT = b"a cutout"


@pytest.fixture
def route(tmp_path: Path) -> Route:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    settings = Inbox.model_validate({"path": tmp_path / "in", "outbox": tmp_path / "out"})
    return Route(settings, cast("IoThread", None), 0o644, keep_names=True, final_stage=False)


@pytest.fixture
def search(ledger: Ledger) -> NameSearch:
    rules = retry_rules(attempts_after_death=2, attempts_when_busy=2, settle_s=1.0)
    return NameSearch(ledger, Transitions(ledger, rules))


def photo(ledger: Ledger, route: Route, name: bytes) -> PhotoRow:
    intake = Intake(ledger)
    inbox = os.fsencode(route.settings.path)
    row = intake.get(intake.observe(inbox, name, Facts(1, 2, 3), settled=Settled.KNOWN)[1] or 0)
    assert row is not None
    return row


def finished(route: Route, orders: tuple[Deliverable, ...]) -> Finished:
    files = tuple(
        FinishedFile(
            one.label, route.outbox + b"/.t.%d.part" % n, digest_of(CUTOUT), len(CUTOUT), 4, 3, ".png"
        )
        for n, one in enumerate(orders)
    )
    return Finished("d" * 64, 9, 2, 3, 4, 3, 0.5, files, {})


def orders(*names: str) -> tuple[Deliverable, ...]:
    return tuple(Deliverable.model_validate({"label": f"l{n}", "name": name}) for n, name in enumerate(names))


def stems(search: NameSearch, row: PhotoRow, route: Route, *names: str) -> list[str]:
    owed = orders(*names)
    wanted = search.wanted(row, finished(route, owed), owed, route, plain=False)
    return [one.stem for one in wanted.wished]


def test_a_photo_keeps_its_number_and_the_next_one_gets_the_next(
    ledger: Ledger, route: Route, search: NameSearch
) -> None:
    one, two = photo(ledger, route, b"a.jpg"), photo(ledger, route, b"b.jpg")
    first, second = stems(search, one, route, "{counter}"), stems(search, two, route, "{counter}")
    assert first != second
    assert stems(search, one, route, "{counter}") == first
    assert stems(search, two, route, "{counter}", "{counter}-again")[0] == second[0]


def test_no_number_is_used_up_where_no_name_has_one(ledger: Ledger, route: Route, search: NameSearch) -> None:
    one, two = photo(ledger, route, b"a.jpg"), photo(ledger, route, b"b.jpg")
    assert stems(search, one, route, "{stem}") == ["a"]
    assert stems(search, two, route, "{counter}") == stems(search, two, route, "{counter}")
    assert int(stems(search, two, route, "{counter}")[0]) == 1


def test_two_deliverables_that_wish_for_one_name_get_two_places(
    ledger: Ledger, route: Route, search: NameSearch
) -> None:
    row = photo(ledger, route, b"a.jpg")
    owed = orders("{stem}", "{stem}")
    made = finished(route, owed)
    wanted = search.wanted(row, made, owed, route, plain=False)
    places = [one.place.key for one in find(wanted, made, route)]
    assert len(set(places)) == 2


def test_what_is_committed_names_each_cutout_its_place_and_its_bytes(
    ledger: Ledger, route: Route, search: NameSearch
) -> None:
    row = photo(ledger, route, b"day/a.jpg")
    owed = orders("{stem}")
    made = finished(route, owed)
    wanted = search.wanted(row, made, owed, route, plain=False)
    (one,) = search.to_commit(row, route, made, find(wanted, made, route), earlier=wanted.earlier, failed="")
    assert (one.label, one.outbox, one.name) == ("l0", route.outbox, b"day/a.png")
    assert (one.out_digest, one.temporary) == (digest_of(CUTOUT), made.files[0].temporary)
    assert one.stage is Stage.FINAL
