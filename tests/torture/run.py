"""One seeded run: a real daemon, a random script of hostile events, a calm end, and the verdict."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.daemon import Attacked
from tests.torture.events import add, can_mount, nap, possible
from tests.torture.invariant import Verdict, check
from tests.torture.mounts import Disk
from tests.torture.world import World

LIBFAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
)
# How long a daemon that nobody attacks may take to finish everything, before a photo counts as lost.
CALM_S = 120.0


@dataclass
class Result:
    """A run's verdict and what was thrown."""

    seed: int
    verdict: Verdict
    thrown: Counter[str] = field(default_factory=Counter[str])
    kills: int = 0
    worker_kills: int = 0
    seconds: float = 0.0
    script: list[str] = field(default_factory=list[str])
    log: str = ""


def run(seed: int, *, events: int = 12, keep_folder: bool = False) -> Result:
    """Runs one seed in a folder of its own, which is removed when all went well."""
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-"))
    world = _world(seed, root)
    world.disk.set_up()
    script: list[str] = []
    try:
        try:
            _throw(world, events, script)
            _calm(world)
            verdict = check(world)
        except Exception:  # noqa: BLE001 - whatever went wrong belongs to this seed's verdict
            verdict = Verdict(other=["the run itself broke: " + traceback.format_exc()[-3000:]])
        log = "" if verdict.good else world.daemon.logs()[-6000:]
    finally:
        world.daemon.kill()
        world.disk.tear_down()
    if not keep_folder or verdict.good:
        shutil.rmtree(root, ignore_errors=True)
    daemon = world.daemon
    return Result(
        seed,
        verdict,
        Counter(world.thrown),
        daemon.kills,
        daemon.worker_kills,
        time.monotonic() - started,
        script,
        log,
    )


def _world(seed: int, root: Path) -> World:
    rng = random.Random(seed)
    kinds = ["plain", "plain", "tmpfs", "bind", "state"] if can_mount() else ["plain"]
    kind = rng.choice(kinds)
    daemon = Attacked(root, archives=rng.random() < 0.35, polled=rng.random() < 0.15)
    faketime = next((path for path in LIBFAKETIME if os.path.exists(path)), None)
    if faketime is not None and rng.random() < 0.2:
        daemon.fake_clock = root / "clock"
        daemon.fake_clock.write_text("+0\n")
        daemon.environment = {
            "LD_PRELOAD": faketime,
            "FAKETIME_TIMESTAMP_FILE": str(daemon.fake_clock),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    at = daemon.state if kind == "state" else daemon.outbox
    return World(daemon, rng, Disk(kind, at, root / "behind"), keep=not daemon.archives)


def _throw(world: World, events: int, script: list[str]) -> None:
    add(world)
    world.daemon.ensure(ready=world.rng.random() < 0.7)
    # Until both folders were seen once, they may still be made: that is what a first start is for.
    world.daemon.wait(world.daemon.knows_its_folders, "the folders to be known", 60)
    choices = possible(world)
    names = list(choices)
    weights = [choices[name][0] for name in names]
    for _ in range(events):
        name = world.rng.choices(names, weights)[0]
        script.append(name)
        world.count(name)
        choices[name][1](world)
        nap(world, 1.2)


def _calm(world: World) -> None:
    """Nobody attacks any more: everything owed is finished, failures are tried once more, the daemon stops."""
    daemon = world.daemon
    daemon.ensure(ready=True)
    daemon.cli("resume")
    _finished(world)
    if daemon.rows("state = 'failed' AND reason = 'crashed'"):
        daemon.cli("retry", "--all")
        _finished(world)
    daemon.end()
    # What a kill left behind is swept at the next start; one more clean life shows that it is.
    daemon.ensure(ready=True)
    _finished(world)
    daemon.end()


def _finished(world: World) -> None:
    daemon = world.daemon
    daemon.send(signal.SIGUSR1)
    daemon.wait(lambda: _done(world) or not daemon.alive(), "all photos to be finished", CALM_S)
    daemon.ensure(ready=True)


def _done(world: World) -> bool:
    """Whether every photo that lies in the inbox is known as it is now, and nothing is owed."""
    rows = world.daemon.rows()
    if any(row["state"] in ("pending", "running", "delivering") for row in rows):
        return False
    if any(row["state"] == "done" and row["aftercare"] in ("owed", "hidden") for row in rows):
        return False
    forgotten = world.daemon.fake_clock is not None and world.daemon.tombstones() > 0
    known = {row["path"]: row for row in rows if row["live"]}
    for name in world.frames:
        try:
            facts = os.lstat(world.path(name))
        except FileNotFoundError:
            continue
        row = known.get(os.fsencode(name))
        if row is None and forgotten:
            continue  # a clock that jumped two months ahead made a tombstone of it; its cutout still counts
        if row is None or (row["size"], row["mtime_ns"], row["inode"]) != (
            facts.st_size,
            facts.st_mtime_ns,
            facts.st_ino,
        ):
            return False
        if not world.keep and row["state"] == "done":
            return False  # it is still to be archived
    return True
