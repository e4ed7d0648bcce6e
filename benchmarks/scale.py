"""A thousand, ten thousand, a hundred thousand photos waiting: what the daemon's look at them costs, and its memory."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon
from tests.support.daemon_process import Daemon

from cutoutd.daemon.dispatch.scheduler import Budget, Scheduler
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import Delivery
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions

OWED = (1_000, 10_000, 100_000)
_PER_FOLDER = 1000
_SIZES = 10_007
# Files younger than this are watched until they settle; older ones are known to be complete
# (daemon/watching/arrivals.py).
_OLD_ENOUGH_S = 11.0
_PASSES = 50


def run(options: Options) -> dict[str, Any]:
    """Each number of files in a fresh inbox of a paused daemon, so that all of them stay owed."""
    return {"runs": [_owed(options, count) for count in ((0, 20) if options.quick else (0, *OWED))]}


def _owed(options: Options, count: int) -> dict[str, Any]:
    running = daemon(options.fresh("scale"))
    running.start()
    running.cli("pause")
    running.stop()
    fill(running.inbox, count)
    if count and not options.quick:
        time.sleep(_OLD_ENOUGH_S)
    started = time.perf_counter()
    running.start(ready=False)
    assert running.process is not None  # noqa: S101 - it was just started
    pid = running.process.pid
    with measure.PssSampler(pid) as sampler:
        running.wait(lambda: _rows(running) >= count, "all rows", 600)
        known_s = time.perf_counter() - started
        running.wait(lambda: running.said("ready"), "the daemon to be ready", 120)
        scan_cpu_s = _own_cpu_s(pid)
    result: dict[str, Any] = {
        "owed": count,
        "known_after_s": known_s,
        "supervisor_cpu_s": scan_cpu_s,
        "supervisor_resident_mb": measure.resident(pid) / 1e6,
        "tree_pss_peak_mb": sampler.peak / 1e6,
    }
    running.stop()
    if count:
        result |= _ledger(running, count)
    print(
        f"  scale: {count} owed: known after {known_s:.1f} s, {result['supervisor_resident_mb']:.0f} MB",
        flush=True,
    )
    shutil.rmtree(running.root)
    return result


def fill(inbox: Path, count: int) -> None:
    """Small real JPEGs in folders of a thousand; contents and sizes differ, as those of frames do."""
    from benchmarks.photos import base, cache_folder, with_exif

    jpeg = base(cache_folder() / "photos", "coffee", 2)[:4096]  # never opened: the daemon is paused
    for number in range(count):
        folder = inbox / f"{number // _PER_FOLDER:04}"
        if number % _PER_FOLDER == 0:
            folder.mkdir()
        # Of those that are in hand at once, any of one size would be looked at as the same photo, renamed.
        more = bytes(number * 7919 % _SIZES)
        (folder / f"DSC_{number:06}.jpg").write_bytes(with_exif(jpeg, number) + more)


def _rows(running: Daemon) -> int:
    path = running.state / "ledger.sqlite"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
        (count,) = db.execute("SELECT count(*) FROM photos WHERE state = 'pending'").fetchone()
    db.close()
    return int(count)


def _own_cpu_s(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")


def _ledger(running: Daemon, count: int) -> dict[str, Any]:
    """Milliseconds of ledger work for one photo with so many waiting: chosen, started, delivering, done."""
    ledger = Ledger(running.state / "ledger.sqlite")
    backlog, outcomes = Scheduler(ledger), Transitions(ledger, {})
    inbox, outbox = os.fsencode(running.inbox), os.fsencode(running.outbox)
    backlog.configure({inbox: (1, False)})
    choosing: list[float] = []
    rest: list[float] = []
    for number in range(min(_PASSES, count // 2)):
        begun = time.perf_counter()
        picked = backlog.next(Budget(32, 400), now=time.time())
        chosen = time.perf_counter()
        assert picked is not None  # noqa: S101 - thousands wait
        row, _ = picked
        outcomes.started(row.id, "cutout-s")
        ledger.commit()
        name = f"{number}.png"
        outcomes.delivering(row, "0" * 64, [Delivery("", outbox, name.encode(), name, "0" * 64, 1, b"/t")])
        outcomes.delivered(row, timings={"decode": 0.1}, aftercare=Aftercare.NONE, next_stage=None)
        ledger.commit()
        choosing.append((chosen - begun) * 1000)
        rest.append((time.perf_counter() - chosen) * 1000)
    ledger.close()
    return {"choosing_ms": measure.spread(choosing), "recording_ms": measure.spread(rest)}
