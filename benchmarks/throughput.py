"""Photos per second and peak memory beside rembg: same photos, same ONNX file, taken in turns.

Whole processes are timed, from their start to their end, loading included. The daemon is running and warm, as
it is in use; its time is from the first photo's arrival to the last cutout's name.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import measure, rival
from benchmarks.measure import Cost
from benchmarks.options import Options
from benchmarks.running import daemon, rested

RIVAL = "rembg"
# name → model, worker processes (0: as many as it chooses)
ONCE: dict[str, tuple[str, int]] = {
    "once": ("u2netp", 0),
    "once, 1 worker": ("u2netp", 1),
    "once, bundled": ("", 0),
}
DAEMONS = {"daemon": "u2netp", "daemon, bundled": ""}


def run(options: Options) -> dict[str, Any]:
    """Every size with every count; fewer rounds where a run takes minutes."""
    results: list[dict[str, Any]] = []
    for megapixels in options.sizes:
        for count in options.counts:
            print(f"throughput: {count} photos of {megapixels} megapixels", flush=True)
            rounds = options.rounds if count * megapixels <= 100 else max(1, options.rounds // 2)
            results.append(compare(options, megapixels, count, rounds if count < 100 else 1))
    return {"rival": f"rembg {rival.VERSION}", "network": "u2netp", "runs": results}


def compare(options: Options, megapixels: int, count: int, rounds: int) -> dict[str, Any]:
    """One size and count, all contestants in turns."""
    inbox = options.fresh("throughput-in")
    for path in options.photos(megapixels, count):
        os.link(path, inbox / path.name)
    contestants: dict[str, Callable[[], Cost]] = {RIVAL: lambda: _rembg(options, inbox, count)}
    for name, (model, workers) in ONCE.items():
        contestants[name] = lambda model=model, workers=workers: _once(options, inbox, model, workers, count)
    with_daemons = {
        name: daemon(
            options.fresh(f"throughput-{model or 'bundled'}"),
            config=_inbox(model),
            models=rival.models_folder(),
        )
        for name, model in DAEMONS.items()
    }
    for name, running in with_daemons.items():
        contestants[name] = lambda running=running: _daemon(running, inbox)
    costs: dict[str, list[Cost]] = measure.interleaved(contestants, rounds)
    walls = {name: [cost.wall_s for cost in found] for name, found in costs.items()}
    return {
        "megapixels": megapixels,
        "photos": count,
        "rounds": rounds,
        "wall_s": {name: measure.spread(found) for name, found in walls.items()},
        "cpu_s": {name: measure.spread([c.cpu_s for c in found]) for name, found in costs.items()},
        "peak_pss_mb": {
            name: measure.spread([c.peak_pss / 1e6 for c in found]) for name, found in costs.items()
        },
        "speed_ratio": {
            name: measure.ratios(walls[RIVAL], found) for name, found in walls.items() if name != RIVAL
        },
        "memory_ratio": {
            name: measure.ratios([c.peak_pss for c in found], [c.peak_pss for c in costs[RIVAL]])
            for name, found in costs.items()
            if name != RIVAL
        },
    }


def _inbox(model: str) -> str:
    return f'model = "{model}"' if model else ""


def _rembg(options: Options, inbox: Path, count: int) -> Cost:
    out = options.fresh("throughput-out") / "rembg"
    cost = measure.run(rival.folder_command(inbox, out), environment=rival.environment())
    _expect(out, count)
    return cost


def _once(options: Options, inbox: Path, model: str, workers: int, count: int) -> Cost:
    out = options.fresh("throughput-out") / "cutoutd"
    command = [sys.executable, "-m", "cutoutd.service", "once", str(inbox), "-o", str(out)]
    command += ["--model", model] if model else []
    command += ["--workers", str(workers)] if workers else []
    # Exit code 3: some photo shows no subject to this network; `_expect` counts.
    environment = {**os.environ, "CUTOUTD_MODELS_DIR": str(rival.models_folder())}
    cost = measure.run(command, environment=environment, codes=(0, 3))
    _expect(out, count)
    return cost


def _daemon(running: Any, inbox: Path) -> Cost:
    """A warm daemon; photos arrive by rename, all at once. Started and stopped outside the time."""
    rested(running.start())
    assert running.process is not None  # noqa: S101 - it was just started
    pid = running.process.pid
    photos = sorted(inbox.iterdir())
    staged = running.root / "staged"
    staged.mkdir(exist_ok=True)
    for photo in photos:
        shutil.copyfile(photo, staged / photo.name)
    before = measure.tree_cpu_s(pid)
    with measure.PssSampler(pid) as sampler:
        started = time.perf_counter()
        for photo in photos:
            (staged / photo.name).rename(running.inbox / photo.name)
        wanted = {f"{photo.stem}.png" for photo in photos}
        running.wait(lambda: wanted <= set(running.outputs()), "all cutouts", 60 + 20 * len(photos))
        wall_s = time.perf_counter() - started
    cpu_s = measure.tree_cpu_s(pid) - before
    running.stop()
    for folder in (running.inbox, running.outbox, running.state):
        shutil.rmtree(folder)
    return Cost(wall_s, cpu_s, sampler.peak)


def _expect(out: Path, count: int) -> None:
    found = len(list(out.glob("*.png")))
    if found != count:
        raise RuntimeError(f"{out} holds {found} cutouts, {count} were expected")
