"""Processor time of each stage of one photo, on one thread: what a busy machine can still measure, and a burst costs.

`python -m benchmarks.stages` prints the least of several rounds, averaged over the pictures; with `PYTHONPATH` set to
`.importroot` of another checkout it measures that one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

# Before NumPy is imported, as in the workers (daemon/workers/process.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.photos import PICTURES, cache_folder, frames

from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers.memory import keep_freed_memory
from cutoutd.models.cutout import Stopwatch, cut_out
from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.segmenter import Segmenter

# What is ordered: the default, and a night's work (benchmarks/overnight.py).
DELIVERABLES = {
    "a PNG of its size": (Deliverable(),),
    "a 2,000-pixel JPEG on white and a 400-pixel WebP": (
        Deliverable(format="jpeg", background="white", max_size=2000, label="white"),
        Deliverable(format="webp", max_size=400, label="small"),
    ),
}


def stages(megapixels: int, deliverables: tuple[Deliverable, ...], rounds: int) -> dict[str, float]:
    """Processor milliseconds per stage of `cut_out`, and `all`."""
    with tempfile.TemporaryDirectory() as folder:
        segmenter = Segmenter(resolve("standard", Path(folder), "normal"), threads=1)
    pictures = [one.read_bytes() for one in frames(cache_folder() / "photos", megapixels, len(PICTURES))]
    total: dict[str, float] = {}
    for data in pictures:
        least: dict[str, float] = {}
        for _ in range(rounds):
            watch, started = Stopwatch(time.process_time), time.process_time()
            cut_out(data, deliverables, segmenter=segmenter, lone=False, watch=watch)
            watch.seconds["all"] = time.process_time() - started
            for name, seconds in watch.seconds.items():
                least[name] = min(least.get(name, seconds), seconds)
        for name, seconds in least.items():
            total[name] = total.get(name, 0.0) + seconds * 1000 / len(pictures)
    return total


def main() -> None:
    """Prints one line per order."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stages", description="Measure processor time."
    )
    parser.add_argument("--megapixels", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    keep_freed_memory()
    for name, deliverables in DELIVERABLES.items():
        found = stages(arguments.megapixels, deliverables, arguments.rounds)
        print(f"{name}: " + ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in found.items()), flush=True)


if __name__ == "__main__":
    main()
