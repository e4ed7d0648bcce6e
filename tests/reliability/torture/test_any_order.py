"""One daemon and whatever its users and its disk do, in seeded orders that nobody thought of: nothing is lost or held.

The parts are the daemon's own, on real files and a real ledger; workers and I/O threads step when the seed says, so
that commits, acts and answers of many photos meet in every order. Accidents of a process are `test_crash_points.py`'s.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import add_large_stand_in
from tests.support.simulation import ALL_IO, TURN_S, Simulation, simulated

from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import ABOUT_ALL, CommandArguments, Verb
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.models.networks.doubt import Doubt

# Each takes some seconds: these each time, and the rest, with every option, weekly.
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(2, 60))]
HAPPENINGS = 60
# More messages than the loop hears in one turn, sometimes.
FLOODS = (50, 250, 450)
FORMATS = ("png", "webp", "avif")
LABELS = ("cutout", "master", "web")
DELIVER: tuple[dict[str, Any], ...] = (
    {"deliver": [{"label": "master"}, {"label": "web", "folder": "web"}]},
    {"deliver": [{"label": "web", "name": "{stem}-x"}, {"label": "master"}]},
    {"deliver": [{"label": "master"}]},
    {"deliver": [{"label": "master", "folder": "web"}, {"label": "web"}]},
    {"deliver": [{"label": "master", "format": "webp"}, {"label": "web", "name": "{stem}-x"}]},
)
TROUBLES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES)


@dataclass
class Unsteady(Simulation):
    """A simulation whose parts do not take turns."""

    rng: random.Random = field(default_factory=random.Random)

    @property
    def second(self) -> Path:
        """Where the outbox may move."""
        return self.root / "second"

    def found(self) -> dict[Path, bytes]:
        """What lies in the outboxes."""
        folders = (self.outbox, self.second)
        return {path: path.read_bytes() for one in folders for path in one.rglob("*") if path.is_file()}

    def turn(self) -> None:
        """Each other part makes some steps or none, and messages may come in a flood."""
        rng = self.rng
        for _ in range(rng.randrange(6)):
            self.workers.step()
        for io in list(ALL_IO):
            for _ in range(rng.randrange(4)):
                io.step()
        if rng.random() < 0.3:
            for _ in range(rng.choice(FLOODS)):
                self.daemon.post(Done(lambda _value, _error: None, None, None))
        self.due = self.daemon.turn(self.now)
        self.pass_time(TURN_S)


class Happenings:
    """What may happen next; each method is one, and does nothing where it makes no sense now."""

    def __init__(self, one: Unsteady, *, archived: bool) -> None:
        self.one, self.rng, self.archived = one, one.rng, archived
        self.bytes: dict[str, bytes] = {}
        self.numbers, self.troubles, self.count = 0, 0, Counter[str]()
        self.drawn = one.root / "edited.png"
        self.moves = one.rng.choice([0, 4])
        self.forgets = one.rng.choice([0, 4]) if not one.tables["history"] else 4

    def _new(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers}.jpg"

    def photos_come(self) -> None:
        """New ones, others under names that are known, and copies."""
        for _ in range(self.rng.randrange(1, 6)):
            again = self.bytes and self.rng.random() < 0.3
            name = self.rng.choice(list(self.bytes)) if again else self._new("p")
            self.numbers += 1
            self.bytes[name] = b"same" if self.rng.random() < 0.3 else b"photo %d" % self.numbers
            self.one.put(name, self.bytes[name])

    def one_is_renamed(self) -> None:
        """And perhaps copied back."""
        here = [name for name in self.bytes if (self.one.inbox / name).exists()]
        if self.archived or not here:
            return
        old, new = self.rng.choice(here), self._new("r")
        (self.one.inbox / old).rename(self.one.inbox / new)
        self.bytes[new] = self.bytes.pop(old)
        if self.rng.random() < 0.5:
            self.bytes[old] = self.bytes[new]
            self.one.put(old, self.bytes[old])

    def the_outbox_refuses(self) -> None:
        self.troubles = self.rng.randrange(1, 5)

    def all_is_done_again(self) -> None:
        carry_out(self.one.parts.ledger, self.rng.choice([Verb.REDO, Verb.RETRY]), ABOUT_ALL, lambda: None)

    def some_are_done_otherwise(self) -> None:
        """In another format, under another name, by a mask, or one deliverable alone; it may be refused."""
        asked: dict[str, Any] = self.rng.choice(
            [
                {"output": {"format": self.rng.choice(FORMATS)}},
                {"output": {"name": "{stem}-again"}},
                {"deliverable": self.rng.choice(LABELS), "output": {"format": self.rng.choice(FORMATS)}},
                {"mask": self._mask()},
            ]
        )
        rows = [row["id"] for row in self.one.rows()]
        photos = self.rng.sample(rows, min(len(rows), self.rng.randrange(1, 6)))
        settings = self.one.settings()
        with self.one.parts.ledger.durably():
            if "mask" in asked:
                masks.keep(self.one.parts.ledger, asked["mask"])
            arguments = CommandArguments(photos=frozenset(photos), overrides=Overrides.of(asked))
            carry_out(self.one.parts.ledger, Verb.REDO, arguments, lambda: settings)

    def _mask(self) -> str:
        self.numbers += 1
        self.drawn.write_bytes(b"mask%d" % self.numbers)
        return masks.copied(self.one.state, self.drawn)

    def names_are_forgotten(self) -> None:
        everything = CommandArguments(everything=self.rng.random() < 0.3)
        carry_out(self.one.parts.ledger, Verb.FORGET, everything, lambda: None)

    def the_config_is_read_again(self) -> None:
        self.one.reload()

    def the_tables_change(self) -> None:
        """Other deliverables, another format or name, a manifest, drafts or none, originals kept or not."""
        table, rng = self.one.inbox_table, self.rng
        for name in ("deliver", "output", "manifest", "review"):
            table.pop(name, None)
        table |= rng.choice([{}, {"manifest": True}, {"review": "look"}])
        table |= rng.choice([{}, {"output": {"format": rng.choice(FORMATS)}}, *DELIVER])
        if "model" in table:
            table["draft_then_final"] = rng.random() < 0.5
        if self.archived:
            keep = {"action": "keep"}
            table["after"] = rng.choice([keep, {"action": "archive", "archive": self.one.archive}])
        self.one.reload()

    def the_inbox_leaves(self) -> None:
        """And comes back."""
        other = {
            "path": self.one.root / "other",
            "outbox": self.rng.choice([self.one.outbox, self.one.root / "o"]),
        }
        self.one.tables["inbox"] = [{"events": "poll", "poll_every": 1, "settle_polled": 2, **other}]
        self.one.reload()
        self.one.run(self.rng.randrange(10))
        if self.rng.random() < 0.3:
            self.the_daemon_dies()
        del self.one.tables["inbox"]
        self.one.reload()

    def the_outbox_moves(self) -> None:
        """To another folder, or back."""
        now = self.one.inbox_table.get("outbox", self.one.outbox)
        self.one.inbox_table["outbox"] = self.one.second if now == self.one.outbox else self.one.outbox
        self.one.reload()

    def a_worker_dies(self) -> None:
        self.one.workers.kill_next = True

    def the_daemon_dies(self) -> None:
        """Without a goodbye."""
        self.one.die()
        self.one.boot()

    def the_clock_jumps(self) -> None:
        """Seconds to weeks, to either side."""
        self.one.wall += self.rng.choice([-1, 1]) * 10 ** self.rng.uniform(0, 6)

    def the_networks_doubt(self) -> None:
        """Of every photo from now on, or of none any more."""
        self.one.workers.doubts = self.rng.choice([(), (Doubt.OUTLINE,)])

    def time_passes(self) -> None:
        self.one.run(self.rng.randrange(1, 30))

    def happen(self) -> None:
        kinds = {
            self.photos_come: 50, self.one_is_renamed: 10, self.the_outbox_refuses: 8, self.all_is_done_again: 8,
            self.names_are_forgotten: self.forgets, self.the_config_is_read_again: 3, self.time_passes: 14,
            self.some_are_done_otherwise: 8, self.the_tables_change: 6, self.the_inbox_leaves: 4, self.a_worker_dies: 5,
            self.the_daemon_dies: 3, self.the_clock_jumps: self.forgets, self.the_networks_doubt: 3,
            self.the_outbox_moves: self.moves,
        }  # fmt: skip
        (kind,) = self.rng.choices(list(kinds), list(kinds.values()))
        self.count[kind.__name__] += 1
        kind()
        self.one.run(self.rng.randrange(8))

    def fails(self) -> int:
        """The error of a call to the outbox now, or 0."""
        if not self.troubles or self.rng.random() > 0.3:
            return 0
        self.troubles -= 1
        return self.rng.choice(TROUBLES)


def options_of(rng: random.Random, archive: Path) -> dict[str, Any]:
    """Some of an inbox's table."""
    table: dict[str, Any] = {}
    if rng.random() < 0.5:
        table["after"] = {"action": "archive", "archive": archive}
    if rng.random() < 0.4:
        table["manifest"] = True
    if rng.random() < 0.4:
        table |= {"model": "large", "draft_then_final": True}
    return table


@pytest.fixture
def one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Generator[Unsteady]:
    """A daemon with options by the seed, which its test is parametrised with."""
    rng = random.Random(request.getfixturevalue("seed"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with simulated(monkeypatch):
        made = Unsteady(tmp_path, tables={"engine": {"workers": 8}}, rng=rng)
        made.inbox_table = options_of(rng, made.archive)
        # Trimmed at each start.
        made.tables["history"] = rng.choice([{}, {"filenames": False}, {"keep": "1s"}])
        if "model" in made.inbox_table:
            add_large_stand_in(made.root / "models")
        made.boot()
        yield made
        made.die()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_held_whatever_comes_in_which_order(
    one: Unsteady, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    archived = "after" in one.inbox_table
    happenings = Happenings(one, archived=archived)
    _let_calls_fail(happenings, monkeypatch)
    for _ in range(HAPPENINGS):
        happenings.happen()
    happenings.troubles, one.workers.kill_next = 0, False
    carry_out(one.parts.ledger, Verb.RETRY, ABOUT_ALL, lambda: None)
    one.finish(3000)
    said = f"seed {seed}: {happenings.count}"

    outputs = one.found()
    assert not {row["state"] for row in one.rows()} & {"pending", "running", "delivering"}, said
    assert _names(one, "done") <= outputs.keys(), said
    # "cutout", its label, and what its mask said, before the photo's own bytes.
    shown = {made.split(b" ", 3)[-1] for made in outputs.values()}
    for name, data in happenings.bytes.items():
        if not archived:
            assert (one.inbox / name).read_bytes() == data, f"{said}: {name}"
        if not archived or (one.inbox / name).exists():
            assert data in shown, f"{said}: {name} {one.states().get(name)}"
    if not happenings.forgets and not happenings.moves:
        # Nothing is forgotten or left behind: each file is some photo's, or waits to be taken away.
        ours = _names(one, "done", "leaving")
        assert {path for path in outputs if not path.name.startswith("manifest.")} <= ours, said
    assert not one.daemon.mistakes.count, f"{said}: {one.heard.warnings}"
    assert [path for path in outputs if path.name.startswith(".")] == [], said
    assert one.leftovers() == [], said


def _names(one: Unsteady, *states: str) -> set[Path]:
    """Cutouts that the ledger says to be in these states, as far as it has their names."""
    rows = one.parts.ledger.read("SELECT outbox, name, state FROM deliverables WHERE name IS NOT NULL")
    found = {row["outbox"] + b"/" + row["name"] for row in rows if row["state"] in states}
    return {Path(os.fsdecode(path)) for path in found}


def _let_calls_fail(happenings: Happenings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls to the outbox fail as often as the happenings say."""
    for name in ("fsync_dir", "rename_noreplace"):
        monkeypatch.setattr(RealFileSystem, name, _failing(getattr(RealFileSystem, name), happenings))


def _failing(real: Callable[..., Any], happenings: Happenings) -> Callable[..., Any]:
    outbox = os.fsencode(happenings.one.outbox)

    def called(self: RealFileSystem, *arguments: Any) -> Any:
        code = happenings.fails() if os.fsencode(arguments[-1]).startswith(outbox) else 0
        if code:
            raise OSError(code, os.strerror(code))
        return real(self, *arguments)

    return called
