"""A tethered burst with `draft_then_final`: when each draft and each final lies in the outbox; the daemon killed once.

    python -m benchmarks.draft_final [--model isnet-imgly] [--frames 6] [--every 0.5] [--kill]

The model must be installed (`cutoutd models pull isnet-imgly`). Prints Markdown for docs/MODELS.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon, save
from tests.support.daemon_process import Daemon

from cutoutd.config.places import models_dir

# How often the outbox and the ledger are looked at; both stages take seconds.
LOOK_EVERY_S = 0.01
PATIENCE_S = 900.0


@dataclass(slots=True)
class Frame:
    """One photo of the burst: when it was closed, and when its draft and its final lay in the outbox."""

    closed: float
    draft: float = 0.0
    final: float = 0.0
    inodes: list[int] = field(default_factory=list[int])


def watch(running: Daemon, frames: dict[str, Frame]) -> None:
    """Notes every file that appears under a cutout's name: the first is the draft, the last the final."""
    for stem, frame in list(frames.items()):
        try:
            inode = (running.outbox / f"{stem}.png").stat().st_ino
        except FileNotFoundError:
            continue
        if inode in frame.inodes:
            continue
        frame.inodes.append(inode)
        now = time.perf_counter()
        if len(frame.inodes) == 1:
            frame.draft = now
        frame.final = now


def recorded(running: Daemon) -> dict[str, list[str]]:
    """Per stage the state of every deliverable, as the ledger has it."""
    with sqlite3.connect(f"file:{running.state / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10) as db:
        rows = db.execute("SELECT stage, state FROM deliverables ORDER BY id").fetchall()
    db.close()
    found: dict[str, list[str]] = {}
    for stage, state in rows:
        found.setdefault(stage, []).append(state)
    return found


@dataclass(slots=True)
class Burst:
    """All frames, and the processor seconds spent until the last draft and from then to the last final."""

    frames: dict[str, Frame] = field(default_factory=dict[str, Frame])
    draft_cpu_s: float = 0.0
    final_cpu_s: float = 0.0


def burst(running: Daemon, photos: list[Path], every_s: float, *, kill: bool) -> Burst:
    """Saves the photos as a camera does and follows them until the last final is recorded."""
    seen = Burst()
    frames = seen.frames
    spent = cpu_s(running)

    def shoot() -> None:
        for number, photo in enumerate(photos):
            stem = f"frame-{number:02}"
            frames[stem] = Frame(save(photo.read_bytes(), running.inbox / f"{stem}.jpg"))
            time.sleep(every_s)

    camera = threading.Thread(target=shoot)
    camera.start()
    killed = not kill
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        watch(running, frames)
        if not seen.draft_cpu_s and sum(bool(frame.inodes) for frame in frames.values()) == len(photos):
            seen.draft_cpu_s = cpu_s(running) - spent
            spent += seen.draft_cpu_s
        if not killed and sum(len(frame.inodes) > 1 for frame in frames.values()) == len(photos) // 2:
            running.kill()
            killed = True
            running.start()
        if not camera.is_alive() and len(running.rows("state = 'done'")) == len(photos):
            watch(running, frames)
            seen.final_cpu_s = cpu_s(running) - spent
            return seen
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError("not every final came")


def cpu_s(running: Daemon) -> float:
    """Processor seconds of the daemon and its workers so far."""
    assert running.process is not None  # noqa: S101 - it was started
    return measure.tree_cpu_s(running.process.pid)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draft_final", description=__doc__)
    parser.add_argument("--model", default="isnet-imgly")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--megapixels", type=int, default=24)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between frames")
    parser.add_argument("--kill", action="store_true", help="kill -9 the daemon after half of the finals")
    arguments = parser.parse_args()
    options = Options()
    photos = options.photos(arguments.megapixels, arguments.frames)
    running = daemon(
        options.fresh("draft-final"),
        config=f'quality = "{arguments.model}"\ndraft_then_final = true',
        models=models_dir(),
    ).start()
    assert running.process is not None  # noqa: S101 - it was just started
    sampler = measure.PssSampler(os.getpid())  # the daemon and its workers are this process's children
    own = measure.tree_pss(os.getpid()) - measure.tree_pss(running.process.pid)
    try:
        with sampler:
            seen = burst(running, photos, arguments.every, kill=arguments.kill)
        cutouts, found = running.outputs(), recorded(running)
    finally:
        running.stop()
        shutil.rmtree(options.work, ignore_errors=True)
    frames = seen.frames
    drafts = [frame.draft - frame.closed for frame in frames.values()]
    finals = [frame.final - frame.closed for frame in frames.values()]
    print(f"{len(frames)} frames of {arguments.megapixels} megapixels, one every {arguments.every:g} s;")
    print(f"load average {os.getloadavg()[0]:.1f}; killed: {'once' if arguments.kill else 'no'}\n")
    print("| s after its close | median | first | last |\n|---|---|---|---|")
    for label, values in (("draft", drafts), ("final", finals)):
        print(f"| {label} | {measure.spread(values)['median']:.1f} | {min(values):.1f} | {max(values):.1f} |")
    print(
        f"\ncutouts: {len(cutouts)}; peak memory of daemon and workers: {(sampler.peak - own) / 1e6:.0f} MB"
    )
    if not arguments.kill:
        each = [seconds / len(frames) for seconds in (seen.draft_cpu_s, seen.final_cpu_s)]
        print(f"processor seconds a frame: {each[0]:.1f} for the draft, {each[1]:.1f} for the final")
    for stage, states in found.items():
        print(f"ledger: {stage}: {', '.join(f'{states.count(s)} {s}' for s in dict.fromkeys(states))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
