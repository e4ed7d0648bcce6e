"""Cutouts under a name that is no longer their photo's go, and nothing else does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.digests import digest_of
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
    withdraw(root + b"/a.png", root + b"/.hidden", digest_of(OURS), fs)
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
    one.parts.control.redo(None, since=None, overrides=Overrides.of({"output": options}))
    one.finish()
    assert one.outputs() == {name: cutout_of(b"frame one", b"better")}


def test_what_its_owner_changed_stays_beside_what_a_redo_makes(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    (one.outbox / "a.png").write_bytes(THEIRS)
    one.parts.control.redo(None, since=None, overrides=Overrides.of({"output": {"format": "webp"}}))
    one.finish()
    assert one.outputs() == {"a.png": THEIRS, "a.webp": cutout_of(b"frame one")}


def test_only_the_deliverable_that_is_done_again_is_withdrawn(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.inbox_table = {"deliver": [{"label": "master"}, {"label": "web", "folder": "web"}]}
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    overrides = {"deliverable": "web", "output": {"format": "webp"}}
    one.parts.control.redo(None, since=None, overrides=Overrides.of(overrides))
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "web/a.webp"]


def test_a_redo_that_fails_leaves_the_earlier_file(sim: Callable[..., Simulation]) -> None:
    one = sim()
    one.put("a.jpg", b"frame one")
    one.boot().finish()
    one.workers.refuse = Refused(Reason.NO_SUBJECT, "nothing there")
    one.parts.control.redo(None, since=None, overrides=Overrides.of({"output": {"format": "webp"}}))
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

    def both(withdrawer: Withdrawer, inbox: bytes, route: Route) -> None:
        real(withdrawer, inbox, route)
        calls = route.calls
        if meanwhile:
            routes = {inbox: replace(route), b"/another": replace(route)}
            publisher.configure(routes)
            calls = routes[b"/another" if "another" in meanwhile else inbox].calls
        calls.call(lambda: (one.outbox / "a.png").write_bytes(cutout), unheard)

    def asked(withdrawer: Withdrawer, inbox: bytes, route: Route) -> None:
        if not withdrawer.owed.due(inbox):
            return
        # Some photo's call is under way: it still takes others with it, or only syncs its folder.
        if not meanwhile:
            route.calls.call(lambda: None, unheard)
            both(withdrawer, inbox, route)
            return

        def syncs(_folder: bytes) -> None:
            vars(route.calls)["_sync"] = route.fs.fsync_dir
            both(withdrawer, inbox, route)

        vars(route.calls)["_sync"] = syncs
        route.calls.call(lambda: route.calls.to_sync(route.outbox), unheard)

    monkeypatch.setattr(Withdrawer, "withdraw", asked)
    (one.inbox / "a.jpg").rename(one.inbox / "b.jpg")
    one.finish()
    assert sorted(one.outputs()) == ["a.png", "b.png"]
