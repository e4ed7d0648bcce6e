"""Small pictures of files, made in a worker that may read just their folders; no page, no ledger.

The worker stays between pictures, so that the next is there a moment after it was asked for.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Struct

from cutoutd.config.errors import CutoutError, EngineError, printable
from cutoutd.config.limits import Limits
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Task
from cutoutd.daemon.workers.message_rules import Most, Range, Text, printed
from cutoutd.daemon.workers.pool import WorkerSetup

if TYPE_CHECKING:
    from PIL import Image

# Pixels of the longest side: what may be asked for, and the usual, too small to read a document from.
SIDES: Final = (160, 2560)
LONGEST_SIDE: Final = 640
_TIME_LIMIT_S: Final = 120.0
# A picture of the largest size takes up to 2 MB.
_LONGEST_PICTURE: Final = 8_000_000
_MOST_PIXELS: Final = 1 << 20
_QUALITY: Final = 82
# Encoding effort of WebP, 0 to 6: 2 is twice as fast as 4, for a tenth more bytes.
_EFFORT: Final = 2
# What a file may say of its colours; without it they are sRGB.
_NEEDS_CARE: Final = frozenset({"icc_profile", "gamma", "chromaticity", "transparency", "adobe"})


class PictureJob(Struct, frozen=True):
    """One file by absolute path, and the longest side of its small picture in pixels."""

    path: bytes
    longest: int = LONGEST_SIDE


class Small(Struct, frozen=True):
    """A WebP file, its size, and that of the whole picture, as (width, height) in pixels."""

    data: Annotated[bytes, Most(_LONGEST_PICTURE)]
    size: tuple[Annotated[int, Range(1, SIDES[1])], Annotated[int, Range(1, SIDES[1])]]
    whole: tuple[Annotated[int, Range(1, _MOST_PIXELS)], Annotated[int, Range(1, _MOST_PIXELS)]]


class NoPicture(Struct, frozen=True):
    """Why there is none."""

    why: Annotated[str, Text(LONGEST_SENTENCE)]


class Studio:
    """One worker that makes small pictures, started when it is first needed.

    Args:
        scratch: an empty folder of our own, for the worker's lock.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._folders: frozenset[Path] = frozenset()
        self._events: SimpleQueue[pool.Event] = SimpleQueue()
        self._slots: pool.Workers | None = None
        self._in_hand: int | None = None

    def may_read(self, folders: frozenset[Path]) -> None:
        """Lets it read these folders and what lies below; the worker is made anew where it could not until now.

        While a picture is in hand nothing is changed: ask again later.
        """
        folders = frozenset(folder for folder in folders if folder.is_dir())
        if self._in_hand is not None or folders <= self._folders:
            return
        self._folders |= folders
        setup = WorkerSetup(
            lock_path=self._scratch / "workers.lock",
            read_paths=tuple(sorted(self._folders)),
            write_paths=(),
            memory_limit_bytes=Limits().worker_memory,
            warm_up=WARM_UP,
            recycle_after=10_000,
        )
        if self._slots is None:
            self._slots = pool.Workers([setup], post=self._events.put)
            self._slots.start()
        else:
            self._slots.recycle([setup])

    def submit(self, number: int, job: PictureJob) -> bool:
        """Hands over a job under a number; False while the worker is busy or starting."""
        if self._slots is None or self._in_hand is not None or not self._slots.free():
            return False
        self._slots.submit(number, MAKE_PICTURE, job, limit_s=_TIME_LIMIT_S)
        self._in_hand = number
        return True

    def wait(self, timeout_s: float) -> tuple[int, Small | str] | None:
        """The next finished picture or a sentence saying why there is none; None when nothing was finished so long.

        Raises:
            EngineError: no worker can start.
        """
        try:
            event = self._events.get(timeout=timeout_s)
        except Empty:
            if self._slots is not None:
                self._slots.tick()
            return None
        if self._slots is not None:
            self._slots.tick()
        match event:
            case pool.Finished():
                self._in_hand = None
                return event.tag, event.result
            case pool.Failed() | pool.Died():
                self._in_hand = None
                return event.tag, str(getattr(event, "detail", "") or getattr(event, "error", ""))
            case pool.SlotFailed():
                raise EngineError(f"No worker can start ({event.error})", fix="Run `cutoutd doctor`.")
            case _:
                return None

    def stop(self) -> None:
        """Ends the worker."""
        if self._slots is not None:
            self._slots.stop(now=True)


@contextmanager
def studio(scratch: Path) -> Generator[Studio]:
    """A worker that is ended with the block."""
    one = Studio(scratch)
    try:
        yield one
    finally:
        one.stop()


# --- inside the worker


def warm_up(_context: None) -> None:
    """Loads the decoders while the sandbox already stands."""
    importlib.import_module("cutoutd.models.decoding.photo")


def make_picture(job: PictureJob) -> Small | NoPicture:
    """One small picture, or a sentence saying why there is none."""
    try:
        image, whole = _load(job.path, job.longest)
    except CutoutError as error:
        return NoPicture(printed(error, LONGEST_SENTENCE))
    small = _smaller(image, job.longest)
    return Small(_webp(small), small.size, whole)


def _load(path: bytes, longest: int) -> tuple[Image.Image, tuple[int, int]]:
    """The picture, perhaps smaller by now but not below `longest`, and the size of the whole."""
    from PIL import Image

    from cutoutd.models.decoding.photo import PhotoLimits, decode, read_bytes, read_header

    allowed = Limits()
    limits = PhotoLimits(allowed.max_bytes, allowed.max_megapixels)
    data = read_bytes(path, limits).data
    header = read_header(data, printable(path), limits)
    if header.orientation == 1 and (quick := _quick(data, longest)) is not None:
        return quick, (header.width, header.height)
    photo = decode(data, header)
    image = Image.fromarray(photo.rgb)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    return image, image.size


def _quick(data: bytes, longest: int) -> Image.Image | None:
    """A plain picture in sRGB, made smaller while it is read; None for all that needs more care.

    Our own cutouts are such pictures, and whoever waits for the newest waits for them.
    """
    from PIL import Image

    from cutoutd.models.decoding.exif import is_adobe_rgb

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.mode not in ("RGB", "RGBA") or _NEEDS_CARE & image.info.keys() or _frames(image) > 1:
                return None
            if is_adobe_rgb(image.info.get("exif")):
                return None
            image.draft(image.mode, (2 * longest, 2 * longest))  # JPEG alone can
            return image.reduce(max(1, max(image.size) // (2 * longest)))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error):
        return None  # damaged: the decoders that are made for it say how


def _frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _smaller(image: Image.Image, longest: int) -> Image.Image:
    scale = min(1.0, longest / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Pillow weighs colours by alpha here, so that erased backgrounds darken no edge.
    return image if scale == 1.0 else image.resize(size, reducing_gap=2.0)


def _webp(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "WEBP", quality=_QUALITY, method=_EFFORT)
    return target.getvalue()


# --- what a worker can be asked for


def _small_or_reason(_job: PictureJob, answer: Small | NoPicture) -> Small | str:
    return answer.why if isinstance(answer, NoPicture) else answer


WARM_UP: Final[Task[None, None]] = Task(warm_up)
# A picture in hexadecimal digits.
MAKE_PICTURE: Final[Task[PictureJob, Small | str]] = Task(
    make_picture, _small_or_reason, 2 * _LONGEST_PICTURE + (1 << 16)
)
