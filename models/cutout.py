"""The function cutoutd exists for: one photo's bytes and options in, finished files' bytes and facts out.

No state, no watching, no writing: the daemon, `cutoutd once`, the benchmarks, the tests and programs of other people
(docs/LIBRARY.md) all call `cut_out`.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable, Output
from cutoutd.models.decoding.as_bytes import PhotoLike, as_bytes
from cutoutd.models.decoding.colour import Colour
from cutoutd.models.decoding.photo import LEAST_ALPHA, Header, Photo, PhotoLimits, decode, read_header
from cutoutd.models.find_subject import Found, Sees, find_subject, inside
from cutoutd.models.machine import cores
from cutoutd.models.matting.controls import MatteControls
from cutoutd.models.matting.fullsize import FullSize
from cutoutd.models.matting.matte import prepare, work_copy
from cutoutd.models.networks.confidence import Confidence, with_doubt
from cutoutd.models.networks.doubt import Doubt
from cutoutd.models.networks.fixups import read_mask
from cutoutd.models.networks.ready import ready
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.subject import OF_BUNDLED, Reading, reading_of
from cutoutd.models.planes import Plane
from cutoutd.models.rendering.compose import flattened
from cutoutd.models.rendering.layout import Box
from cutoutd.models.rendering.reduction import reduction
from cutoutd.models.rendering.render import Rendered, Subject, is_plain, render, render_plain
from cutoutd.models.rendering.rows import Samples

# A lone photo's PNG is deflated on several cores; four keep the memory for strips and threads small.
_ENCODE_THREADS = 4
# A deliverable enlarged as much shows that it was.
_MUCH_ENLARGED = 1.95
_WHITE = np.array((255, 255, 255), np.uint8)
# How many times, in a sentence.
_TIMES = re.compile(r"([\d.]+)×")


class Stopwatch:
    """Seconds per named stage."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Adds the block's duration to a stage."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - start


class Cutout(Struct, frozen=True):
    """What one photo became.

    `rendered` has them in the order in which they were asked for; `coverage` is the subject's share of the photo,
    0..1; `timings` are seconds per stage; `notes` say what was ignored, could not be done as asked, or is worth a
    look; `confidence` as in `Found`.
    """

    rendered: tuple[Rendered, ...]
    width: int
    height: int
    coverage: float
    timings: dict[str, float] = field(default_factory=dict[str, float])
    notes: tuple[str, ...] = ()
    confidence: Confidence | None = None

    @property
    def data(self) -> bytes:
        """The first deliverable's file."""
        return self.rendered[0].data

    @property
    def image(self) -> Image.Image:
        """The first deliverable as a Pillow image, decoded at each call."""
        image = Image.open(io.BytesIO(self.data))
        image.load()
        return image


def cut_out(
    source: PhotoLike,
    deliverables: Sequence[Deliverable] = (Deliverable(),),
    matte: Matte = Matte(),  # noqa: B008 - frozen
    *,
    model: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    segmenter: Sees | None = None,
    fixes: Fixes = NOTHING_FIXED,
    mask: bytes | None = None,
    reading: Reading | None = None,
    header: Header | None = None,
    lone: bool = True,
    threads: int | None = None,
    watch: Stopwatch | None = None,
    take: Callable[[bytes], object] | None = None,
) -> Cutout:
    """Turns one photo into everything that is asked of it: one inference, one matte for all.

    Args:
        source: the photo: a file's bytes, a path, or a Pillow image.
        deliverables: what is to be made, at least one; by default a PNG of the photo's size in straight alpha.
        matte: how the outline is found and cleaned.
        model: the network, as in the config: "", "fast", "best" or a name; loaded once per process.
        limits: `max_bytes` and `max_megapixels` hold; the others are the daemon's business.
        segmenter: finds the subject, in place of `model`.
        fixes: points that belong to the subject, or do not.
        mask: a picture file's bytes that take the place of the network's answer: white or opaque is subject.
        reading: from `reading_of` that network; unset, the bundled ones'.
        header: from `read_header` of these bytes, where it is known already; then `limits` were asked.
        lone: whether no other photo waits, so that inference and encoding may use several cores.
        threads: how many cores that is; unset, all that this process may use.
        watch: collects seconds per stage; of the usual deliverable, the plain PNG, full-size pixels count as encode.
        take: called with each piece of the file, in order, as soon as it is made, after which nobody keeps it; only of
            the usual deliverable, and when it is the only one.

    Raises:
        PhotoError: the photo cannot be read or decoded, shows no subject, or a deliverable cannot be made for it.
        ModelError, EngineError, MemoryError: the network of that name cannot be loaded, or fails.
    """
    data, name = as_bytes(source, limits.max_bytes)
    header = header or read_header(data, name, PhotoLimits(limits.max_bytes, limits.max_megapixels))
    segmenter = segmenter or ready(model)
    reading = reading or (reading_of(segmenter.spec.name) if isinstance(segmenter, Segmenter) else OF_BUNDLED)
    watch = watch or Stopwatch()
    threads = min(_ENCODE_THREADS, threads or cores()) if lone else 1

    def look(photo: Photo, work: Plane | None) -> Found:
        """Where the subject is: by the mask, if one was given, else by the network."""
        if mask is not None:
            return Found(read_mask(mask, photo.rgb.shape[:2]))
        return find_subject(photo, segmenter, matte, lone=lone, reading=reading, fixes=fixes, work=work)

    # Points and masks of the user's own are told in the photo's pixels.
    whole = mask is not None or fixes != NOTHING_FIXED
    factor = 1 if whole else reduction(deliverables, matte, (header.width, header.height))
    return _made(
        data, header, deliverables, matte, factor=factor, look=look, threads=threads, watch=watch, take=take
    )


def _made(
    data: bytes,
    header: Header,
    deliverables: Sequence[Deliverable],
    matte: Matte,
    *,
    factor: int,
    look: Callable[[Photo, Plane | None], Found],
    threads: int,
    watch: Stopwatch,
    take: Callable[[bytes], object] | None,
) -> Cutout:
    """Decoded as often as the deliverables need, smaller by `factor`, looked at once (`look`), matted and rendered."""
    found: Found | None = None
    rendered: dict[int, Rendered] = {}
    notes: list[str] = []
    coverage, shape = 0.0, (header.height, header.width)
    for colour, bits, indices in _decodings(deliverables):
        with watch.stage("decode"):
            photo = decode(data, header, colour=colour, want_16bit=bits == 16, reduction=factor)
        shape = (photo.header.height, photo.header.width)
        notes += [note for note in photo.notes if note not in notes]
        work: Plane | None = None
        if found is None:
            with watch.stage("infer"):
                found, work = _looked_at(photo, look, matte, threads)
            notes += _worth_a_look(found.confidence)
        with watch.stage("matte"):
            full = _prepared(photo, found, matte, threads, notes, work)
            del work  # what comes now needs the room
        if len(deliverables) == 1 and _is_streamed(photo, found, deliverables[0]):
            with watch.stage("encode"):
                rendered[0], coverage = _streamed(full, deliverables[0], photo.icc, threads, take)
            continue
        with watch.stage("matte"):
            subject = _subject(photo, found, full, threads)
            if any(deliverables[index].keeps_background for index in indices):
                subject = replace(subject, photo=_opaque(photo))
            del photo, full  # a third of the memory; the subject holds what is still needed
            coverage = float(subject.alpha.mean(dtype=np.float64)) / 255.0
        for index in indices:
            with watch.stage("encode"):
                rendered[index] = render(subject, deliverables[index], threads=threads)
    notes += _of_deliverables([(one.label, rendered[index].notes) for index, one in enumerate(deliverables)])
    return Cutout(
        rendered=tuple(rendered[index] for index in range(len(deliverables))),
        width=shape[1],
        height=shape[0],
        coverage=coverage,
        timings=watch.seconds,
        notes=tuple(notes),
        confidence=_judged(None if found is None else found.confidence, rendered.values()),
    )


def _looked_at(
    photo: Photo, look: Callable[[Photo, Plane | None], Found], matte: Matte, threads: int
) -> tuple[Found, Plane | None]:
    """Where the subject is, and what the edge engine needs of the photo: it is what a network is shown, too."""
    work = None if matte.roi else work_copy(photo.rgb, matte.engine, threads)
    return look(photo, work), work


def _judged(judged: Confidence | None, rendered: Iterable[Rendered]) -> Confidence | None:
    """The confidence with what became of the photo.

    Where there was none, nobody can say how sure the rest is; a head that is missing is worth a look all the same.
    """
    rendered = list(rendered)
    if judged is not None and any(one.enlarged >= _MUCH_ENLARGED for one in rendered):
        judged = with_doubt(judged, Doubt.ENLARGED)
    if any(one.headless for one in rendered):
        judged = with_doubt(judged or Confidence(None, review=True), Doubt.NO_HEAD)
    return judged


def _of_deliverables(said: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What is said of each deliverable, by label; where there are several, once for all of which it is said."""
    if len(said) == 1:
        return list(said[0][1])
    alike: dict[str, tuple[list[str], list[float]]] = {}
    for label, notes in said:
        for note in notes:
            labels, times = alike.setdefault(_TIMES.sub("×", note), ([], []))
            labels.append(label)
            times += map(float, _TIMES.findall(note))
    told: list[str] = []
    for note, (labels, times) in alike.items():
        ends = dict.fromkeys((min(times, default=0), max(times, default=0)))
        told.append(f"{', '.join(labels)}: {note.replace('×', ' to '.join(f'{one:g}×' for one in ends))}")
    return told


def _opaque(photo: Photo) -> Samples:
    """The photo with all its pixels, in 16 bits where it has them; what was transparent in it is white."""
    pixels: Samples = photo.rgb if photo.rgb16 is None else photo.rgb16
    return pixels if photo.alpha is None else flattened(pixels, photo.alpha, _WHITE)


def _worth_a_look(judged: Confidence | None) -> list[str]:
    """The sentence for a photo that its owner should look at, or none."""
    if judged is None or not judged.review:
        return []
    sure = "" if judged.iou is None else f" ({judged.iou:.0%} sure)"
    return [f"Worth a look: {', '.join(judged.reasons)}{sure}."]


def _decodings(deliverables: Sequence[Deliverable]) -> list[tuple[Colour, int, list[int]]]:
    """The distinct (colour space, bits) that the deliverables need, each with the deliverables it serves; sRGB first.

    The network is shown the first: in sRGB where any deliverable wants it, and the same whichever way round they come.
    """
    needs: dict[tuple[Colour, int], list[int]] = {}
    for index, deliverable in enumerate(deliverables):
        needs.setdefault(_needs(deliverable), []).append(index)
    ranked = sorted(needs.items(), key=lambda need: (need[0][0] != "srgb", *need[0]))
    return [(colour, bits, indices) for (colour, bits), indices in ranked]


def _needs(deliverable: Output) -> tuple[Colour, int]:
    return deliverable.colour, deliverable.bits


def _is_streamed(photo: Photo, found: Found, deliverable: Output) -> bool:
    """Whether the file can be made from the matte band by band, without the whole cutout in memory."""
    size = (photo.header.width, photo.header.height)
    whole = photo.rgb.shape[:2] == size[::-1]
    return whole and photo.alpha is None and found.box is None and is_plain(deliverable, size)


def controls_of(matte: Matte, photo: tuple[int, int], box: Box | None = None) -> MatteControls:
    """The settings in the terms of `models/matting/controls.py`: solidity 0..1 instead of percent.

    Args:
        matte: the settings.
        photo: height and width of the whole photo, which shares are of.
        box: the part of it that is matted; None: all of it.
    """
    # The same area is a larger share of a part.
    times = 1.0 if box is None else photo[0] * photo[1] / (box.width * box.height)
    return MatteControls(
        edge=matte.edge,
        solidify=matte.solidify / 100,
        fill_holes=matte.fill_holes * times or False,
        keep="all" if matte.keep == "auto" else matte.keep,
        min_island=matte.min_island * times,
        grow=matte.grow,
        longer_side=max(photo),
    )


def _prepared(
    photo: Photo,
    found: Found,
    matte: Matte,
    threads: int,
    notes: list[str],
    work: Plane | None,
) -> FullSize:
    height, width = photo.rgb.shape[:2]
    return prepare(
        found.alpha,
        photo.rgb if found.box is None else photo.rgb[inside(found.box)],
        engine=matte.engine,
        controls=controls_of(matte, (height, width), found.box),
        closed_form=matte.closed_form,
        blurred=found.confidence is not None,  # a bundled network's answer, then
        threads=threads,
        notes=notes,
        work=work,
    )


class _Counted:
    """The cutout in bands, with a count of how much of it is subject."""

    def __init__(self, full: FullSize) -> None:
        self._full = full
        self.bands = full.bands
        self._sums: list[int] = []

    def band(self, number: int) -> NDArray[np.uint8]:
        pixels = self._full.band(number)
        self._sums.append(pixels.alpha_sum)
        return pixels.rgba

    @property
    def coverage(self) -> float:
        height, width = self._full.shape
        return sum(self._sums) / (height * width) / 255.0


def _streamed(
    full: FullSize,
    deliverable: Deliverable,
    icc: bytes | None,
    threads: int,
    take: Callable[[bytes], object] | None,
) -> tuple[Rendered, float]:
    """The usual deliverable: full-size pixels are worked out and deflated band by band, side by side."""
    counted = _Counted(full)
    height, width = full.shape
    rendered = render_plain(counted, deliverable, (width, height), icc=icc, threads=threads, take=take)
    return rendered, counted.coverage


def _subject(photo: Photo, found: Found, full: FullSize, threads: int) -> Subject:
    """The cutout at the photo's size; beyond the region that was matted, nothing."""
    alpha, colour = np.zeros(photo.rgb.shape[:2], np.uint8), np.zeros_like(photo.rgb)
    part = ... if found.box is None else inside(found.box)
    full.write(alpha[part], colour[part], threads)
    size = (photo.header.width, photo.header.height)
    subject = Subject(colour=colour, alpha=alpha, rgb16=photo.rgb16, icc=photo.icc, size=size)
    return subject if photo.alpha is None else _keep_existing_alpha(subject, photo.alpha)


def _keep_existing_alpha(subject: Subject, existing: NDArray[np.uint8]) -> Subject:
    """What was transparent in the photo stays transparent: the two alphas are multiplied."""
    product = subject.alpha.astype(np.uint16) * existing
    alpha = ((product + 127) // 255).astype(np.uint8)
    if int(alpha.max(initial=0)) < LEAST_ALPHA:
        raise PhotoError(
            Reason.NO_SUBJECT,
            "What stands out in this photo lies where it is transparent",
            fix='Nothing was written. Export the photo without transparency, or set no_subject = "pass".',
        )
    colour = subject.colour * (alpha > 0)[..., np.newaxis]
    return replace(subject, alpha=alpha, colour=colour)
