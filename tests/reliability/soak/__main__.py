"""`python -m tests.reliability.soak [--minutes 120]`: a real daemon under steady load; is all flat that should be?"""

# ruff: noqa: T201 - it is run by hand and prints its figures

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median

from tests.reliability.soak.plot import draw
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

SUBJECTS = ("astronaut", "chelsea", "coffee")
SIZES = ((320, 240), (800, 600), (1600, 1200), (3000, 2000))
# The first tenth of a run fills caches and pools; memory is judged after it.
WARM_UP_SHARE = 0.1
# Memory may grow by this much an hour and still be noise: Python's and the allocator's own.
FLAT_MB_PER_HOUR = 20.0


@dataclass
class Samples:
    """What was measured, each as (seconds since the start, value)."""

    daemon_mb: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    workers_mb: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    descriptors: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    owed: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    ledger_kb: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    latency_s: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two photos")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for soak.png")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    daemon = Daemon(root, tables='[history]\nkeep = "10m"\n', as_shipped=True)
    samples, missing = _run(daemon, options.minutes * 60, options.every)
    options.out.mkdir(parents=True, exist_ok=True)
    draw(
        options.out / "soak.png",
        {
            "latency, s": {"photo to cutout": samples.latency_s},
            "photos owed": {"owed": samples.owed},
            "resident memory, MB": {"daemon": samples.daemon_mb, "workers": samples.workers_mb},
            "open files of the daemon": {"descriptors": samples.descriptors},
            "ledger with its log, KB": {"ledger": samples.ledger_kb},
        },
    )
    shutil.rmtree(root, ignore_errors=True)
    return _report(samples, missing, options.out / "soak.png")


def _run(daemon: Daemon, seconds: float, every_s: float) -> tuple[Samples, int]:
    daemon.start()
    rng, samples, waiting = random.Random(1), Samples(), dict[str, float]()
    photos = [encoded(subject, size=size) for subject in SUBJECTS for size in SIZES]
    began = next_photo = next_sample = time.monotonic()
    number = 0
    # Every size at once, twice: both slots load their network and meet the largest photo before anything is judged.
    for photo in photos * 2:
        number += 1
        _drop(daemon, number, photo)
        waiting[f"{number:06d}"] = began
    while (now := time.monotonic()) < began + seconds or (waiting and now < began + seconds + 120):
        if now >= next_photo and now < began + seconds:
            next_photo += every_s
            number += 1
            _drop(daemon, number, rng.choice(photos))
            waiting[f"{number:06d}"] = time.monotonic()
        for name in [name for name in waiting if (daemon.outbox / f"{name}.png").exists()]:
            samples.latency_s.append((now - began, time.monotonic() - waiting.pop(name)))
            for old in (daemon.inbox / f"{name}.jpg", daemon.outbox / f"{name}.png"):
                if number % 3:  # most photographers clear up; the rest stays and is walked again and again
                    old.unlink(missing_ok=True)
        if now >= next_sample:
            next_sample = now + 2.0
            _sample(daemon, samples, now - began)
        time.sleep(0.02)
    code = daemon.stop()
    if code != 0:
        raise SystemExit(f"the daemon ended with {code}:\n{daemon.log.read_text()[-3000:]}")
    return samples, len(waiting)


def _drop(daemon: Daemon, number: int, photo: bytes) -> None:
    # Bytes behind the end of the JPEG make each photo another one to the ledger.
    (daemon.inbox / f"{number:06d}.jpg").write_bytes(photo + b"%08d" % number)


def _sample(daemon: Daemon, samples: Samples, at: float) -> None:
    assert daemon.process is not None
    pid = daemon.process.pid
    samples.daemon_mb.append((at, _rss_mb(pid)))
    samples.workers_mb.append((at, sum(_rss_mb(worker) for worker in daemon.workers())))
    samples.descriptors.append((at, len(os.listdir(f"/proc/{pid}/fd"))))
    samples.owed.append((at, len(daemon.rows("state IN ('pending', 'running', 'delivering')"))))
    samples.ledger_kb.append((at, sum(path.stat().st_size for path in daemon.state.glob("ledger*")) / 1024))


def _rss_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def _slope_per_hour(curve: list[tuple[float, float]]) -> float:
    settled = [point for point in curve if point[0] > curve[-1][0] * WARM_UP_SHARE]
    return linear_regression(*zip(*settled, strict=True)).slope * 3600


def _report(samples: Samples, missing: int, plot: Path) -> int:
    latencies = sorted(value for _, value in samples.latency_s)
    slopes = {"daemon": _slope_per_hour(samples.daemon_mb), "workers": _slope_per_hour(samples.workers_mb)}
    minutes = samples.owed[-1][0] / 60
    print(f"{len(latencies)} photos in {minutes:.1f} minutes, {missing} missing")
    print(f"latency: median {median(latencies):.2f} s, 95 % {latencies[int(len(latencies) * 0.95)]:.2f} s")
    for name, curve in (("daemon", samples.daemon_mb), ("workers", samples.workers_mb)):
        print(
            f"memory of {name}: median {median(v for _, v in curve):.0f} MB, {slopes[name]:+.1f} MB an hour"
        )
    files = [value for _, value in samples.descriptors]
    largest_kb = max(value for _, value in samples.ledger_kb)
    print(f"open files: {min(files):.0f} to {max(files):.0f}; ledger at most {largest_kb:.0f} KB")
    print(f"plot: {plot}")
    # Minutes are too short for a slope an hour: they show only that the soak itself works.
    flat = minutes < 30 or all(abs(slope) <= FLAT_MB_PER_HOUR for slope in slopes.values())
    return 0 if flat and missing == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
