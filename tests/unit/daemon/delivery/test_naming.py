"""The names that finished cutouts ask for, and those that they get."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery.naming import Route, Wish, address, manifest_line, wishes
from cutoutd.daemon.delivery.publish import How
from cutoutd.daemon.files.digest import digest_of
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, Facts, PhotoRow, Settled
from cutoutd.daemon.ledger.taken_names import Taken
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
    return FinishedFile("cutout", b"/out/.t.part", digest_of(CUTOUT), len(CUTOUT), 40, 30, ".png", sha256)


def _earlier(route: Route, name: bytes | None, key: str) -> Delivery:
    return Delivery("cutout", route.outbox, name or b"", key, digest_of(CUTOUT), len(CUTOUT), b"")


def test_wishes_follow_the_deliverables_and_plain_ones_hold_no_odd_characters(row: PhotoRow) -> None:
    orders = (Deliverable(), Deliverable(label="web", folder="{deliverable}", name="{stem}-{counter}"))
    own, web = wishes(row, _finished(), orders, counter=7, plain=False)
    assert (own.folder, own.stem) == (b"day", "a:1")
    assert (b"web" in web.folder, web.stem.startswith("a:1-"), web.stem.endswith("7")) == (True, True, True)
    plain = wishes(row, _finished(), orders, counter=7, plain=True)
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
        assert found.replaces == digest_of(CUTOUT)
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
