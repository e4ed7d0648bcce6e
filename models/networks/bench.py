"""Milliseconds and memory of one network on this machine; whoever calls it starts the process for it."""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cutoutd.models.networks.catalog import ModelSpec
from cutoutd.models.networks.probe import made_up_picture
from cutoutd.models.networks.providers import Choice
from cutoutd.models.networks.segmenter import Segmenter

# What a working photographer's camera makes, and what docs/MODELS.md speaks of.
PHOTO_SHAPE = (4000, 6000)


class Figures(Struct, frozen=True):
    """What one model costs.

    Args:
        model: its name.
        provider: what ran it.
        threads: of the session.
        load_ms: from the file to a ready session, digest included.
        first_ms: the first photo, which also pays for what the engine puts off.
        photo_ms: median of the photos after it, shrinking to the network's size included.
        cpu_ms: processor time of one such photo, all threads together; steadier than the clock on a busy machine.
        resting_mb: memory kept between photos, over what the bare process needs.
        peak_mb: the most it ever needed, over the same.
    """

    model: str
    provider: str
    threads: int
    load_ms: float
    first_ms: float
    photo_ms: float
    cpu_ms: float
    resting_mb: float
    peak_mb: float


def measure(
    spec: ModelSpec,
    *,
    providers: Choice = "auto",
    threads: int,
    runs: int = 5,
    cache_dir: Path | None = None,
    shape: tuple[int, int] = PHOTO_SHAPE,
) -> Figures:
    """Loads the model in this process, a fresh one for true figures, and cuts a made-up photo out `runs` times.

    Args:
        spec: an installed model.
        providers: as for `Segmenter`.
        threads: as for `Segmenter`.
        runs: photos after the first.
        cache_dir: as for `Segmenter`.
        shape: (height, width) of the made-up photo, in pixels.

    Raises:
        ModelError, EngineError: as `Segmenter`.
    """
    photo = made_up_photo(shape)
    _forget_peak()
    resting_before = _resting_mb()
    started = time.perf_counter()
    segmenter = Segmenter(spec, providers=providers, threads=threads, cache_dir=cache_dir)
    load_ms = _ms_since(started)
    first, *later = [_one(segmenter, photo) for _ in range(max(1, runs) + 1)]
    resting = _resting_mb()
    return Figures(
        model=spec.name,
        provider=segmenter.provider,
        threads=threads,
        load_ms=load_ms,
        first_ms=first[0],
        photo_ms=statistics.median(clock for clock, _cpu in later),
        cpu_ms=statistics.median(cpu for _clock, cpu in later),
        resting_mb=resting - resting_before,
        peak_mb=max(_peak_mb(), resting) - resting_before,  # the kernel counts the two a little apart
    )


def made_up_photo(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) of that shape: the probe's picture, repeated."""
    tile = made_up_picture(1000)
    across, down = -(-shape[1] // 1000), -(-shape[0] // 1000)
    return np.ascontiguousarray(np.tile(tile, (down, across, 1))[: shape[0], : shape[1]])


def _one(segmenter: Segmenter, photo: NDArray[np.uint8]) -> tuple[float, float]:
    """Milliseconds by the clock, and of processor time."""
    started, cpu_started = time.perf_counter(), time.process_time()
    segmenter.alpha(photo)
    return _ms_since(started), (time.process_time() - cpu_started) * 1e3


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _resting_mb() -> float:
    """Memory of this process now; where /proc is missing, the most so far."""
    return _from_proc("VmRSS") or _peak_mb()


def _peak_mb() -> float:
    """The most this process ever needed, since `_forget_peak` where the kernel can forget."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux hands the parent's figure on to a child there, but not in /proc.
    return _from_proc("VmHWM") or peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _forget_peak() -> None:
    """Starts the kernel's count of the peak afresh, so that making the photo does not count."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _from_proc(name: str) -> float | None:
    """A line of /proc/self/status in MB, or None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
