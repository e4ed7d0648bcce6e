"""The machinery dies at every single call and commit of a delivery, is started again, and must come out whole."""

from __future__ import annotations

import contextlib
import csv
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import BROKEN, Crash, Crasher, Simulation, cutout_of, simulated

from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.models.networks.doubt import Doubt

ONE, TWO, THREE = b"frame one " * 40, b"frame two " * 50, b"frame three " * 60
BAD = BROKEN + b" frame " * 40
ARCHIVED = {"after": {"action": "archive", "archive": "ARCHIVE"}}
FAILED = {"after": {"failed": "FAILED"}}
TWICE = {"deliver": [{"label": "master"}, {"label": "web", "folder": "web"}]}

# A spread of the points each time; all of them, some minutes, with CUTOUTD_EVERY_POINT=1.
EVERY_POINT = os.environ.get("CUTOUTD_EVERY_POINT") == "1"
# All points of the longest scenario take 100 s alone, and more than the usual limit beside others.
IN_TIME = pytest.mark.timeout(1800 if EVERY_POINT else 120)

Act = Callable[[Simulation], object]


def fresh(sim: Simulation) -> None:
    sim.put("a.jpg", ONE)
    sim.put("sub/b.jpg", TWO)
    sim.finish()


def nested(sim: Simulation) -> None:
    sim.put("day/sub/a.jpg", ONE)
    sim.put("day/sub/b.jpg", BAD)
    sim.finish()


def replaced(sim: Simulation) -> None:
    sim.put("a.jpg", ONE)
    sim.finish()
    sim.put("a.jpg", TWO)
    sim.finish()


def replaced_in_hand(sim: Simulation) -> None:
    sim.put("a.jpg", ONE)
    sim.run(14)
    sim.put("a.jpg", TWO)
    sim.finish()


def done_again(sim: Simulation) -> None:
    """A `redo` whose cutout has other bytes: it replaces the old one."""
    sim.put("a.jpg", ONE)
    sim.finish()
    sim.workers.variant = b"better"
    sim.parts.control.redo()
    sim.finish()


def in_another_format(sim: Simulation) -> None:
    """A `redo` whose cutout has another extension: the earlier file goes."""
    _done_otherwise(sim, format="webp")


def under_another_name(sim: Simulation) -> None:
    _done_otherwise(sim, name="{stem}-x")


def there_and_back(sim: Simulation) -> None:
    """The first cutout's name is taken again, perhaps before that was withdrawn."""
    _done_otherwise(sim, format="webp")
    sim.parts.control.redo()
    sim.finish()


def doubted(sim: Simulation) -> None:
    """A doubtful cutout lies aside, and a sure one takes its place where the others lie."""
    sim.workers.doubts = (Doubt.FRAME,)
    sim.put("sub/a.jpg", ONE)
    sim.finish()
    sim.workers.variant, sim.workers.doubts = b"better", ()
    sim.parts.control.redo()
    sim.finish()


def masked(sim: Simulation) -> None:
    """A `redo` with a mask of its owner's, which stays with the photo and is never doubled."""
    sim.put("a.jpg", ONE)
    sim.finish()
    drawn = sim.root / "drawn.png"
    drawn.write_bytes(b"better")
    name = masks.copied(sim.root / "state", drawn)
    drawn.unlink()
    with (
        contextlib.closing(Ledger(sim.root / "state" / LEDGER_NAME, check=False)) as ledger,
        ledger.durably(),
    ):
        masks.keep(ledger, name)
        Control(ledger).command(Verb.REDO, CommandArguments(overrides=Overrides(mask=name)))
    sim.workers.hang = True
    sim.until_in_a_worker()
    sim.run(24)  # longer than the clean-up takes to come round
    sim.workers.hang = False
    sim.finish()
    assert sim.outputs() == {"a.png": cutout_of(ONE, b"better")}


def _done_otherwise(sim: Simulation, **options: str) -> None:
    sim.put("a.jpg", ONE)
    sim.finish()
    sim.workers.variant = b"better"
    sim.parts.control.redo(overrides=Overrides.of({"output": options}))
    sim.finish()


def renamed(sim: Simulation) -> None:
    sim.put("a.jpg", ONE)
    sim.finish()
    (sim.inbox / "a.jpg").rename(sim.inbox / "b.jpg")
    sim.finish()


def shifted(sim: Simulation) -> None:
    """Two names move on by one, and a third photo takes the first of them."""
    sim.put("a.jpg", ONE)
    sim.put("b.jpg", TWO)
    sim.finish()
    for old, new in (("b", "c"), ("a", "b")):
        if (sim.inbox / f"{old}.jpg").exists():
            (sim.inbox / f"{old}.jpg").rename(sim.inbox / f"{new}.jpg")
    sim.finish()
    sim.put("a.jpg", THREE)
    sim.finish()


def swapped(sim: Simulation) -> None:
    sim.put("a.jpg", ONE)
    sim.put("b.jpg", TWO)
    sim.finish()
    for old, new in (("a", "x"), ("b", "a"), ("x", "b")):
        (sim.inbox / f"{old}.jpg").rename(sim.inbox / f"{new}.jpg")
    sim.finish()


def same_name_again(sim: Simulation) -> None:
    """With an archive: the camera uses the name of an archived frame once more."""
    sim.put("a.jpg", ONE)
    sim.finish()
    sim.put("a.jpg", TWO)
    sim.finish()


SCENARIOS: dict[str, tuple[Act, dict[str, Any]]] = {
    "fresh": (fresh, {}),
    "fresh, two deliverables": (fresh, TWICE),
    "replaced": (replaced, {}),
    "replaced, two deliverables": (replaced, TWICE),
    "replaced in hand": (replaced_in_hand, {}),
    "done again": (done_again, {}),
    "done again, two deliverables": (done_again, TWICE),
    "done again in another format": (in_another_format, {}),
    "done again in another format, two deliverables": (in_another_format, TWICE),
    "done again under another name": (under_another_name, {}),
    "done again there and back": (there_and_back, {}),
    "done again in another format, listed": (in_another_format, {"manifest": "csv"}),
    "doubted": (doubted, {"review": "review"}),
    "done again with a mask": (masked, {}),
    "renamed": (renamed, {}),
    "renamed, two deliverables": (renamed, TWICE),
    "shifted": (shifted, {}),
    "swapped": (swapped, {}),
    "archived": (fresh, ARCHIVED),
    "archived, same name again": (same_name_again, ARCHIVED),
    "archived, replaced in hand": (replaced_in_hand, ARCHIVED),
    "trashed": (fresh, {"after": {"action": "trash"}}),
    "archived, deep": (nested, ARCHIVED),
    "trashed, deep": (nested, {"after": {"action": "trash"}}),
    "failed, deep": (nested, FAILED),
}


def _simulation(root: Path, table: dict[str, Any], crasher: Crasher) -> Simulation:
    table = dict(table)
    places = {"ARCHIVE": root / "archive", "FAILED": root / "failed"}
    if "after" in table:
        table["after"] = {key: places.get(value, value) for key, value in table["after"].items()}
    return Simulation(root, inbox_table=table, crasher=crasher)


def _live(root: Path, act: Act, table: dict[str, Any], crasher: Crasher) -> Simulation:
    """One life that may end early, and one that finishes what is left, undisturbed."""
    sim = _simulation(root, table, crasher)
    try:
        sim.boot()
        act(sim)
        sim.stop()
    except Crash:
        sim.die()
    return sim


def _check(sim: Simulation, where: str) -> None:
    """One cutout per deliverable of each photo that lies somewhere, of it and of nothing else."""
    labels = [one.label for one in sim.settings().inbox[0].deliverables()]
    trash = sim.root / "home" / "data" / "Trash" / "files"
    originals = [
        path.read_bytes()
        for folder in (sim.inbox, sim.archive, trash, sim.failed)
        if folder.exists()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".a.jpg") and not path.name.endswith(".jpg.txt")
    ]
    broken = [photo for photo in originals if photo == BAD]
    assert len(broken) <= 1, where
    if broken and sim.failed.exists():
        assert (sim.failed / "day" / "sub" / "b.jpg").read_bytes() == BAD, where
    originals = [photo for photo in originals if photo != BAD]
    made = Counter(data for name, data in sim.outputs().items() if name != "manifest.csv")
    for photo in originals:
        for label in labels:
            found = sum(made[cutout_of(photo, variant, label)] for variant in (b"", b"better"))
            assert found == 1, (
                f"{found} cutouts of {photo[:11]!r} as {label} {where}: {sorted(sim.outputs())}"
            )
    shown = {cutout_of(photo, v, label) for photo in originals for label in labels for v in (b"", b"better")}
    # A frame that was replaced before it was archived is nobody's; its cutout may stay only with an archive.
    if not sim.archive.exists() and not trash.exists():
        assert set(made) <= shown, f"{where}: {sorted(sim.outputs())}"
    for photo in () if sim.archive.exists() or trash.exists() else sim.inbox.rglob("*.jpg"):
        stem = str(photo.relative_to(sim.inbox).with_suffix(""))  # and each under the name of its photo
        names = (f"{stem}.png", f"{stem}.webp", f"{stem}-x.png", f"review/{stem}.png")
        own = [made for name in names if (made := sim.outputs().get(name))]
        assert any(photo.read_bytes() in one for one in own), f"{where}: {sorted(sim.outputs())}"
    listed = sim.outbox / "manifest.csv"
    if listed.exists():
        rows = list(csv.DictReader(listed.read_text().splitlines()))
        assert len({(row["output"], row["sha256"]) for row in rows}) == len(rows), where
        assert all(len(row["id"]) == 16 for row in rows), where
        assert {row["output"] for row in rows} >= set(sim.outputs()) - {listed.name}, where
    assert sim.leftovers() == [], where
    kept = masks.folder_of(sim.root / "state").iterdir()
    with contextlib.closing(Ledger(sim.root / "state" / LEDGER_NAME, check=False)) as ledger:
        made_with = [one.mask for one in Remarks(ledger).corrections().values() if one.mask]
    assert [one.name for one in kept if not one.name.endswith(masks.COPYING)] == made_with, where


@IN_TIME
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_any_point_loses_and_doubles_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, table = SCENARIOS[name]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    crasher = Crasher()
    with simulated(monkeypatch, crasher):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "count" / "home" / "data"))
        sim = _live(tmp_path / "count", act, table, crasher)
        points = crasher.passed
        _check(sim, "undisturbed")
        assert points > 25
        thin = 1 if EVERY_POINT else max(1, points // 8)
        for at in range(1 + random.Random(name).randrange(thin), points + 1, thin):
            _die_and_recover(tmp_path / str(at), act, table, crasher, monkeypatch, [at])


@pytest.mark.parametrize("seed", range(12 if EVERY_POINT else 5))
def test_two_deaths_in_a_row(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    crasher = Crasher()
    with simulated(monkeypatch, crasher):
        for number in range(4):
            act, table = SCENARIOS[rng.choice(list(SCENARIOS))]
            deaths = [rng.randrange(1, 220), rng.randrange(1, 120)]
            _die_and_recover(tmp_path / str(number), act, table, crasher, monkeypatch, deaths)


def _die_and_recover(
    root: Path,
    act: Act,
    table: dict[str, Any],
    crasher: Crasher,
    monkeypatch: pytest.MonkeyPatch,
    deaths: list[int],
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "home" / "data"))
    names: list[str] = []
    for life, at in enumerate(deaths):
        crasher.at, crasher.passed, crasher.names = at, 0, []
        sim = _live(root, act if life == 0 else Simulation.finish, table, crasher)
        names.append(f"{at} ({crasher.names[-1]} after {crasher.names[-4:-1]})")
    crasher.at = None
    sim = _simulation(root, table, crasher).boot()
    sim.finish()
    assert not [row for row in sim.rows() if row["reason"] == "cannot-render"], names  # its mask was there
    sim.stop()
    _check(sim, f"after death at {', then '.join(names)}")
