"""What a worker does with one photo: read, cut out, and leave synced temporaries beside the final names.

Only the supervisor renames what it leaves. A worker that a photo has taken over may answer anything: so its answers
(`Report`, `Written`) hold digests, numbers in a range and words from a list. Every name, folder, temporary and
extension in a `Result` comes from the supervisor's own `Job`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from cutoutd.config.errors import PhotoChangedError, PhotoError, Reason
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.output import Deliverable, extension
from cutoutd.config.settings import Limits, Matte
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.temporary import TemporaryError, TemporaryWriter, empty_temporary
from cutoutd.daemon.workers.codec import Hex, Most, Range, SchemaError, Text, printed
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Task
from cutoutd.models.networks.catalog import ModelSpec
from cutoutd.models.networks.doubt import Doubt

if TYPE_CHECKING:
    from cutoutd.models.networks.segmenter import Segmenter
    from cutoutd.models.rendering.render import Rendered


@dataclass(frozen=True, slots=True)
class Engines:
    """What a worker loads at its warm-up: the models of all inboxes, how to run them, and the matting solver."""

    specs: tuple[ModelSpec, ...]
    providers: tuple[str, ...] | str
    threads: int
    cache_dir: Path | None
    closed_form: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One photo's order.

    `temporaries` holds, per deliverable, the absolute path of the file to write; the outbox in front of it is
    never created, sub-folders are. `allowance_mp` is how large the photo may be to fit the budget.
    New sub-folders get the bits `folder_mode`. With `manifest` the outputs' SHA-256 is computed too. `known`
    maps digests that mean "no new work" to the row they belong to. `outbox_inode` is the device and inode of the
    outboxes as they were opened: another folder in their place (an unmounted share) is not written to.
    `fixes` are its owner's corrections, `mask` the absolute path of a mask that takes the network's place, or empty.
    `root` is the folder in front of `path` below which no link is followed; unset, the one that the photo lies in.
    """

    photo: int
    path: bytes
    name: str
    model: str
    orders: tuple[Deliverable, ...]
    outboxes: tuple[bytes, ...]
    temporaries: tuple[bytes, ...]
    matte: Matte
    limits: Limits
    allowance_mp: float
    known: dict[str, int] = field(default_factory=dict[str, int])
    lone: bool = True
    folder_mode: int = 0o755
    manifest: bool = False
    outbox_inode: tuple[int, int] | None = None
    root: bytes = b""
    fixes: Fixes = NOTHING_FIXED
    mask: bytes = b""


# A mask of a large photo, uncompressed; what is longer is cut off and no picture.
MOST_MASK_BYTES: Final = 200_000_000


# --- what the supervisor makes of an answer


@dataclass(frozen=True, slots=True)
class Draft:
    """One finished temporary: whole, synced and read back."""

    label: str
    temporary: bytes
    out_digest: str
    out_size: int
    width: int
    height: int
    extension: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The photo is cut out; its temporaries wait to be published.

    `confidence` is the expected overlap with the truth, 0..1, or None where nobody can say; `doubts` are why its
    owner should look at it, none where nobody need.
    """

    digest: str
    size: int
    mtime_ns: int
    inode: int
    width: int
    height: int
    coverage: float
    drafts: tuple[Draft, ...]
    timings: dict[str, float]
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The content is known: nothing was decoded."""

    digest: str
    same_as: int


@dataclass(frozen=True, slots=True)
class OutboxRefused:
    """The outbox cannot take the file now; the photo itself is fine."""

    outbox: bytes
    code: int
    detail: str


# --- what a worker may answer

# Ledger and file systems count bytes and nanoseconds in 64 bits; inodes use all of them.
_Size = Annotated[int, Range(0, 2**63 - 1)]
_Time = Annotated[int, Range(-(2**63), 2**63 - 1)]
_Inode = Annotated[int, Range(0, 2**64 - 1)]
_Digest = Annotated[str, Hex(64)]
# No format that is read or written knows a longer side.
_Side = Annotated[int, Range(1, 2**31 - 1)]
_Seconds = Annotated[float, Range(0, 1e6)]
_Sentence = Annotated[str, Text(LONGEST_SENTENCE)]
# A photo has a handful of notes; what is above this many is left out.
_MOST_NOTES: Final = 20
# As many deliverables as one photo may owe; each costs a decode's worth of encoding.
_MOST_WRITTEN: Final = 200
_Stage = Literal["read", "decode", "infer", "matte", "encode", "write"]
# Reasons that lie in the photo or its file, so that a worker can know them.
_WorkerReason = Literal[
    Reason.UNREADABLE, Reason.TOO_LARGE, Reason.NEEDS_DECODER, Reason.NO_SUBJECT, Reason.NO_HEAD, Reason.NO_PERMISSION,
    Reason.OUT_OF_MEMORY, Reason.BUSY, Reason.CANNOT_RENDER, Reason.NOT_A_PHOTO, Reason.NOT_A_REGULAR_FILE,
    Reason.VANISHED,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """One temporary as its worker left it; which one is told by its place among the job's."""

    out_digest: _Digest
    out_size: _Size
    width: _Side
    height: _Side
    sha256: Annotated[str, Hex(64, empty=True)]


@dataclass(frozen=True, slots=True)
class Report:
    """The photo is cut out, and one temporary is written per deliverable; its doubts are words from our list."""

    digest: _Digest
    size: _Size
    mtime_ns: _Time
    inode: _Inode
    width: _Side
    height: _Side
    coverage: Annotated[float, Range(0, 1)]
    written: Annotated[tuple[Written, ...], Most(_MOST_WRITTEN)]
    timings: Annotated[dict[_Stage, _Seconds], Most(20)]
    notes: Annotated[tuple[_Sentence, ...], Most(_MOST_NOTES)]
    confidence: Annotated[float, Range(0, 1)] | None = None
    doubts: Annotated[tuple[Doubt, ...], Most(len(Doubt))] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The content has a digest that the job calls known."""

    digest: _Digest


@dataclass(frozen=True, slots=True)
class OverBudget:
    """The photo is larger than its allowance: nothing was decoded."""

    megapixels: Annotated[float, Range(0, 1e9)]


@dataclass(frozen=True, slots=True)
class Changed:
    """The file changed while it was read."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The photo has a named problem."""

    reason: _WorkerReason
    detail: _Sentence


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The outbox of the job's deliverable `number` gave this errno; the photo itself is fine."""

    number: Annotated[int, Range(0, _MOST_WRITTEN)]
    code: Annotated[int, Range(1, 4095)]
    detail: _Sentence


Answer = Report | Known | OverBudget | Changed | Refused | NotTaken

Result = Finished | Unchanged | OverBudget | Changed | Refused | OutboxRefused

_loaded: dict[str, Segmenter] = {}
_engines: Engines | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """How one model runs: the provider in use, and why others are not."""

    provider: Annotated[str, Text(40)]
    why_not: Annotated[tuple[Annotated[str, Text(1000)], ...], Most(40)]


def warm_up(engines: Engines) -> Annotated[dict[Annotated[str, Text(100)], Loaded], Most(100)]:
    """Loads every model once and runs the bundled test pattern through the first; called once per worker.

    Returns:
        Facts for `status`, by the model's name.

    Raises:
        ModelError: a file is missing or damaged.
        EngineError: a provider that was asked for cannot start.
    """
    global _engines  # noqa: PLW0603 - one worker process has one set of engines
    import numpy as np

    from cutoutd.models.matting import refiner

    _engines = engines
    facts: dict[str, Loaded] = {}
    for spec in engines.specs:
        segmenter = _segmenter(spec.name)
        segmenter.alpha(np.zeros((64, 64, 3), np.uint8))
        why_not = tuple(printed(one, 1000) for one in segmenter.why_not)
        facts[spec.name] = Loaded(segmenter.provider, why_not)
    refiner.session(1)  # the default edge engine's network: the first photo does not wait for it
    if engines.closed_form:
        from cutoutd.models.matting import closed_form

        closed_form.prepare()
    return facts


def _segmenter(name: str) -> Segmenter:
    from cutoutd.models.networks.segmenter import Segmenter

    if _engines is None:
        raise RuntimeError("run_job before warm_up")
    if name not in _loaded:
        spec = next(spec for spec in _engines.specs if spec.name == name)
        _loaded[name] = Segmenter(
            spec,
            providers=_engines.providers,  # type: ignore[arg-type]
            threads=_engines.threads,
            cache_dir=_engines.cache_dir,
        )
    return _loaded[name]


def run_self_test(engines: Engines) -> bool:
    """Runs every model over a built-in test photo, all the way to encoded bytes; writes nothing.

    When this dies too, the fault lies with the machine or the model, and no photo is at fault.
    """
    import io

    import numpy as np
    from PIL import Image

    from cutoutd.models.cutout import cut_out

    rows, columns = np.mgrid[0:480, 0:640]
    disc = (rows - 240) ** 2 + (columns - 320) ** 2 < 150**2
    pixels = np.where(disc[..., None], (200, 60, 40), (230, 232, 235)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=92)
    for spec in engines.specs:
        cut_out(
            encoded.getvalue(), matte=Matte(no_subject="pass"), segmenter=_segmenter(spec.name), threads=1
        )
    return True


def run_job(job: Job) -> Answer:
    """Reads one photo, cuts it out and leaves its temporaries; every foreseeable trouble is an answer."""
    try:
        return _run(job)
    except PhotoChangedError:
        return Changed()
    except PhotoError as error:
        # A reason that a worker cannot know would end it; there is none in models/.
        reason = cast("_WorkerReason", error.reason)
        return Refused(reason, printed(f"{error.what}. {error.fix}".strip(), LONGEST_SENTENCE))
    except MemoryError:
        return Refused(
            Reason.OUT_OF_MEMORY,
            "The photo needs more memory than one worker may use. Raise limits.worker_memory or lower "
            "limits.max_megapixels.",
        )
    except TemporaryError as error:
        number = next((n for n, outbox in enumerate(job.outboxes) if outbox == error.outbox), 0)
        return NotTaken(number, error.code, printed(error.what, LONGEST_SENTENCE))


def read_result(job: Job, answer: Answer) -> Result:
    """In the supervisor: what an answer to this job means, in the job's own names.

    Raises:
        SchemaError: it does not fit the job; the worker is not to be believed any more.
    """
    match answer:
        case Report():
            return _finished(job, answer)
        case Known():
            if answer.digest not in job.known:
                raise SchemaError("answer.digest: not one that was called known")
            return Unchanged(answer.digest, job.known[answer.digest])
        case OverBudget():
            if answer.megapixels <= job.allowance_mp:
                raise SchemaError("answer.megapixels: within the allowance")
            return answer
        case NotTaken():
            if answer.number >= len(job.outboxes):
                raise SchemaError("answer.number: there is no such deliverable")
            return OutboxRefused(job.outboxes[answer.number], answer.code, answer.detail)
        case _:
            return answer


def _finished(job: Job, report: Report) -> Finished:
    if len(report.written) != len(job.orders):
        raise SchemaError("answer.written: not one for each deliverable")
    if any(bool(one.sha256) != job.manifest for one in report.written):
        raise SchemaError("answer.written: another digest than was asked for")
    if len(set(report.doubts)) < len(report.doubts) or (report.doubts and report.confidence is None):
        raise SchemaError("answer.doubts: one twice, or without a confidence")
    drafts = tuple(
        Draft(
            label=order.label,
            temporary=temporary,
            out_digest=one.out_digest,
            out_size=one.out_size,
            width=one.width,
            height=one.height,
            extension=extension(order),
            sha256=one.sha256,
        )
        for order, temporary, one in zip(job.orders, job.temporaries, report.written, strict=True)
    )
    return Finished(
        digest=report.digest,
        size=report.size,
        mtime_ns=report.mtime_ns,
        inode=report.inode,
        width=report.width,
        height=report.height,
        coverage=report.coverage,
        drafts=drafts,
        timings={str(stage): seconds for stage, seconds in report.timings.items()},
        notes=report.notes,
        confidence=report.confidence,
        doubts=report.doubts,
    )


def _run(job: Job) -> Answer:
    from cutoutd.models.cutout import Stopwatch, cut_out
    from cutoutd.models.decoding.photo import PhotoLimits, read_bytes, read_header
    from cutoutd.models.networks.subject import reading_of

    watch = Stopwatch()
    limits = PhotoLimits(job.limits.max_bytes, job.limits.max_megapixels)
    with watch.stage("read"):
        fs = RealFileSystem(job.root or os.path.dirname(job.path))
        read = read_bytes(job.path, limits, lambda _path: fs.open(job.path, os.O_RDONLY))
    if read.digest in job.known:
        return Known(read.digest)
    header = read_header(read.data, job.name, limits)
    if header.megapixels > job.allowance_mp:
        return OverBudget(header.megapixels)
    written: list[Written] = []
    try:
        with _writer(job, 0) as first:
            cutout = cut_out(
                read.data,
                job.orders,
                job.matte,
                fixes=job.fixes,
                mask=_mask_of(job),
                header=header,
                segmenter=_segmenter(job.model),
                lone=job.lone,
                threads=1 if _engines is None else _engines.threads,
                reading=reading_of(job.model),
                watch=watch,
                take=first.take,
            )
            for number, rendered in enumerate(cutout.rendered):
                with watch.stage("write"), _writer(job, number) if number else nullcontext(first) as file:
                    if not file.begun:
                        for piece in rendered.pieces:
                            file.take(piece)
                    written.append(_written(job, rendered, file.finish()))
    except TemporaryError:
        for number in range(len(written)):  # a full disk is not helped by our own leftovers
            empty_temporary(job.outboxes[number], job.temporaries[number], inode=job.outbox_inode)
        raise
    judged = cutout.confidence
    return Report(
        digest=read.digest,
        size=read.size,
        mtime_ns=read.mtime_ns,
        inode=read.inode,
        width=cutout.width,
        height=cutout.height,
        coverage=min(max(float(cutout.coverage), 0.0), 1.0),
        written=tuple(written),
        timings=dict(watch.seconds),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - named by `stage`
        notes=tuple(printed(note, LONGEST_SENTENCE) for note in cutout.notes[:_MOST_NOTES]),
        confidence=None if judged is None else min(max(float(judged.iou), 0.0), 1.0),
        doubts=() if judged is None else judged.reasons,
    )


def _mask_of(job: Job) -> bytes | None:
    if not job.mask:
        return None
    fs = RealFileSystem(os.path.dirname(job.mask))
    try:
        fd = fs.open(job.mask, os.O_RDONLY)
    except OSError as error:
        raise PhotoError(
            Reason.CANNOT_RENDER,
            f"The mask cannot be read ({error.strerror})",
            fix="Give it anew with --mask.",
        ) from error
    with os.fdopen(fd, "rb") as file:
        return file.read(MOST_MASK_BYTES)


def _writer(job: Job, number: int) -> TemporaryWriter:
    """The temporary of one deliverable; nothing is opened yet."""
    return TemporaryWriter(
        job.outboxes[number],
        job.temporaries[number],
        inode=job.outbox_inode,
        folder_mode=job.folder_mode,
    )


def _written(job: Job, rendered: Rendered, out_digest: str) -> Written:
    sha256 = hashlib.sha256()
    for piece in rendered.pieces if job.manifest else ():
        sha256.update(piece)
    return Written(
        out_digest=out_digest,
        out_size=rendered.size,
        width=rendered.width,
        height=rendered.height,
        sha256=sha256.hexdigest() if job.manifest else "",
    )


# --- what the supervisor can ask for

WARM_UP: Final[Task[Engines, dict[str, Loaded]]] = Task(warm_up)
RUN_JOB: Final[Task[Job, Result]] = Task(run_job, read_result)
SELF_TEST: Final[Task[Engines, bool]] = Task(run_self_test)


def is_trouble_of_the_outbox(code: int) -> bool:
    """Whether an errno says that the folder, not the photo, is the problem."""
    return code in {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
    }
