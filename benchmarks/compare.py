"""`python -m benchmarks.compare REV`: this tree beside another commit's, interleaved in one run; prints ratios.

Both trees run on the same interpreter and dependencies, each with its own source. Above 1 means that this tree is
slower than REV; the least and greatest of the rounds say how much of that is the machine's mood.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import save, visible
from tests.support.daemon_process import Daemon

ROOT = Path(__file__).resolve().parent.parent
SEVERAL = 6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("rev", help="a commit, tag or branch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megapixels", type=int, default=24, choices=(2, 12, 24, 45))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    options = Options(rounds=arguments.rounds, sizes=(arguments.megapixels,))
    with tempfile.TemporaryDirectory(prefix="cutoutd-compare-") as folder, _checkout(arguments.rev) as other:
        trees = {"here": _environment(ROOT), "there": _environment(other)}
        results = _measured(trees, options, arguments.megapixels, Path(folder))
    shutil.rmtree(options.work, ignore_errors=True)
    ratios = {name: measure.ratios(one["here"], one["there"]) for name, one in results.items()}
    print(f"\n{'this tree / ' + arguments.rev:<34} {'median':>7} {'least':>7} {'greatest':>9} {'here':>10}")
    for name, found in ratios.items():
        here = measure.spread(results[name]["here"])["median"]
        print(
            f"{name:<34} {found['median']:7.3f} {found['least']:7.3f} {found['greatest']:9.3f} {here:8.3f} s"
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"rev": arguments.rev, "ratios": ratios, "seconds": results}, indent=1)
        )
    return 0


@contextmanager
def _checkout(rev: str) -> Generator[Path]:
    """The other commit's tree, in a worktree of its own that is taken away again."""
    with tempfile.TemporaryDirectory(prefix="cutoutd-rev-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), rev], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _environment(tree: Path) -> dict[str, str]:
    """What makes a program import cutoutd from this tree, checked.

    Raises:
        RuntimeError: another tree's is found first.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree / ".importroot")}
    command = [sys.executable, "-c", "import cutoutd.config.version as one; print(one.__file__)"]
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    if Path(found.strip()).resolve() != (tree / "config/version.py").resolve():
        raise RuntimeError(f"{found.strip()} is imported, not the one of {tree}")
    return environment


def _measured(
    trees: dict[str, dict[str, str]], options: Options, megapixels: int, folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Seconds of every round, per measure and tree."""
    photos = options.photos(megapixels, SEVERAL)
    program = [sys.executable, "-m", "cutoutd.service"]

    def timed(name: str, arguments: list[str]) -> Callable[[], float]:
        def go() -> float:
            out = folder / name
            shutil.rmtree(out, ignore_errors=True)
            command = [*program, *arguments] + (["-o", str(out)] if arguments[0] == "once" else [])
            return measure.run(command, environment=trees[name], memory=False).wall_s

        return go

    commands = {
        "--version": ["--version"],
        f"once, one of {megapixels} MP": ["once", str(photos[0])],
        f"once, {SEVERAL} of {megapixels} MP": ["once", *map(str, photos)],
    }
    results = {
        what: measure.interleaved({name: timed(name, arguments) for name in trees}, options.rounds)
        for what, arguments in commands.items()
    }
    return {**results, f"daemon, close to cutout, {megapixels} MP": _latency(trees, options, photos, folder)}


def _latency(
    trees: dict[str, dict[str, str]], options: Options, photos: list[Path], folder: Path
) -> dict[str, list[float]]:
    """Two idle daemons; each gets a frame in turn, and the other rests meanwhile. The first frame only warms up."""
    daemons = {
        name: Daemon(
            folder / f"daemon-{name}",
            environment={"PYTHONPATH": environment["PYTHONPATH"]},
            as_shipped=True,
        )
        for name, environment in trees.items()
    }
    for running in daemons.values():
        running.root.mkdir()
        running.start()
    numbers = dict.fromkeys(trees, 0)

    def frame(name: str) -> Callable[[], float]:
        def go() -> float:
            running, stem = daemons[name], f"frame-{numbers[name]:03}"
            # With its number behind it no frame is one that the daemon has seen before.
            data = photos[numbers[name] % len(photos)].read_bytes() + numbers[name].to_bytes(4)
            numbers[name] += 1
            closed = save(data, running.inbox / f"{stem}.jpg")
            return visible(running.outbox / f"{stem}.png") - closed

        return go

    try:
        found = measure.interleaved({name: frame(name) for name in trees}, 1 + 3 * options.rounds)
    finally:
        for running in daemons.values():
            running.stop()
    return {name: values[1:] for name, values in found.items()}


if __name__ == "__main__":
    sys.exit(main())
