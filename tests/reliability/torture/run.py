"""One seeded run: a real daemon, a random script of hostile events, a calm end, and the verdict."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability.torture.daemon import Attacked
from tests.reliability.torture.events import KILLS, add, can_mount, nap, possible
from tests.reliability.torture.invariant import BLAME_FOR_ATTACKS, Verdict, check
from tests.reliability.torture.mounts import Disk
from tests.reliability.torture.world import World

LIBFAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
)
# A daemon that nobody attacks may take as long as something moves (a row, a cutout); so long without any movement
# is longer than each of its pauses, and a photo that is still owed then counts as lost. Nothing may take for ever.
STILL_S = 120.0
LONGEST_S = 600.0


class OverdueError(AssertionError):
    """Photos are owed and nothing moves; the text says which, and what the daemon was doing."""


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


def run(seed: int, *, events: int = 12, kill_weight: int = 1, keep_folder: bool = False) -> Result:
    """Runs one seed in a folder of its own, which is removed when all went well."""
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-"))
    world = _world(seed, root)
    world.disk.set_up()
    script: list[str] = []
    try:
        try:
            _throw(world, events, kill_weight, script)
            _calm(world)
            verdict = check(world)
        except Exception:  # noqa: BLE001 - whatever went wrong belongs to this seed's verdict
            verdict = Verdict(other=["the run itself broke: " + traceback.format_exc()[-20000:]])
        log = "" if verdict.good else world.daemon.logs()[-6000:]
    finally:
        world.daemon.kill()
        world.disk.tear_down()
    if not keep_folder or verdict.good:
        for folder in filter(None, (root, world.daemon.other_disk)):
            shutil.rmtree(folder, ignore_errors=True)
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
    no_overrides = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
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
    daemon.moves_failed = rng.random() < 0.35
    memory = Path("/dev/shm")  # noqa: S108 - removed at the end of the run
    if rng.random() < 0.4 and os.access(memory, os.W_OK) and memory.stat().st_dev != root.stat().st_dev:
        daemon.other_disk = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-", dir=memory))
    daemon.engines = rng.choice((1, 2))
    if rng.random() < 0.15:
        daemon.time_limit_s = 15
    if rng.random() < 0.25 and os.geteuid() == 0 and shutil.which("setpriv"):
        daemon.wrapper = no_overrides  # root that is refused like anybody else
    daemon.environment["PYTHONFAULTHANDLER"] = "1"  # SIGABRT shows where each thread stands
    at = daemon.state if kind == "state" else daemon.outbox
    return World(daemon, rng, Disk(kind, at, root / "behind"), keep=not daemon.archives)


def _throw(world: World, events: int, kill_weight: int, script: list[str]) -> None:
    add(world)
    world.daemon.ensure(ready=world.rng.random() < 0.7)
    # Until both folders were seen once, they may still be made: that is what a first start is for.
    world.daemon.wait(world.daemon.knows_its_folders, "the folders to be known", 60)
    choices = possible(world)
    names = list(choices)
    weights = [choices[name][0] * (kill_weight if name in KILLS else 1) for name in names]
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
    if any(row["reason"] in BLAME_FOR_ATTACKS for row in daemon.rows("state = 'failed'")):
        daemon.cli("retry", "--all")
        _finished(world)
    daemon.end()
    # What a kill left behind is swept at the next start; one more clean life shows that it is.
    daemon.ensure(ready=True)
    _finished(world)
    daemon.end()


def _finished(world: World) -> None:
    """Waits as long as something moves.

    Raises:
        OverdueError: photos are owed and nothing has moved for STILL_S, or LONGEST_S are over.
    """
    daemon = world.daemon
    daemon.send(signal.SIGUSR1)
    looked = time.monotonic()
    waited_s = still_s = 0.0
    before: object = None
    while daemon.alive() and (open_ones := owed(world)):
        # Time in which this very process stood still does not count.
        now = time.monotonic()
        step_s, looked = min(now - looked, 1.0), now
        waited_s, still_s = waited_s + step_s, still_s + step_s
        rows = [(r["id"], r["state"], r["attempts"], r["aftercare"], r["live"]) for r in daemon.rows()]
        standing = (rows, daemon.outputs())
        if standing != before:
            before, still_s = standing, 0.0
        if still_s > STILL_S or waited_s > LONGEST_S:
            raise OverdueError(_report(world, open_ones, waited_s, still_s))
        time.sleep(0.1)
    daemon.ensure(ready=True)


def _report(world: World, open_ones: list[str], waited_s: float, still_s: float) -> str:
    """Everything that tells why photos are still owed."""
    daemon = world.daemon
    files = sorted(str(path.relative_to(daemon.root)) for path in daemon.inbox.rglob("*"))
    lines = [
        f"{len(open_ones)} still open after {waited_s:.0f} s, nothing moved for {still_s:.0f} s:",
        *open_ones,
        f"disk {world.disk.kind}, archives {daemon.archives}, polled {daemon.polled}, load {os.getloadavg()}",
        "files: " + " ".join(files),
    ]
    try:
        lines.append(f"status: {daemon.status()}")
    except (AssertionError, ValueError, subprocess.SubprocessError) as error:
        lines.append(f"no status: {error}")
    lines += [
        "rows:",
        *(str({k: v for k, v in row.items() if v not in (None, "", 0)}) for row in daemon.rows()),
    ]
    lines += ["stacks:", daemon.where_it_stands()]
    return "\n  ".join(lines)


def owed(world: World) -> list[str]:
    """What is still to come, as sentences: rows in hand, and files in the inbox that no row knows as they are."""
    rows = world.daemon.rows()
    found = [
        f"row {row['id']} {row['path']!r} is {row['state']} (settled {row['settled']}, {row['reason']})"
        for row in rows
        if row["state"] in ("pending", "running", "delivering")
    ]
    found += [
        f"row {row['id']} {row['path']!r} is {row['state']}, its original is {row['aftercare']} ({row['detail']})"
        for row in rows
        if row["state"] in ("done", "failed") and row["aftercare"] in ("owed", "hidden")
    ]
    forgotten = world.daemon.fake_clock is not None and world.daemon.tombstones() > 0
    known = {row["path"]: row for row in rows if row["live"]}
    for name in world.frames:
        try:
            facts = os.lstat(world.path(name))
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(facts.st_mode):
            continue  # a neighbour's link or pipe has the name now: whatever the photo became, nothing more is owed
        row = known.get(os.fsencode(name))
        if row is None and forgotten:
            continue  # a clock that jumped two months ahead made a tombstone of it; its cutout still counts
        if row is None:
            found.append(f"the file {name!r} is not known")
        elif (row["size"], row["mtime_ns"], row["inode"]) != (facts.st_size, facts.st_mtime_ns, facts.st_ino):
            found.append(f"the file {name!r} is known as another one (row {row['id']})")
        elif row["reason"] in ("vanished", "no-permission", "not-a-regular-file"):
            found.append(f"the file {name!r} is there and readable, and row {row['id']} says {row['reason']}")
        elif not world.keep and row["state"] == "done":
            found.append(f"the file {name!r} is done (row {row['id']}) and not archived ({row['aftercare']})")
    return found
