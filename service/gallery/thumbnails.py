"""Small pictures of photos and their cutouts, made in a worker that may read just those files; no page, no ledger.

The supervisor's side starts one worker for a list of pairs and ends it again, so that nothing stays in memory.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Final

from cutoutd.config.errors import CutoutError, EngineError, printable
from cutoutd.config.settings import Limits
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.codec import Most, Range, Text, printed
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Task
from cutoutd.daemon.workers.pool import WorkerSetup

if TYPE_CHECKING:
    from PIL import Image

# Sharp on a high-resolution screen at the size of half a window; about 100 KB a pair.
LONGEST_SIDE: Final = 1100
_TIME_LIMIT_S: Final = 120.0
# A picture of that size takes 50 to 200 KB.
_LONGEST_PICTURE: Final = 4_000_000
_Side = Annotated[int, Range(1, LONGEST_SIDE)]
# Shapes that differ by less than this lie exactly on each other on a screen.
_SAME_SHAPE: Final = 0.01


@dataclass(frozen=True, slots=True)
class PairJob:
    """One photo and its cutouts, by absolute path; the first cutout of the photo's own shape is taken."""

    before: bytes
    after: tuple[bytes, ...]
    longest: int = LONGEST_SIDE


@dataclass(frozen=True, slots=True)
class Pair:
    """Two WebP files. `same_shape`: they can be laid on each other; sizes are (width, height) in pixels."""

    before: Annotated[bytes, Most(_LONGEST_PICTURE)]
    after: Annotated[bytes, Most(_LONGEST_PICTURE)]
    before_size: tuple[_Side, _Side]
    after_size: tuple[_Side, _Side]
    same_shape: bool


@dataclass(frozen=True, slots=True)
class NoPair:
    """Why there is none."""

    why: Annotated[str, Text(LONGEST_SENTENCE)]


def make_pairs(jobs: list[PairJob], scratch: Path) -> Iterator[tuple[int, Pair | str]]:
    """Yields each job's number with its pair, or with a sentence saying why there is none.

    Args:
        jobs: what is wanted.
        scratch: an empty folder of our own, for the worker's lock.

    Raises:
        EngineError: no worker can start.
    """
    if not jobs:
        return
    files = {Path(os.fsdecode(path)) for job in jobs for path in (job.before, *job.after)}
    setup = WorkerSetup(
        lock_path=scratch / "workers.lock",
        read_paths=tuple(sorted(path for path in files if path.exists())),
        write_paths=(),
        memory_limit_bytes=Limits().worker_memory,
        warm_up=WARM_UP,
        recycle_after=len(jobs) + 1,
    )
    events: SimpleQueue[pool.Event] = SimpleQueue()
    slots = pool.Workers([setup], post=events.put)
    slots.start()
    waiting = list(enumerate(jobs))[::-1]
    left = len(jobs)
    try:
        while left:
            while waiting and slots.free():
                number, job = waiting.pop()
                slots.submit(number, MAKE_PAIR, job, limit_s=_TIME_LIMIT_S)
            event = events.get()
            slots.tick()
            match event:
                case pool.Finished():
                    left -= 1
                    yield event.tag, event.result
                case pool.Failed() | pool.Died():
                    left -= 1
                    yield event.tag, str(getattr(event, "detail", "") or getattr(event, "error", ""))
                case pool.SlotFailed():
                    raise EngineError(f"No worker can start ({event.error})", fix="Run `cutoutd doctor`.")
                case _:
                    pass
    finally:
        slots.stop(now=True)


# --- inside the worker


def warm_up(_context: None) -> None:
    """Loads the decoders while the sandbox already stands."""
    importlib.import_module("cutoutd.models.decoding.photo")


def make_pair(job: PairJob) -> Pair | NoPair:
    """One pair, or a sentence saying why there is none."""
    try:
        before = _load(job.before)
        afters = [found for path in job.after if (found := _load_if_there(path)) is not None]
    except CutoutError as error:
        return NoPair(printed(error, LONGEST_SENTENCE))
    if not afters:
        return NoPair("Its cutout is no longer there.")
    after = next((one for one in afters if _same_shape(before, one)), afters[0])
    small_before, small_after = _small(before, job.longest), _small(after, job.longest)
    return Pair(
        _webp(small_before),
        _webp(small_after),
        small_before.size,
        small_after.size,
        _same_shape(before, after),
    )


def _load_if_there(path: bytes) -> Image.Image | None:
    try:
        return _load(path)
    except CutoutError:
        return None  # another deliverable may still lie there


def _load(path: bytes) -> Image.Image:
    from PIL import Image

    from cutoutd.models.decoding.photo import PhotoLimits, decode, read_bytes, read_header

    allowed = Limits()
    limits = PhotoLimits(allowed.max_bytes, allowed.max_megapixels)
    data = read_bytes(path, limits).data
    photo = decode(data, read_header(data, printable(path), limits))
    image = Image.fromarray(photo.rgb)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    return image


def _same_shape(one: Image.Image, other: Image.Image) -> bool:
    return abs(one.width * other.height / (one.height * other.width) - 1) < _SAME_SHAPE


def _small(image: Image.Image, longest: int) -> Image.Image:
    scale = min(1.0, longest / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Pillow weighs colours by alpha here, so that erased backgrounds darken no edge.
    return image if scale == 1.0 else image.resize(size, reducing_gap=3.0)


def _webp(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "WEBP", quality=84, method=4)
    return target.getvalue()


# --- what a worker can be asked for


def _pair_or_reason(_job: PairJob, answer: Pair | NoPair) -> Pair | str:
    return answer.why if isinstance(answer, NoPair) else answer


WARM_UP: Final[Task[None, None]] = Task(warm_up)
# Two pictures in hexadecimal digits.
MAKE_PAIR: Final[Task[PairJob, Pair | str]] = Task(make_pair, _pair_or_reason, 5 * _LONGEST_PICTURE)
