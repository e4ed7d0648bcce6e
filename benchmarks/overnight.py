"""A long run of two small deliverables each: photos per second, processor time, and whether memory stays flat.

A running, warm daemon makes a 2,000-pixel JPEG on white and a 400-pixel WebP of each photo, as a shop's night does.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon, rested
from tests.support.daemon_process import Daemon

DELIVERABLES = """
[[inbox.deliver]]
format = "jpeg"
background = "white"
max_size = 2000
label = "white"
[[inbox.deliver]]
format = "webp"
max_size = 400
label = "small"
"""
# Memory is compared between the first and the last of so many equal parts of the run.
_PARTS = 5
_LOOK_S = 0.2
# Reading what all processes hold takes one of them milliseconds of each worker's time: it is done this seldom.
_MEMORY_EVERY_S = 2.0


def run(options: Options) -> dict[str, Any]:
    """One run; several would take the night."""
    megapixels, count = (2, 3) if options.quick else (12, options.overnight)
    running = rested(daemon(options.fresh("overnight"), tables=DELIVERABLES).start())
    try:
        return {"megapixels": megapixels, "photos": count, **_through(running, options, megapixels, count)}
    finally:
        running.stop()


def _through(running: Daemon, options: Options, megapixels: int, count: int) -> dict[str, Any]:
    assert running.process is not None  # noqa: S101 - it was just started
    pid = running.process.pid
    staged = options.fresh("overnight-staged")
    for photo in options.photos(megapixels, count):
        shutil.copyfile(photo, staged / photo.name)
    before, started = measure.tree_cpu_s(pid), time.perf_counter()
    for photo in sorted(staged.iterdir()):
        photo.rename(running.inbox / photo.name)
    memory: list[tuple[int, float]] = []
    until, next_look = started + 60 + 20 * count, started
    while (done := len(running.outputs())) < 2 * count:
        if time.perf_counter() >= next_look:
            memory.append((done, measure.tree_pss(pid) / 1e6))
            next_look += _MEMORY_EVERY_S
        if time.perf_counter() > until:
            raise TimeoutError(f"{done} of {2 * count} files came in time")
        time.sleep(_LOOK_S)
    wall_s = time.perf_counter() - started
    parts = [
        max((mb for done, mb in memory if done * _PARTS // (2 * count) == part), default=0.0)
        for part in range(_PARTS)
    ]
    return {
        "wall_s": wall_s,
        "photos_per_s": count / wall_s,
        "cpu_s_per_photo": (measure.tree_cpu_s(pid) - before) / count,
        "peak_pss_mb_by_part": parts,
    }
