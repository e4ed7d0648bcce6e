"""Where each cutout finds its place; two deliverables whose names change places end each under its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.support import simulation
from tests.support.simulation import Simulation, cutout_of

from cutoutd.daemon.files.filesystem import RealFileSystem

Make = Callable[..., Simulation]
Tables = list[dict[str, Any]]
ONE, TWO = b"frame one", b"frame two!"

NAMES: Tables = [{"label": "a", "name": "{stem}-1"}, {"label": "b", "name": "{stem}-2"}]
FORMATS: Tables = [{"label": "a", "format": "png"}, {"label": "b", "format": "webp"}]
FOLDERS: Tables = [{"label": "a", "folder": "x"}, {"label": "b", "folder": "y"}]
IN_A_ROW: Tables = [*NAMES, {"label": "c", "name": "{stem}-3"}]


def _swapped(tables: Tables) -> Tables:
    """The same labels, each with what the one after it had."""
    others = tables[1:] + tables[:1]
    return [{**other, "label": one["label"]} for one, other in zip(tables, others, strict=True)]


def _expected(tables: Tables, photo: bytes, variant: bytes = b"") -> dict[str, bytes]:
    return {
        os.path.join(
            one.get("folder", ""), one.get("name", "{stem}").format(stem="p") + "." + one.get("format", "png")
        ): simulation.cutout_of(photo, variant, one["label"])
        for one in tables
    }


@pytest.mark.parametrize("alike", [False, True], ids=["", "the same bytes"])
@pytest.mark.parametrize(
    "tables", [NAMES, FORMATS, FOLDERS, IN_A_ROW], ids=["names", "formats", "folders", "three"]
)
def test_a_redo_gives_each_its_name(
    sim: Make, monkeypatch: pytest.MonkeyPatch, tables: Tables, alike: bool
) -> None:
    """Each found its name taken by the other's file and lay down beside it, for ever."""
    if alike:
        monkeypatch.setattr(simulation, "cutout_of", _alike)
    one = _swap(sim, tables)
    one.workers.variant = b"better"
    one.parts.control.redo()
    one.finish(400)
    assert one.outputs() == _expected(_swapped(tables), ONE, b"better")
    assert one.leftovers() == []


def _swap(sim: Make, tables: Tables) -> Simulation:
    """A photo that is done, and a config that has names change places since."""
    one = sim(deliver=tables)
    one.put("p.jpg", ONE)
    one.boot().finish()
    one.inbox_table["deliver"] = _swapped(tables)
    one.reload()
    return one


def _alike(photo: bytes, variant: bytes = b"", label: str = "") -> bytes:
    return b"cutout " + variant + photo


def test_formats_that_change_places_do_so_for_a_photo_that_is_saved_anew(sim: Make) -> None:
    one = _swap(sim, FORMATS)
    one.put("p.jpg", TWO)
    one.finish(400)
    assert one.outputs() == _expected(_swapped(FORMATS), TWO)


def test_names_that_were_forgotten_change_places_too(sim: Make) -> None:
    one = sim(deliver=NAMES)
    one.tables = {"history": {"filenames": False}}
    one.put("p.jpg", ONE)
    one.boot().finish()
    one.run(30)
    one.inbox_table["deliver"] = _swapped(NAMES)
    one.reload()
    one.put("p.jpg", TWO)
    one.finish(400)
    assert one.outputs() == _expected(_swapped(NAMES), TWO)


@pytest.mark.parametrize("alike", [False, True], ids=["", "the same bytes"])
def test_a_name_that_another_keeps_is_not_free(
    sim: Make, monkeypatch: pytest.MonkeyPatch, alike: bool
) -> None:
    """With the same bytes the photo was never done again: what the other replaces was there to be adopted."""
    if alike:
        monkeypatch.setattr(simulation, "cutout_of", _alike)
    one = sim(deliver=NAMES)
    one.put("p.jpg", ONE)
    one.boot().finish()
    one.inbox_table["deliver"] = [{**NAMES[0], "name": "{stem}-2"}, NAMES[1]]
    one.reload()
    one.parts.control.redo()
    one.finish(400)
    assert one.states() == {"p.jpg": "done"}
    assert one.outputs() == {
        "p-2 (2).png": simulation.cutout_of(ONE, label="a"),
        "p-2.png": simulation.cutout_of(ONE, label="b"),
    }


@pytest.mark.parametrize("whose", ["p-1.png", "p-2.png"])
@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("crash", [False, True])
def test_what_its_owner_saves_meanwhile_stays(sim: Make, whose: str, turns: int, crash: bool) -> None:
    one = _swap(sim, NAMES)
    one.workers.variant = b"better"
    one.parts.control.redo()
    one.until_in_a_worker()
    one.run(turns)
    (one.outbox / whose).write_bytes(b"retouched")
    if crash:
        one.die()
        one.boot()
        one.workers.variant = b"better"
    one.finish(400)
    outputs = one.outputs()
    assert outputs.pop(whose) == b"retouched"
    better = [cutout_of(ONE, b"better", label) for label in "ab"]
    assert sorted(outputs.values()) in (better, [better[["p-1.png", "p-2.png"].index(whose)]])
    assert one.leftovers() == []


@pytest.mark.parametrize("at", range(1, 6))
def test_a_refusal_on_the_way_leaves_none_behind(sim: Make, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    one = _swap(sim, NAMES)
    real, asked = RealFileSystem.exchange, list[bytes]()

    def refused(self: RealFileSystem, name: bytes, other: bytes) -> None:
        asked.append(other)
        if len(asked) == at:
            raise PermissionError(13, "no")
        real(self, name, other)

    monkeypatch.setattr(RealFileSystem, "exchange", refused)
    one.workers.variant = b"better"
    one.parts.control.redo()
    one.finish(400)
    if one.states() != {"p.jpg": "done"}:
        one.parts.control.retry()
        one.finish(400)
    assert one.outputs() == _expected(_swapped(NAMES), ONE, b"better")
    assert one.leftovers() == []


def test_an_older_ledger_takes_over_the_cutout_that_it_does_not_know_yet(sim: Make) -> None:
    """As from a backup: the same bytes lay down beside it."""
    one = sim()
    one.put("p.jpg", ONE)
    one.boot().finish()
    one.put("p.jpg", TWO)
    (one.outbox / "p.png").write_bytes(cutout_of(TWO))  # made by a life of which the ledger knows nothing
    one.finish(400)
    assert one.outputs() == {"p.png": cutout_of(TWO)}
    one.put("p.jpg", ONE)  # it is its own from then on
    one.finish(400)
    assert one.outputs() == {"p.png": cutout_of(ONE)}
    assert one.leftovers() == []
