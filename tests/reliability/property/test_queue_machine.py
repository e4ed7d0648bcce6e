"""Files come, change, move and go; daemons and workers die; disks fail: nothing is lost, doubled or run twice at once.

The machinery is the real one on real files and real SQLite, with pretended workers and a clock turned by hand.
The model is a dict: what lies in the inbox. In the end each photo in it has exactly one cutout, of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.support.simulation import Simulation, cutout_of, simulated

from cutoutd.config.errors import Reason
from cutoutd.daemon.workers.protocol import Refused

NAMES = ["a.jpg", "b.jpg", "A.jpeg", "day/a.jpg"]


class QueueMachine(RuleBasedStateMachine):
    """See the module's sentence."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="queue-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("HOME", str(self.root / "home"))
        self.context = simulated(self.patch)
        self.context.__enter__()
        self.number = 0
        self.model: dict[str, bytes] = {}

    @initialize(newest=st.booleans(), photos=st.integers(1, 3))
    def start(self, newest: bool, photos: int) -> None:
        self.limit = photos
        self.sim = Simulation(
            self.root,
            inbox_table={"order": "newest" if newest else "oldest"},
            tables={"limits": {"photos_in_flight": photos}},
        ).boot()
        self.sim.run(8)

    # --- what cameras and people do ---------------------------------------------------------------------------

    @rule(target=names, name=st.sampled_from(NAMES))
    def put(self, name: str) -> str:
        self.number += 1
        self.model[name] = b"photo %d" % self.number
        self.sim.put(name, self.model[name])
        return name

    @rule(name=consumes(names), to=st.sampled_from(NAMES))
    def rename(self, name: str, to: str) -> None:
        if name in self.model and to not in self.model:
            target = self.sim.inbox / to
            target.parent.mkdir(exist_ok=True)
            (self.sim.inbox / name).rename(target)
            self.model[to] = self.model.pop(name)

    @rule(name=consumes(names))
    def remove(self, name: str) -> None:
        if name in self.model:
            (self.sim.inbox / name).unlink()
            del self.model[name]

    @rule(name=names)
    def touch(self, name: str) -> None:
        if name in self.model:
            self.number += 1
            os.utime(self.sim.inbox / name, (self.number, self.number))

    # --- what happens to the daemon ---------------------------------------------------------------------------

    @rule(turns=st.integers(1, 30))
    def go_on(self, turns: int) -> None:
        for _ in range(turns):
            self.sim.turn()
            self.bounds()

    @rule()
    def die(self) -> None:
        self.sim.die()
        self.sim.boot()

    @rule()
    def stop(self) -> None:
        troubled = self.sim.parts.outboxes.troubles()
        self.sim.stop()
        left = self.sim.leftovers()
        self.sim.boot()
        # While an outbox is in trouble, finished cutouts whose names are committed wait there for the next start, and
        # what was dropped as it went away is swept when it is opened again.
        delivering = sum(row["state"] == "delivering" for row in self.sim.rows())
        assert troubled or len(left) <= delivering, left

    @precondition(lambda self: self.sim.workers.jobs)
    @rule()
    def worker_dies(self) -> None:
        self.sim.workers.kill_next = True
        self.sim.turn()

    @precondition(lambda self: self.sim.workers.jobs)
    @rule()
    def worker_refuses(self) -> None:
        """A busy file: tried again, and not at once."""
        before = {row["id"]: row["attempts"] for row in self.sim.rows()}
        self.sim.workers.refuse = Refused(Reason.BUSY, "in use")
        self.sim.turn()
        self.sim.workers.refuse = None
        for row in self.sim.rows():
            if row["state"] == "pending" and row["attempts"] > before.get(row["id"], 0):
                assert row["not_before"] > self.sim.wall - 1

    @rule(turns=st.integers(1, 20))
    def outbox_away(self, turns: int) -> None:
        away = self.root / "away"
        self.sim.outbox.rename(away)
        self.sim.run(turns)
        assert not self.sim.outbox.exists()
        away.rename(self.sim.outbox)

    @rule(jump=st.sampled_from([-86400.0, -3600.0, 3600.0, 86400.0]))
    def clock_jumps(self, jump: float) -> None:
        self.sim.wall += jump

    @rule()
    def redo_all(self) -> None:
        self.sim.parts.control.redo()

    # --- what must hold ---------------------------------------------------------------------------------------

    def bounds(self) -> None:
        dispatcher = self.sim.parts.dispatcher
        assert len(dispatcher.in_hand) <= self.limit
        tags = Counter(tag for tag, _ in self.sim.workers.jobs)
        assert all(count == 1 for count in tags.values()), "one photo is with two workers"
        paths = Counter(job.path for tag, job in self.sim.workers.jobs if tag > 0)
        assert all(count == 1 for count in paths.values()), "one path is with two workers"

    @invariant()
    def one_live_row_per_path(self) -> None:
        if hasattr(self, "sim"):
            live = [row["key"] for row in self.sim.rows() if row["live"]]
            assert len(live) == len(set(live))

    def teardown(self) -> None:
        try:
            if hasattr(self, "sim"):
                self._end()
        finally:
            if hasattr(self, "sim"):
                self.sim.die()
            self.context.__exit__(None, None, None)
            self.patch.undo()
            shutil.rmtree(self.root, ignore_errors=True)

    def _end(self) -> None:
        sim = self.sim
        sim.finish()
        if sim.parts.control.retry():  # workers died with it twice, or the daemon six times
            sim.finish()
        made = Counter(sim.outputs().values())
        wanted: Any = Counter(cutout_of(photo) for photo in self.model.values())
        missing = wanted - made
        assert not missing, f"lost: {missing}, {sim.rows()}"
        assert all(made[one] == count for one, count in wanted.items()), f"doubled: {made}"
        sim.stop()
        assert sim.leftovers() == []
        left = {str(p.relative_to(sim.inbox)): p.read_bytes() for p in sim.inbox.rglob("*") if p.is_file()}
        assert left == self.model
        sim.boot()


TestQueue = pytest.mark.timeout(600)(QueueMachine.TestCase)
TestQueue.settings = settings(
    max_examples=25 if os.environ.get("CUTOUTD_EVERY_POINT") == "1" else 12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
