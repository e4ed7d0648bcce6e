"""A head and its nodes under seeded accidents, on real files and a real ledger: each photo comes exactly once.

Nodes are pretended, so that hundreds of accidents fit into seconds: they die, leave, are cut off and finish late,
answer twice, late or nonsense, see another folder, lose what they wrote; relay and head die. Real processes are the
business of `tests/endtoend/test_fleet.py`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from tests.support.pretended_fleet import FleetSimulation
from tests.support.simulation import BROKEN, cutout_of, simulated

from cutoutd.daemon.fleet.records import Broke, Returned

SEEDS = int(os.environ.get("CUTOUTD_FLEET_SEEDS", "5"))
PHOTOS, ACCIDENTS = 14, 60


class Accidents:
    """What may happen next; each method is one, and does nothing where it makes no sense now."""

    def __init__(self, one: FleetSimulation, rng: random.Random) -> None:
        self.one, self.rng, self.names, self.count = one, rng, 0, Counter[str]()
        self.bytes: dict[str, bytes] = {}

    def photo(self) -> None:
        if len(self.bytes) < PHOTOS:
            name = f"{len(self.bytes)}.jpg"
            broken = BROKEN if self.rng.random() < 0.1 else b"photo "
            self.bytes[name] = broken + name.encode() + self.rng.randbytes(8)
            self.one.put(name, self.bytes[name])

    def node_joins(self) -> None:
        if len(self.one.link.nodes) < 4:
            self.names += 1
            self.one.link.join(f"n{self.names}", slots=self.rng.randint(1, 3), large=1)

    def node_dies(self) -> None:
        if self.one.link.nodes:
            self.one.link.leave(self.rng.choice(list(self.one.link.nodes)))

    def answers(self) -> None:
        for _ in range(3):
            if self.one.link.given:
                self.one.link.answer(self.rng.randrange(len(self.one.link.given)))

    def answers_twice(self) -> None:
        if self.one.link.given:
            self.one.link.answer_twice(self.rng.randrange(len(self.one.link.given)))

    def finishes_late(self) -> None:
        while self.one.link.late and self.rng.random() < 0.8:
            self.one.link.finish_late()

    def lies(self) -> None:
        if self.one.link.given:
            lie = self.rng.choice([None, {"is": "Known", "digest": "00" * 32}, {"is": "Report"}, 7])
            self.one.link.answer(0, Returned(lie))

    def sees_another_folder(self) -> None:
        if self.one.link.given:
            self.one.link.answer(0, Returned({"is": "Refused", "reason": "vanished", "detail": "gone"}))

    def loses_what_it_wrote(self) -> None:
        if self.one.link.given:
            temporary = Path(os.fsdecode(self.one.link.given[0][1].job.temporaries[0]))
            self.one.link.answer(0)
            temporary.unlink(missing_ok=True)

    def is_unfit(self) -> None:
        if self.one.link.given:
            self.one.link.unfit(0, self.rng.choice(["", "its share is away"]))

    def worker_breaks(self) -> None:
        if self.one.link.given and self.rng.random() < 0.3:
            self.one.link.answer(0, Broke("crashed", "signal 11"))

    def relay_dies(self) -> None:
        self.one.link.relay_dies()

    def head_dies(self) -> None:
        """Without a goodbye; its nodes work on."""
        self.one.die()
        self.one.link.late += [order for _, order in self.one.link.given]
        self.one.link.given.clear()
        self.one.link.nodes.clear()
        self.one.boot()

    def time_passes(self) -> None:
        self.one.run(self.rng.randint(1, 30))

    def long_time_passes(self) -> None:
        for _ in range(self.rng.randint(1, 200)):
            self.one.pass_time(0.9)
            self.one.turn()

    def happen(self) -> None:
        kinds = {
            self.photo: 6, self.node_joins: 3, self.node_dies: 2, self.answers: 8, self.answers_twice: 2,
            self.finishes_late: 3, self.lies: 1, self.sees_another_folder: 1, self.loses_what_it_wrote: 1,
            self.is_unfit: 2, self.worker_breaks: 1, self.relay_dies: 1, self.head_dies: 1, self.time_passes: 8,
            self.long_time_passes: 1,
        }  # fmt: skip
        (kind,) = self.rng.choices(list(kinds), list(kinds.values()))
        self.count[kind.__name__] += 1
        kind()
        self.one.run(self.rng.randint(1, 4))

    def end_in_peace(self) -> None:
        """One node that does all it is given, and whatever is late."""
        one = self.one
        while one.link.late:
            one.link.finish_late()
        one.run(8)
        for name in list(one.link.nodes):
            one.link.leave(name)
        one.link.late.clear()
        one.link.join("last", slots=4, large=4)
        one.peace = True
        for _ in range(4000):
            one.turn()
            if set(one.states().values()) <= {"done", "failed"}:
                return
            if not one.link.given:
                one.pass_time(0.9)
        raise AssertionError(f"never finished: {one.rows()}, {one.heard.warnings}")


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_doubled_or_harmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, local: bool
) -> None:
    with simulated(monkeypatch):
        tables = {
            "fleet": {"scheduler": "tls://h:1", "certificates": "/c", "local": local},
            "limits": {"attempts_after_death": 20},
        }
        one = FleetSimulation(tmp_path, tables=tables)
        one.boot()
        accidents = Accidents(one, random.Random(seed))
        for _ in range(ACCIDENTS):
            accidents.happen()
        accidents.end_in_peace()
        one.finish()
        said = f"seed {seed}: {accidents.count}"

        whole = {name: data for name, data in accidents.bytes.items() if not data.startswith(BROKEN)}
        assert one.outputs() == {
            f"{name.removesuffix('.jpg')}.png": cutout_of(data) for name, data in whole.items()
        }, said
        assert one.states() == {
            name: "failed" if name not in whole else "done" for name in accidents.bytes
        }, said
        assert {path.name: path.read_bytes() for path in one.inbox.iterdir()} == accidents.bytes, said
        assert one.leftovers() == [], said
