"""The floor on this machine: what a photo costs with no daemon, and with no pipeline either.

bare: the decoder, all runs of all networks and the encoder alone, on the same photo, in one process and one thread
after the other; nobody who uses these libraries and networks can be quicker without replacing one. pipeline: `cut_out`
as the workers call it, default edges included. worker: the pipeline with reading, digests, the synced temporary and
its re-reading.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from benchmarks import measure
from benchmarks.options import Options
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers import engines, job, protocol
from cutoutd.daemon.workers.memory import keep_freed_memory
from cutoutd.models.cutout import Cutout, Stopwatch, cut_out
from cutoutd.models.decoding.photo import PhotoLimits, read_header
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.onnx_runtime import runtime
from cutoutd.models.rendering import png

_LIMITS = PhotoLimits(10**9, 150)


def run(options: Options) -> dict[str, Any]:
    """Medians over all pictures, each contestant in turns on each."""
    keep_freed_memory()  # as the workers do: else the first one to touch new memory pays for all
    spec = resolve("standard", options.work / "no-models", "normal")
    segmenter = Segmenter(spec, threads=cores())
    engines.warm_up(engines.Engines((spec,), "auto", cores(), None))
    folder = options.fresh("limits")
    photos = options.photos(options.large, 1 if options.quick else 4)
    rounds = 1 if options.quick else 3 * options.rounds
    results: dict[str, list[float]] = {}
    stages: dict[str, list[float]] = {}
    for path in photos:
        contestants = _contestants(path, folder, segmenter, spec.name, stages)
        for one in contestants.values():
            one()
        for name, found in measure.interleaved(contestants, rounds, say=lambda _: None).items():
            results.setdefault(name, []).extend(found)
    return {
        "megapixels": options.large,
        "seconds": {name: measure.spread(found) for name, found in results.items()},
        "pipeline_to_bare": measure.ratios(results["pipeline"], results["bare"]),
        "worker_to_pipeline": measure.ratios(results["worker"], results["pipeline"]),
        "stages_s": {name: measure.spread(found)["median"] for name, found in stages.items()},
    }


class _Asked(NamedTuple):
    """One run of a network: the session, the names of the outputs, and what it was given."""

    session: Any
    outputs: Sequence[str]
    feed: dict[str, NDArray[Any]]


def _recorded(call: Callable[[], Cutout]) -> tuple[Cutout, list[_Asked]]:
    """What a call returns, and each run of a network that it took."""
    session: Any = runtime().InferenceSession
    run: Callable[..., Any] = session.run
    asked: list[_Asked] = []

    def recording(one: Any, outputs: Sequence[str], feed: dict[str, NDArray[Any]]) -> Any:
        """Runs it, and keeps a copy of what it was given."""
        asked.append(_Asked(one, outputs, {name: plane.copy() for name, plane in feed.items()}))
        return run(one, outputs, feed)

    with patch.object(session, "run", recording):
        return call(), asked


def _contestants(
    path: Path, folder: Path, segmenter: Segmenter, model: str, stages: dict[str, list[float]]
) -> dict[str, Callable[[], float]]:
    data = path.read_bytes()
    header = read_header(data, path.name, _LIMITS)
    cut, asked = _recorded(lambda: cut_out(data, header=header, segmenter=segmenter, threads=1))
    finished = np.asarray(Image.open(io.BytesIO(cut.rendered[0].data)))
    colour, alpha = np.ascontiguousarray(finished[..., :3]), np.ascontiguousarray(finished[..., 3])

    def bare() -> float:
        started = time.perf_counter()
        np.asarray(Image.open(io.BytesIO(data)))
        for session, outputs, feed in asked:
            session.run(outputs, feed)
        png.encode(colour, alpha, threads=cores())
        return time.perf_counter() - started

    def pipeline() -> float:
        watch = Stopwatch()
        started = time.perf_counter()
        cut_out(data, header=header, segmenter=segmenter, watch=watch)
        seconds = time.perf_counter() - started
        for name, spent in watch.seconds.items():
            stages.setdefault(name, []).append(spent)
        return seconds

    def worker() -> float:
        temporary = folder / "cutout.part"
        temporary.unlink(missing_ok=True)
        outbox = str(folder).encode()
        order = protocol.Job(
            1, str(path).encode(), path.name, model, (Deliverable(),), (outbox,), (str(temporary).encode(),),
            Matte(), Limits(), float("inf"),
        )  # fmt: skip
        started = time.perf_counter()
        answer = job.run_job(order)
        seconds = time.perf_counter() - started
        if not isinstance(answer, protocol.Report):
            raise TypeError(f"{path} could not be cut out: {answer}")
        for name in ("read", "write"):
            stages.setdefault(name, []).append(answer.timings[name])
        return seconds

    return {"bare": bare, "pipeline": pipeline, "worker": worker}
