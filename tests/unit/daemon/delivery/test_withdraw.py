"""Cutouts under a name that is no longer their photo's go, and nothing else does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import simulation
from tests.support.digests import cutout_digest_of
from tests.support.simulation import Simulation, cutout_of

from cutoutd.config.errors import Reason
from cutoutd.daemon.delivery.naming import Route
from cutoutd.daemon.delivery.withdraw import Withdrawer, withdraw
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.workers.protocol import Refused

OURS, THEIRS = b"a cutout", b"retouched by its owner"


class Unable(RealFileSystem):
    """A share that cannot rename without replacing."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(target))


class Meddled(RealFileSystem):
    """Somebody saves a version of the cutout in the moment before it is renamed away."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        if source.endswith(b"a.png"):
            Path(os.fsdecode(source)).write_bytes(THEIRS)
        super().rename_noreplace(source, target)


def _withdraw(folder: Path, fs: RealFileSystem) -> list[str]:
    root = os.fsencode(folder)
    withdraw(root + b"/a.png", root + b"/.hidden", cutout_digest_of(OURS), fs)
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("fs", [RealFileSystem, Unable])
def test_a_cutout_goes_if_it_is_ours(tmp_path: Path, fs: type[RealFileSystem]) -> None:
    (tmp_path / "a.png").write_bytes(OURS)
    assert _withdraw(tmp_path, fs(b"/")) == []
    assert _withdraw(tmp_path, fs(b"/")) == []  # and again, after a crash


@pytest.mark.parametrize("fs", [RealFileSystem, Unable])
def test_what_its_owner_changed_stays(tmp_path: Path, fs: type[RealFileSystem]) -> None:
    (tmp_path / "a.png").write_bytes(THEIRS)
    assert _withdraw(tmp_path, fs(b"/")) == ["a.png"]


def test_what_is_saved_in_the_last_moment_gets_its_name_back(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(OURS)
    assert _withdraw(tmp_path, Meddled(b"/")) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == THEIRS


def test_a_crash_between_the_two_steps_is_finished(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(OURS)
    assert _withdraw(tmp_path, RealFileSystem(b"/")) == []
    (tmp_path / ".hidden").write_bytes(THEIRS)
    assert _withdraw(tmp_path, RealFileSystem(b"/")) == ["a.png"]


def test_a_link_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(OURS)
    (tmp_path / "a.png").symlink_to("elsewhere")
    assert _withdraw(tmp_path, RealFileSystem(b"/")) == ["a.png", "elsewhere"]


def test_an_outbox_that_is_away_is_waited_for(sim: Callable[..., Simulation]) -> None:
    """The photo is done, and then the outbox goes before the old cutout was withdrawn."""
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.until(lambda: one.states().get("b.jpg") == "done")
    away = one.root / "away"
    one.outbox.rename(away)
    one.run(30)
    away.rename(one.outbox)
    one.die()
    one.boot().finish()
    assert one.outputs() == {"b.png": cutout_of(b"frame one")}


@pytest.mark.slow
@pytest.mark.parametrize("keeper", ["outbox", "others"], ids=["another inbox has it", "no inbox has it"])
@pytest.mark.parametrize("how", ["reload", "crash"])
def test_what_was_to_go_when_the_inbox_got_another_outbox_still_goes(
    sim: Callable[..., Simulation], keeper: str, how: str
) -> None:
    """It was given up, and lay beside the renamed photo's new cutout for ever."""
    one = sim()

    def moved(outbox: str, keeper: str = keeper) -> None:
        shared = {"events": "poll", "poll_every": 1, "settle_polled": 2}
        one.tables["inbox"] = [
            {**shared, "path": one.inbox, "outbox": one.root / outbox},
            {**shared, "path": one.root / "other", "outbox": one.root / keeper},
        ]

    moved("outbox")
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.until(lambda: one.states().get("b.jpg") == "done")
    assert sorted(one.outputs()) == ["a.png", "b.png"]
    away = one.root / "away"
    moved("later")
    if how == "crash":  # before the old cutout was taken away
        one.die()
    else:
        one.outbox.rename(away)
        one.reload()
        one.run(30)
        away.rename(one.outbox)
        one.die()
    one.boot().finish()
    assert ("a.png" in one.outputs()) == (keeper != "outbox")
    moved("later", "outbox")
    one.reload()
    one.finish()
    assert one.outputs() == {"b.png": cutout_of(b"frame one")}


def test_what_lies_in_an_earlier_outbox_stays_when_its_photo_is_renamed(
    sim: Callable[..., Simulation],
) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.inbox_table["outbox"] = one.root / "later"
    one.reload()
    one.run(10)
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png"]
    assert (one.root / "later" / "b.png").read_bytes() == cutout_of(b"frame one")
    assert one.parts.ledger.one("SELECT 1 FROM deliverables WHERE state = 'leaving'") is None


@pytest.mark.parametrize(
    ("options", "name"), [({"format": "webp"}, "a.webp"), ({"name": "{stem}-x"}, "a-x.png"), ({}, "a.png")]
)
def test_a_redo_in_another_format_or_under_another_name_leaves_no_earlier_file(
    sim: Callable[..., Simulation], options: dict[str, str], name: str
) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.workers.variant = b"better"
    one.parts.control.redo(overrides=Overrides.of({"output": options}))
    one.finish()
    assert one.outputs() == {name: cutout_of(b"frame one", b"better")}


def test_what_its_owner_changed_stays_beside_what_a_redo_makes(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    (one.outbox / "a.png").write_bytes(THEIRS)
    one.parts.control.redo(overrides=Overrides.of({"output": {"format": "webp"}}))
    one.finish()
    assert one.outputs() == {"a.png": THEIRS, "a.webp": cutout_of(b"frame one")}


def test_only_the_deliverable_that_is_done_again_is_withdrawn(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.inbox_table = {"deliver": [{"label": "master"}, {"label": "web", "folder": "web"}]}
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    overrides = {"deliverable": "web", "output": {"format": "webp"}}
    one.parts.control.redo(overrides=Overrides.of(overrides))
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "web/a.webp"]


def test_a_redo_that_fails_leaves_the_earlier_file(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing there")
    one.parts.control.redo(overrides=Overrides.of({"output": {"format": "webp"}}))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"frame one")}


@pytest.mark.parametrize("meanwhile", ["", "the outbox is opened again", "another inbox goes there"])
def test_what_is_published_after_it_was_asked_for_is_not_taken_away(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The very bytes may come under the name again, as of a photo that was renamed and then copied back."""
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot().finish()
    publisher, cutout = one.parts.publisher, (one.outbox / "a.png").read_bytes()
    real = Withdrawer.withdraw

    def unheard(_value: object, _error: object) -> None: ...

    def both(withdrawer: Withdrawer, inbox: bytes, routes: Mapping[bytes, Route]) -> None:
        real(withdrawer, inbox, routes)
        route = routes[inbox]
        calls = route.calls
        if meanwhile:
            new = {inbox: replace(route), b"/another": replace(route)}
            publisher.configure(new)
            calls = new[b"/another" if "another" in meanwhile else inbox].calls
        calls.call(lambda: (one.outbox / "a.png").write_bytes(cutout), unheard)

    def asked(withdrawer: Withdrawer, inbox: bytes, routes: Mapping[bytes, Route]) -> None:
        route = routes[inbox]
        if not withdrawer.owed.due(inbox):
            return
        # Some photo's call is under way: it still takes others with it, or only syncs its folder.
        if not meanwhile:
            route.calls.call(lambda: None, unheard)
            both(withdrawer, inbox, routes)
            return

        def syncs(_folder: bytes) -> None:
            vars(route.calls)["_sync"] = route.fs.fsync_dir
            both(withdrawer, inbox, routes)

        vars(route.calls)["_sync"] = syncs
        route.calls.call(lambda: route.calls.to_sync(route.outbox), unheard)

    monkeypatch.setattr(Withdrawer, "withdraw", asked)
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]


TWO_LABELS = {"deliver": [{"label": "master"}, {"label": "web", "folder": "web"}]}


def test_what_shows_earlier_content_under_a_label_that_is_gone_goes(sim: Callable[..., Simulation]) -> None:
    """It showed for ever what the photo no longer is."""
    one = sim(**TWO_LABELS)
    one.put("a.jpg", b"frame one")
    one.put("b.jpg", b"frame three")
    one.boot().finish()
    one.inbox_table = {"deliver": TWO_LABELS["deliver"][:1]}
    one.reload()
    one.put("a.jpg", b"frame two!")
    one.finish()
    one.parts.control.redo()  # what shows the very photo is nobody's mistake
    one.finish()
    assert one.outputs() == {
        "a.png": cutout_of(b"frame two!", label="master"),
        "b.png": cutout_of(b"frame three", label="master"),
        "web/b.png": cutout_of(b"frame three", label="web"),
    }


def test_what_its_owner_changed_under_a_label_that_is_gone_stays(sim: Callable[..., Simulation]) -> None:
    one = sim(**TWO_LABELS)
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    (one.outbox / "web" / "a.png").write_bytes(THEIRS)
    one.inbox_table = {"deliver": TWO_LABELS["deliver"][:1]}
    one.reload()
    one.put("a.jpg", b"frame two!")
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"frame two!", label="master"), "web/a.png": THEIRS}


def test_the_cutout_of_an_earlier_frame_that_was_archived_stays(sim: Callable[..., Simulation]) -> None:
    one = sim(**TWO_LABELS)
    one.inbox_table["after"] = {"action": "archive", "archive": one.archive}
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.inbox_table["deliver"] = TWO_LABELS["deliver"][:1]
    one.reload()
    one.put("a.jpg", b"frame two!")
    one.finish()
    assert sorted(one.outputs()) == ["a (2).png", "a.png", "web/a.png"]


@pytest.mark.slow
@pytest.mark.parametrize("alike", [False, True], ids=["other bytes", "the same bytes"])
@pytest.mark.parametrize("then", ["saved anew", "redo", "names forgotten"])
def test_another_label_takes_over_the_name(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, alike: bool, then: str
) -> None:
    """A second deliverable gives the first one a label too. With the same bytes the photo was never done again: the
    name counted as its own to adopt, and as another's to claim.
    """
    if alike:

        def made_of(photo: bytes, variant: bytes = b"", label: str = "") -> bytes:
            return b"cutout " + variant + photo

        monkeypatch.setattr(simulation, "cutout_of", made_of)
    one = sim()
    one.tables = {"history": {"filenames": then != "names forgotten"}}
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.run(30)
    one.inbox_table = TWO_LABELS
    one.reload()
    photo = b"frame one"
    if then == "redo":
        one.parts.control.redo()
    else:
        photo = b"frame two!"
        one.put("a.jpg", photo)
    one.finish(300)
    made = simulation.cutout_of
    assert one.outputs() == {"a.png": made(photo, label="master"), "web/a.png": made(photo, label="web")}


def test_one_deliverable_that_is_made_again_alone_takes_no_name_of_the_others(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_of(photo: bytes, variant: bytes = b"", label: str = "") -> bytes:
        return b"cutout " + variant + photo

    monkeypatch.setattr(simulation, "cutout_of", made_of)
    one = sim(deliver=[{"label": "master"}, {"label": "web", "name": "{stem}-web"}])
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    overrides = {"deliverable": "web", "output": {"name": "{stem}"}}
    one.parts.control.redo(overrides=Overrides.of(overrides))
    one.finish(300)
    assert sorted(one.outputs()) == ["a (2).png", "a.png"]


def test_a_copy_that_is_done_takes_no_cutout_from_a_renamed_photo(sim: Callable[..., Simulation]) -> None:
    """The renamed photo's old cutout once went with any other photo's delivery, before its new one was there."""
    one = sim()
    one.put("a.jpg", b"frame one")
    one.put("copy.jpg", b"frame one")
    one.boot().finish()
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.until(lambda: one.parts.ledger.one("SELECT 1 FROM deliverables WHERE state = 'leaving'"))
    one.parts.publisher.withdraw()
    one.run(1)
    assert cutout_of(b"frame one") in [one.outputs().get(name) for name in ("a.png", "b.png")]
    one.finish()
    assert sorted(one.outputs()) == ["b.png", "copy.png"]
