"""What a worker does with one photo: read, cut out, and leave synced temporaries beside the final names.

It runs in worker processes and in `cutoutd once`; only the supervisor renames what it leaves.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutoutd.config.errors import PhotoChangedError, PhotoError, Reason
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Limits, Matte
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.temporary import TemporaryError, TemporaryWriter, empty_temporary
from cutoutd.models.networks.catalog import ModelSpec

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
    """One photo's order; picklable.

    `temporaries` holds, per deliverable, the absolute path of the file to write; the outbox in front of it is
    never created, sub-folders are. `allowance_mp` is how large the photo may be to fit the budget.
    New sub-folders get the bits `folder_mode`. With `manifest` the outputs' SHA-256 is computed too. `known`
    maps digests that mean "no new work" to the row they belong to. `outbox_inode` is the device and inode of the
    outboxes as they were opened: another folder in their place (an unmounted share) is not written to.
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
    """The photo is cut out; its temporaries wait to be published."""

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


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The content is known: nothing was decoded."""

    digest: str
    same_as: int


@dataclass(frozen=True, slots=True)
class OverBudget:
    """The photo is larger than its allowance: nothing was decoded."""

    megapixels: float


@dataclass(frozen=True, slots=True)
class Changed:
    """The file changed while it was read."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The photo has a named problem."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxRefused:
    """The outbox cannot take the file now; the photo itself is fine."""

    outbox: bytes
    code: int
    detail: str


Result = Finished | Unchanged | OverBudget | Changed | Refused | OutboxRefused

_loaded: dict[str, Segmenter] = {}
_engines: Engines | None = None


def warm_up(engines: Engines) -> dict[str, Any]:
    """Loads every model once and runs the bundled test pattern through the first; called once per worker.

    Returns:
        Facts for `status`: the provider in use per model, and why others are not.

    Raises:
        ModelError: a file is missing or damaged.
        EngineError: a provider that was asked for cannot start.
    """
    global _engines  # noqa: PLW0603 - one worker process has one set of engines
    import numpy as np

    _engines = engines
    facts: dict[str, Any] = {}
    for spec in engines.specs:
        segmenter = _segmenter(spec.name)
        segmenter.alpha(np.zeros((64, 64, 3), np.uint8))
        facts[spec.name] = {"provider": segmenter.provider, "why_not": list(segmenter.why_not)}
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

    When this dies too, the fault lies with the machine or the model, and no photo is to blame.
    """
    import io

    import numpy as np
    from PIL import Image

    from cutoutd.models.cutout import cut_out
    from cutoutd.models.decoding.photo import PhotoLimits, read_header

    rows, columns = np.mgrid[0:480, 0:640]
    disc = (rows - 240) ** 2 + (columns - 320) ** 2 < 150**2
    pixels = np.where(disc[..., None], (200, 60, 40), (230, 232, 235)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=92)
    header = read_header(encoded.getvalue(), "test photo", PhotoLimits(10**7, 10))
    for spec in engines.specs:
        cut_out(encoded.getvalue(), header, _segmenter(spec.name), (Deliverable(),), Matte(no_subject="pass"))
    return True


def run_job(job: Job) -> Result:
    """Reads one photo, cuts it out and leaves its temporaries; every foreseeable trouble is a result."""
    try:
        return _run(job)
    except PhotoChangedError:
        return Changed()
    except PhotoError as error:
        return Refused(error.reason, f"{error.what}. {error.fix}".strip())
    except MemoryError:
        return Refused(
            Reason.OUT_OF_MEMORY,
            "The photo needs more memory than one worker may use. Raise limits.worker_memory or lower "
            "limits.max_megapixels.",
        )
    except TemporaryError as error:
        return OutboxRefused(error.outbox, error.code, str(error))


def _run(job: Job) -> Result:
    from cutoutd.models.cutout import Stopwatch, cut_out
    from cutoutd.models.decoding.photo import PhotoLimits, read_bytes, read_header
    from cutoutd.models.networks.subject import reading_of

    watch = Stopwatch()
    limits = PhotoLimits(job.limits.max_bytes, job.limits.max_megapixels)
    with watch.stage("read"):
        fs = RealFileSystem(job.root or os.path.dirname(job.path))
        read = read_bytes(job.path, limits, lambda _path: fs.open(job.path, os.O_RDONLY))
    if read.digest in job.known:
        return Unchanged(read.digest, job.known[read.digest])
    header = read_header(read.data, job.name, limits)
    if header.megapixels > job.allowance_mp:
        return OverBudget(header.megapixels)
    drafts: list[Draft] = []
    try:
        with _writer(job, 0) as first:
            cutout = cut_out(
                read.data,
                header,
                _segmenter(job.model),
                job.orders,
                job.matte,
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
                    drafts.append(_draft(job, number, rendered, file.finish()))
    except TemporaryError:
        for number, draft in enumerate(drafts):  # a full disk is not helped by our own leftovers
            empty_temporary(job.outboxes[number], draft.temporary, inode=job.outbox_inode)
        raise
    return Finished(
        digest=read.digest,
        size=read.size,
        mtime_ns=read.mtime_ns,
        inode=read.inode,
        width=cutout.width,
        height=cutout.height,
        coverage=cutout.coverage,
        drafts=tuple(drafts),
        timings=dict(watch.seconds),
        notes=cutout.notes,
    )


def _writer(job: Job, number: int) -> TemporaryWriter:
    """The temporary of one deliverable; nothing is opened yet."""
    return TemporaryWriter(
        job.outboxes[number],
        job.temporaries[number],
        inode=job.outbox_inode,
        folder_mode=job.folder_mode,
    )


def _draft(job: Job, number: int, rendered: Rendered, out_digest: str) -> Draft:
    sha256 = hashlib.sha256()
    for piece in rendered.pieces if job.manifest else ():
        sha256.update(piece)
    return Draft(
        label=job.orders[number].label,
        temporary=job.temporaries[number],
        out_digest=out_digest,
        out_size=rendered.size,
        width=rendered.width,
        height=rendered.height,
        extension=rendered.extension,
        sha256=sha256.hexdigest() if job.manifest else "",
    )


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
