"""The names that finished cutouts ask for, and those that they get."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.digests import cutout_digest_of

from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery.naming import NameSearch, Route, Wish, manifest_line, wishes
from cutoutd.daemon.delivery.places import address, find
from cutoutd.daemon.delivery.publish import How
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.outbox_names import Taken
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.retry_rules import retry_rules
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.workers.protocol import Finished, FinishedFile
from cutoutd.models.networks.doubt import Doubt

NOON_NS = 1_700_000_000 * 10**9
CUTOUT = b"a cutout"


@pytest.fixture
def row(ledger: Ledger) -> PhotoRow:
    _, photo = Intake(ledger).observe(b"/in", b"day/a:1.jpg", Facts(1, NOON_NS, 3), settled=Settled.KNOWN)
    found = Intake(ledger).get(photo or 0)
    assert found is not None
    return found


@pytest.fixture
def route(tmp_path: Path) -> Route:
    (tmp_path / "out").mkdir()
    settings = Inbox(path=tmp_path / "in", outbox=tmp_path / "out")
    io = IoThread("never asked", lambda _done: None)
    io.stop()
    return Route(settings, io, 0o644, keep_names=True, final_stage=False)


def _finished() -> Finished:
    return Finished("d" * 32, 1, NOON_NS, 3, 40, 30, 0.5, (), {})


def _draft(sha256: str = "") -> FinishedFile:
    return FinishedFile(
        "cutout", b"/out/.t.part", cutout_digest_of(CUTOUT), len(CUTOUT), 40, 30, ".png", sha256
    )


def _earlier(route: Route, name: bytes | None, key: str) -> Delivery:
    return Delivery("cutout", route.outbox, name or b"", key, cutout_digest_of(CUTOUT), len(CUTOUT), b"")


def test_wishes_follow_the_deliverables_and_plain_ones_hold_no_odd_characters(row: PhotoRow) -> None:
    deliverables = (Deliverable(), Deliverable(label="web", folder="{deliverable}", name="{stem}-{counter}"))
    own, web = wishes(row, _finished(), deliverables, counter=7, plain=False)
    assert (own.folder, own.stem) == (b"day", "a:1")
    assert (b"web" in web.folder, web.stem.startswith("a:1-"), web.stem.endswith("7")) == (True, True, True)
    plain = wishes(row, _finished(), deliverables, counter=7, plain=True)
    assert not any(":" in one.stem for one in plain)


def test_a_doubtful_one_wishes_for_the_folder_for_such(row: PhotoRow) -> None:
    def wished(finished: Finished, review: str) -> Wish:
        return wishes(row, finished, (Deliverable(),), counter=0, plain=False, review=review)[0]

    doubtful = replace(_finished(), confidence=0.6, doubts=(Doubt.FRAME,))
    assert wished(_finished(), "look/here") == Wish(b"day", "a:1", b"look/here/day")
    assert wished(doubtful, "look/here") == Wish(b"look/here/day", "a:1", b"day")
    assert wished(doubtful, "") == Wish(b"day", "a:1")


def test_an_earlier_cutout_on_the_other_side_is_to_go_and_gives_no_name(route: Route) -> None:
    (Path(route.settings.outbox) / "review").mkdir()
    (Path(route.settings.outbox) / "review" / "a.png").write_bytes(CUTOUT)
    known = frozenset({name_key(b"review/a.png")})
    nameless = Taken(frozenset(), frozenset(), lambda name: f"digest of {name}")
    for taken, name, key in (
        (Taken(known, frozenset(), str), b"review/a.png", name_key(b"review/a.png")),
        (nameless, None, f"digest of {name_key(b'review/a.png')}"),
    ):
        earlier = _earlier(route, name, key)
        moved = address(route, _draft(), Wish(b"", "a", b"review/"), taken, earlier)
        assert (moved.place.name, moved.place.how, moved.replaces) == (b"a.png", How.NEW, "")
        assert moved.leaves is not None
        assert moved.leaves.name == b"review/a.png"
        stays = address(route, _draft(), Wish(b"review/", "a", b""), taken, earlier)
        assert (stays.place.name, stays.place.how, stays.leaves) == (b"review/a.png", How.REPLACE, None)


def test_the_first_free_name_and_never_one_that_is_promised(route: Route) -> None:
    taken = Taken(frozenset({name_key(b"a.png")}), frozenset(), str)
    found = address(route, _draft(), Wish(b"", "a"), taken, None)
    assert (found.place.name, found.place.how, found.replaces) == (b"a (2).png", How.NEW, "")


def test_its_own_earlier_cutout_is_replaced_even_if_only_the_names_digest_was_kept(route: Route) -> None:
    own = Path(route.settings.outbox) / "a.png"
    own.write_bytes(CUTOUT)
    taken = Taken(frozenset(), frozenset(), lambda name: f"digest of {name}")
    for name, key in ((b"a.png", name_key(b"a.png")), (None, f"digest of {name_key(b'a.png')}")):
        found = address(route, _draft(), Wish(b"", "a"), taken, _earlier(route, name, key))
        assert (found.place.name, found.place.how) == (b"a.png", How.REPLACE)
        assert found.replaces == cutout_digest_of(CUTOUT)
    own.write_bytes(b"edited by the user")
    other = address(route, _draft(), Wish(b"", "a"), taken, _earlier(route, b"a.png", name_key(b"a.png")))
    assert other.place.name == b"a (2).png"


def test_a_line_of_the_manifest_only_where_one_was_asked_for(row: PhotoRow) -> None:
    assert manifest_line(row, _finished(), _draft(), b"a.png", at=0.0) == b""
    told = json.loads(manifest_line(row, _finished(), _draft("ab" * 32), b"a.png", at=0.0))
    assert (told["output"], told["sha256"], told["width"], told["height"]) == ("a.png", "ab" * 32, 40, 30)
    assert (told["confidence"], told["needs_review"]) == (None, [])
    doubtful = replace(_finished(), confidence=0.61234, doubts=(Doubt.FRAME,))
    told = json.loads(manifest_line(row, doubtful, _draft("ab" * 32), b"a.png", at=0.0))
    assert (told["confidence"], told["needs_review"]) == (0.612, ["touches the frame"])


# --- what the ledger says of names


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


def all_finished(route: Route, deliverables: tuple[Deliverable, ...]) -> Finished:
    files = tuple(
        FinishedFile(
            one.label, route.outbox + b"/.t.%d.part" % n, cutout_digest_of(CUTOUT), len(CUTOUT), 4, 3, ".png"
        )
        for n, one in enumerate(deliverables)
    )
    return Finished("d" * 64, 9, 2, 3, 4, 3, 0.5, files, {})


def deliverables(*names: str) -> tuple[Deliverable, ...]:
    return tuple(Deliverable.model_validate({"label": f"l{n}", "name": name}) for n, name in enumerate(names))


def stems(search: NameSearch, row: PhotoRow, route: Route, *names: str) -> list[str]:
    owed = deliverables(*names)
    wanted = search.wanted(row, all_finished(route, owed), owed, route, plain=False)
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
    owed = deliverables("{stem}", "{stem}")
    made = all_finished(route, owed)
    wanted = search.wanted(row, made, owed, route, plain=False)
    places = [one.place.key for one in find(wanted, made, route)]
    assert len(set(places)) == 2


def test_what_is_committed_names_each_cutout_its_place_and_its_bytes(
    ledger: Ledger, route: Route, search: NameSearch
) -> None:
    row = photo(ledger, route, b"day/a.jpg")
    owed = deliverables("{stem}")
    made = all_finished(route, owed)
    wanted = search.wanted(row, made, owed, route, plain=False)
    (one,) = search.to_commit(row, route, made, find(wanted, made, route), earlier=wanted.earlier, failed="")
    assert (one.label, one.outbox, one.name) == ("l0", route.outbox, b"day/a.png")
    assert (one.out_digest, one.temporary) == (cutout_digest_of(CUTOUT), made.files[0].temporary)
    assert one.stage is Stage.FINAL
