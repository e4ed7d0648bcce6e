"""A network tried or measured in one sandboxed worker that ends afterwards: no photo is near, and no file is trusted.

An ONNX file that somebody was handed is as hostile as a photo: what parses it must not be this process.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Task
from cutoutd.daemon.workers.message_rules import Range, Text, printed
from cutoutd.daemon.workers.pool import WorkerSetup
from cutoutd.daemon.workers.process import WorkerFaultError
from cutoutd.models.networks.accelerators import expected, opened
from cutoutd.models.networks.bench import PHOTO_SHAPE, Figures
from cutoutd.models.networks.catalog import ModelSpec

# The largest network takes a minute to load and seconds per look; a slow machine gets ten times that.
TRIAL_LIMIT_S: Final = 1800.0
# Beside the network itself: a 24-megapixel photo and what the engine keeps while it loads.
_MEMORY_BYTES: Final = 8_000_000_000

_Sentence = Annotated[str, Text(LONGEST_SENTENCE)]
_Figure = Annotated[float, Range(-1e9, 1e9)]


class Trial(Struct, frozen=True):
    """What to try: a network, and how."""

    spec: ModelSpec
    providers: tuple[str, ...] | str
    threads: int
    runs: int
    cache_dir: Path | None
    shape: tuple[int, int]


class Verdict(Struct, frozen=True):
    """Why a network does not fit, or nothing; `of_the_model` is False where the engine is at fault."""

    problem: _Sentence
    fix: _Sentence
    of_the_model: bool = True


class Measured(Struct, frozen=True):
    """`bench.Figures` as they travel."""

    provider: Annotated[str, Text(40)]
    load_ms: _Figure
    first_ms: _Figure
    photo_ms: _Figure
    cpu_ms: _Figure
    resting_mb: _Figure
    peak_mb: _Figure


def probe(spec: ModelSpec, *, threads: int = 1) -> None:
    """`models.networks.probe.probe` in a sandboxed worker.

    Raises:
        ModelError: with the reason why it does not fit.
        EngineError: no worker can start, or it died.
    """
    verdict = run_alone(Task(try_network), Trial(spec, ("cpu",), threads, 0, None, PHOTO_SHAPE))
    if verdict.problem:
        raise ModelError(verdict.problem, spec.path, verdict.fix)


def measure(
    spec: ModelSpec,
    *,
    providers: tuple[str, ...] | str = "auto",
    threads: int,
    runs: int = 5,
    cache_dir: Path | None = None,
    shape: tuple[int, int] = PHOTO_SHAPE,
) -> Figures:
    """`models.networks.bench.measure` in a sandboxed worker; arguments as there.

    Raises:
        ModelError, EngineError: as there; EngineError too when the process dies.
    """
    wanted = providers if isinstance(providers, str) else tuple(providers)
    measured = run_alone(Task(measure_network), Trial(spec, wanted, threads, runs, cache_dir, shape))
    if isinstance(measured, Verdict):
        if measured.of_the_model:
            raise ModelError(measured.problem, spec.path, measured.fix)
        raise EngineError(measured.problem, fix=measured.fix)
    return Figures(
        spec.name, measured.provider, threads, measured.load_ms, measured.first_ms, measured.photo_ms,
        measured.cpu_ms, measured.resting_mb, measured.peak_mb,
    )  # fmt: skip


def prepare(spec: ModelSpec, provider: str, threads: int, folder: Path) -> None:
    """`models.networks.providers.prepare` in a sandboxed worker, which may write in this folder and no other.

    Raises:
        ModelError, EngineError: as there; EngineError too when the process dies.
    """
    trial = Trial(spec, (provider,), threads, 0, folder, PHOTO_SHAPE)
    verdict = run_alone(Task(prepare_network), trial, write=(folder,))
    if verdict.problem:
        error = ModelError if verdict.of_the_model else EngineError
        raise error(verdict.problem, spec.path, verdict.fix)


def run_alone(task: Task[Trial, Any], trial: Trial, *, write: tuple[Path, ...] = ()) -> Any:
    """The task's answer, from a worker of its own that may write in `write`; raises as `probe` and `measure` do."""
    spec = trial.spec
    machine = opened(expected(trial.providers if trial.providers == "auto" else tuple(trial.providers)))
    path = None if spec.path is None else Path(os.path.abspath(spec.path))
    size = path.stat().st_size if path is not None and path.exists() else 0
    reads = [one for one in (path, trial.cache_dir) if one is not None]
    events: SimpleQueue[pool.Event] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="cutoutd-trial-") as scratch:
        setup = WorkerSetup(
            lock_path=Path(scratch) / "workers.lock",
            read_paths=(*reads, *machine.reads),
            write_paths=write,
            memory_limit_bytes=_MEMORY_BYTES + 3 * size,
            warm_up=Task(nothing),
            threads=trial.threads,
            devices=machine.devices,
            unconfined=machine.unconfined,
            driver=machine.driver,
        )
        workers = pool.Workers([setup], post=events.put)
        workers.start()
        try:
            started = events.get()
            if isinstance(started, pool.SlotFailed):
                raise EngineError(f"No worker can start ({started.error})", fix="Run `cutoutd doctor`.")
            workers.submit(1, task, replace(trial, spec=replace(spec, path=path)), limit_s=TRIAL_LIMIT_S)
            ended = events.get()
        finally:
            workers.stop(now=True)
    match ended:
        case pool.Finished():
            return ended.result
        case pool.Failed():
            fix = ended.error.fix if isinstance(ended.error, WorkerFaultError) else ""
            raise ModelError(str(getattr(ended.error, "what", ended.error)), fix=fix) from ended.error
        case _:
            raise EngineError(
                f"The process that tried the model {spec.name!r} died ({getattr(ended, 'detail', '')})",
                fix="Close other programs, or choose a smaller model.",
            )


# --- inside the worker


def nothing(_context: None) -> None:
    """There is nothing to warm up."""


def try_network(trial: Trial) -> Verdict:
    """Loads the network and runs a made-up picture through it."""
    from cutoutd.models.networks.probe import probe as probe_here

    try:
        probe_here(trial.spec, threads=trial.threads)
    except ModelError as error:
        return Verdict(printed(error.what, LONGEST_SENTENCE), printed(error.fix, LONGEST_SENTENCE))
    return Verdict("", "")


def measure_network(trial: Trial) -> Measured | Verdict:
    """Loads the network and cuts a made-up photo out, with a watch in hand."""
    from cutoutd.models.networks.bench import measure as measure_here

    try:
        figures = measure_here(
            trial.spec,
            providers=trial.providers if trial.providers == "auto" else tuple(trial.providers),
            threads=trial.threads,
            runs=trial.runs,
            cache_dir=trial.cache_dir,
            shape=trial.shape,
        )
    except (ModelError, EngineError) as error:
        of_the_model = isinstance(error, ModelError)
        return Verdict(
            printed(error.what, LONGEST_SENTENCE), printed(error.fix, LONGEST_SENTENCE), of_the_model
        )
    return Measured(
        figures.provider, figures.load_ms, figures.first_ms, figures.photo_ms, figures.cpu_ms,
        figures.resting_mb, figures.peak_mb,
    )  # fmt: skip


def prepare_network(trial: Trial) -> Verdict:
    """Loads the network and leaves what later starts can read."""
    from cutoutd.models.networks.providers import prepare as prepare_here

    if trial.cache_dir is None:
        raise ValueError("no folder to prepare it in")
    try:
        prepare_here(trial.spec, trial.providers[0], trial.threads, trial.cache_dir)
    except (ModelError, EngineError) as error:
        return Verdict(
            printed(error.what, LONGEST_SENTENCE),
            printed(error.fix, LONGEST_SENTENCE),
            isinstance(error, ModelError),
        )
    return Verdict("", "")
