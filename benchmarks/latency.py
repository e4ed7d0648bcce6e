"""Seconds from close(2) of an arriving photo to its finished cutout under its name; and where they go."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon, rested, save, stages, visible
from tests.support.daemon_process import Daemon

EVERY_S = 2.0
BURST = 20
_QUICK = 2  # photos of each kind that show the benchmark works


def run(options: Options) -> dict[str, Any]:
    """An idle daemon with the bundled network: single photos, then bursts."""
    running = rested(daemon(options.fresh("latency")).start())
    try:
        paced = _paced(options, running, _QUICK if options.quick else 12 * options.rounds)
        bursts = [_burst(options, running, number) for number in range(max(1, options.rounds // 2))]
    finally:
        running.stop()
    impatient = rested(daemon(options.fresh("latency-unsettled"), config="settle = 0.001").start())
    try:
        overhead = _overhead(options, impatient, _QUICK if options.quick else 8 * options.rounds)
    finally:
        impatient.stop()
    return {
        "megapixels": options.large,
        "every_s": EVERY_S,
        "paced": paced,
        "bursts": bursts,
        "overhead": overhead,
    }


def _paced(options: Options, running: Daemon, count: int) -> dict[str, Any]:
    """One photo per two seconds, each written in place; the first one only warms the caches."""
    latencies: list[float] = []
    found: list[dict[str, float]] = []
    for number, source in enumerate(options.photos(options.large, count + 1)):
        started = time.perf_counter()
        taken = _one(running, source.read_bytes(), f"paced-{number:04}")
        if number:
            latencies.append(taken)
            found.append(stages(running, f"paced-{number:04}.jpg"))
        (running.outbox / f"paced-{number:04}.png").unlink()
        every_s = 0.0 if options.quick else EVERY_S
        time.sleep(max(0.0, every_s - (time.perf_counter() - started)))
    print(f"  latency: median {measure.spread(latencies)['median']:.3f} s", flush=True)
    return {**_percentiles(latencies), "photos": count, "stages_s": _median_stages(found), "all_s": latencies}


def _one(running: Daemon, data: bytes, stem: str) -> float:
    closed = save(data, running.inbox / f"{stem}.jpg")
    return visible(running.outbox / f"{stem}.png") - closed


def _burst(options: Options, running: Daemon, number: int) -> dict[str, Any]:
    """Twenty frames at once, moved in from a folder beside the inbox; each frame's own time from its rename.

    Written into the inbox itself while the first are worked on, they would wait for a core or for the disk, and
    each would count from when it got there: the last of them as little as three fifths of what the burst took.
    """
    sources = options.photos(options.large, _QUICK if options.quick else BURST)
    card = running.inbox.parent / f"card-{number}"
    card.mkdir()
    names = [f"burst{number}-{frame:02}" for frame in range(len(sources))]
    for stem, source in zip(names, sources, strict=True):
        save(source.read_bytes(), card / f"{stem}.jpg")
    os.sync()
    closed: dict[str, float] = {}
    for stem in names:
        (card / f"{stem}.jpg").rename(running.inbox / f"{stem}.jpg")
        closed[stem] = time.perf_counter()
    waiting = dict(closed)
    latencies: list[float] = []
    until = time.perf_counter() + 300
    while waiting and time.perf_counter() < until:
        there = [stem for stem in waiting if (running.outbox / f"{stem}.png").exists()]
        latencies += [time.perf_counter() - waiting.pop(stem) for stem in there]
        time.sleep(0.002)
    if waiting:
        raise TimeoutError(f"{len(waiting)} frames of the burst were not cut out")
    found = [stages(running, f"{stem}.jpg") for stem in closed]
    for stem in closed:
        (running.outbox / f"{stem}.png").unlink()
    return {
        **_percentiles(latencies),
        "frames": len(sources),
        "first_s": min(latencies),
        "whole_s": max(latencies),
        "stages_s": _median_stages(found),
    }


def _overhead(options: Options, running: Daemon, count: int) -> dict[str, Any]:
    """What the daemon adds to the worker's own stages, with no settling: events, queue, ledger, publication."""
    added: list[float] = []
    found: list[dict[str, float]] = []
    for number, source in enumerate(options.photos(2, count + 1)):
        stem = f"quick-{number:04}"
        taken = _one(running, source.read_bytes(), stem)
        seen = stages(running, f"{stem}.jpg")
        if number:
            worked = sum(seconds for stage, seconds in seen.items() if stage not in ("queue", "deliver"))
            added.append((taken - worked) * 1000)
            found.append(seen)
    shutil.rmtree(running.outbox)
    running.outbox.mkdir()
    deliver = [seen["deliver"] * 1000 for seen in found]
    return {
        "added_ms": measure.spread(added),
        "of_it_publication_ms": measure.spread(deliver),
        "photos": count,
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    return {
        name: measure.percentile(values, share)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def _median_stages(found: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in found for name in one)
    return {name: measure.spread([one.get(name, 0.0) for one in found])["median"] for name in names}
