"""What a fleet costs: a node's slot beside a local one, how many photos a second a head can give out, how it grows.

Head, relay and scheduler are real processes over TLS. A real node shows what its slot adds; how much the head bears is
measured with stand-ins (`standins.py`), for two cores hold no 64 machines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon, save, stages, visible
from benchmarks.scale import fill
from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon
from tests.support.fleet import Fleet
from tests.support.warm import Forked

OWED = 100_000
# Nodes, slots of each, seconds that a photo takes there, and for how long it is watched.
GROWTH = ((1, 1, 0.5, 30.0), (4, 1, 0.5, 30.0), (16, 1, 0.5, 30.0), (64, 1, 0.5, 60.0))
CEILING = ((64, 4, 0.5, 60.0), (64, 4, 0.0, 120.0))
QUICK = ((1, 1, 0.05, 1.0), (3, 2, 0.0, 1.0))
# Until a new set of nodes has the pace that it keeps.
_SETTLING_S = 5.0
_SAMPLE_EVERY_S = 1.0
_UNSETTLED = "settle = 0.001"


def run(options: Options) -> dict[str, Any]:
    """A slot's price, then the head's ceiling."""
    return {
        "slot": _slot(options, 2 if options.quick else 10, 1 if options.quick else options.rounds),
        **_head(options),
    }


# --- one slot


def _slot(options: Options, count: int, rounds: int) -> dict[str, Any]:
    """Single photos, one after the other, to a daemon with one worker and to a head whose only slot is a node's."""
    inbox = f'quality = "fast"\n{_UNSETTLED}'
    alone = daemon(options.fresh("alone"), config=inbox, tables="[engine]\nworkers = 1")
    fleet = Fleet(options.fresh("fleet"), local=False, config=inbox)
    fleet.head.anew = True  # as the other is
    try:
        alone.start()
        fleet.start("anna")
        photos = [path.read_bytes() for path in options.photos(2, count)]
        for running in (alone, fleet.head):
            _added(running, photos[0], "warm")
        added: dict[str, list[float]] = {"local": [], "node": []}
        cpu_ms = dict.fromkeys(added, 0.0)
        trees = {
            "local": _pids_of(alone.process),
            "node": _pids_of(fleet.head.process, fleet.scheduler, *fleet.nodes.values()),
        }
        for number in range(rounds):
            for index, data in enumerate(photos):
                for name, running in (("local", alone), ("node", fleet.head)):
                    before = sum(map(measure.tree_cpu_s, trees[name]))
                    added[name].append(_added(running, data, f"{number}-{index}"))
                    cpu_ms[name] += 1000 * (sum(map(measure.tree_cpu_s, trees[name])) - before)
    finally:
        alone.kill()
        fleet.stop()
    more = [node - local for node, local in zip(added["node"], added["local"], strict=True)]
    print(f"  fleet: a node's slot adds {measure.spread(more)['median']:.1f} ms", flush=True)
    return {
        "photos": len(more),
        "local_ms": measure.spread(added["local"]),
        "node_ms": measure.spread(added["node"]),
        "more_ms": measure.spread(more),
        "cpu_ms": {name: whole / len(more) for name, whole in cpu_ms.items()},
    }


def _pids_of(*processes: subprocess.Popen[bytes] | Forked | None) -> list[int]:
    return [one.pid for one in processes if one is not None]


def _added(running: Daemon, data: bytes, stem: str) -> float:
    """Milliseconds from close(2) to the cutout, less what the worker took."""
    out = running.outbox / f"{stem}.png"
    closed = save(data, running.inbox / f"{stem}.jpg")
    taken = visible(out) - closed
    seen = stages(running, f"{stem}.jpg")
    out.unlink()
    worked = sum(seconds for stage, seconds in seen.items() if stage not in ("queue", "deliver"))
    return (taken - worked) * 1000


# --- many slots


@dataclass(frozen=True, slots=True)
class _Processes:
    """Who works, by the names used in results."""

    pids: dict[str, int]

    def cpu_s(self) -> dict[str, float]:
        return {name: _own_cpu_s(pid) for name, pid in self.pids.items()}

    def resident_mb(self) -> dict[str, float]:
        return {name: measure.resident(pid) / 1e6 for name, pid in self.pids.items()}


def _own_cpu_s(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")


def _head(options: Options) -> dict[str, Any]:
    """One head with everything owed from the start; one set of stand-ins after the other works for it."""
    fleet = Fleet(options.fresh("head"), local=False)
    fleet.head.anew = True
    owed = 400 if options.quick else OWED
    try:
        fleet.init("standin")
        fleet.start_scheduler()
        fill(fleet.head.inbox, owed)
        fleet.head.start()
        while _count(fleet.head, "pending") < owed:
            time.sleep(0.1 if options.quick else _SAMPLE_EVERY_S)  # a look counts rows: no more than needed
        rows = QUICK if options.quick else (*GROWTH, *CEILING)
        runs = [_stand_ins(options, fleet, *row) for row in rows]
        fleet.head.stop()
    finally:
        fleet.stop()
    shutil.rmtree(fleet.root)
    return {"owed": owed, "runs": runs}


def _stand_ins(
    options: Options, fleet: Fleet, nodes: int, slots: int, job_s: float, window_s: float
) -> dict[str, Any]:
    """How many photos a second so many nodes get done, and what it costs each process."""
    with _joined(fleet, nodes, slots, job_s) as pid:
        fleet.head.wait(lambda: _ready(fleet) == nodes, "all nodes to be ready", 120)
        time.sleep(0.0 if options.quick else _SETTLING_S)
        who = _Processes(_pids(fleet, pid))
        before, done, started = who.cpu_s(), _count(fleet.head, "done"), time.perf_counter()
        memory = [who.resident_mb()]
        while (taken := time.perf_counter() - started) < window_s and _count(fleet.head, "pending"):
            time.sleep(min(_SAMPLE_EVERY_S, window_s - taken))
            memory.append(who.resident_mb())
        photos, wall_s = _count(fleet.head, "done") - done, time.perf_counter() - started
        cpu_s = {name: after - before[name] for name, after in who.cpu_s().items()}
    result: dict[str, Any] = {
        "nodes": nodes,
        "slots": slots,
        "job_s": job_s,
        "window_s": wall_s,
        "photos": photos,
        "photos_per_s": photos / wall_s,
        "cpu_ms_per_photo": {name: 1000 * one / max(1, photos) for name, one in cpu_s.items()},
        "resident_mb": {name: [memory[0][name], memory[-1][name]] for name in cpu_s},
    }
    costs = ", ".join(f"{name} {ms:.1f}" for name, ms in result["cpu_ms_per_photo"].items())
    print(
        f"  fleet: {nodes} x {slots} slots, {job_s * 1000:.0f} ms: {result['photos_per_s']:.1f} photos/s; ms: {costs}",
        flush=True,
    )
    return result


@contextlib.contextmanager
def _joined(fleet: Fleet, nodes: int, slots: int, job_s: float) -> Generator[int]:
    folder = fleet.certificates / "nodes" / "standin"
    command = [sys.executable, "-m", "benchmarks.standins", str(folder), str(nodes), str(slots), str(job_s)]
    with (
        fleet.log("standins").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()
    wait_until(lambda: not _ready(fleet) and not _count(fleet.head, "running"), "the nodes to be gone", 60)


def _ready(fleet: Fleet) -> int:
    # Not by their names: all have one certificate.
    return sum(one["state"] == "ready" for one in fleet.status().get("nodes", ()))


def _pids(fleet: Fleet, stand_ins: int) -> dict[str, int]:
    head, scheduler = fleet.head.process, fleet.scheduler
    assert head is not None  # noqa: S101 - it was just started
    assert scheduler is not None  # noqa: S101 - likewise
    (keeper,) = fleet.head.workers()
    relay = int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text(encoding="ascii").split()[0])
    return {
        "head": head.pid,
        "keeper": keeper,
        "relay": relay,
        "scheduler": scheduler.pid,
        "stand-ins": stand_ins,
    }


def _count(running: Daemon, state: str) -> int:
    path = running.state / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        (count,) = db.execute("SELECT count(*) FROM photos WHERE state = ?", (state,)).fetchone()
    return int(count)
