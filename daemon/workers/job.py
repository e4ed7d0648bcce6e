"""What a worker does with one photo: read, cut out, and leave synced temporaries beside the final names.

Only the supervisor renames what it leaves; what the two say to each other is `protocol`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, cast

from cutoutd.config.errors import PhotoChangedError, PhotoError, Reason
from cutoutd.config.fixes import MOST_MASK_BYTES
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.temporary import TemporaryError, TemporaryWriter, empty_temporary
from cutoutd.daemon.workers.engines import segmenter_of, threads
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Task
from cutoutd.daemon.workers.message_rules import printed
from cutoutd.daemon.workers.protocol import (
    MOST_NOTES,
    Answer,
    Changed,
    Job,
    Known,
    NotTaken,
    OverBudget,
    Refused,
    Report,
    Result,
    WorkerReason,
    Written,
    read_result,
)

if TYPE_CHECKING:
    from cutoutd.models.cutout import Cutout
    from cutoutd.models.decoding.photo import PhotoBytes
    from cutoutd.models.rendering.render import Rendered


def run_job(job: Job) -> Answer:
    """Reads one photo, cuts it out and leaves its temporaries; every foreseeable trouble is an answer."""
    try:
        return _run(job)
    except PhotoChangedError:
        return Changed()
    except PhotoError as error:
        # A reason that a worker cannot know would end it; there is none in models/.
        reason = cast("WorkerReason", error.reason)
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


def _run(job: Job) -> Answer:
    from cutoutd.models.cutout import Stopwatch, cut_out
    from cutoutd.models.decoding.photo import PhotoLimits, read_bytes, read_header
    from cutoutd.models.matting.parallel import both
    from cutoutd.models.networks.subject import reading_of

    watch = Stopwatch()
    limits = PhotoLimits(job.limits.max_bytes, job.limits.max_megapixels)
    with watch.stage("read"):
        fs = RealFileSystem(job.root or os.path.dirname(job.path))
        read = read_bytes(job.path, limits, lambda _path: fs.open(job.path, os.O_RDONLY))
    if job.known and read.digest in job.known:
        return Known(read.digest)
    header = read_header(read.data, job.name, limits)
    if header.megapixels > job.allowance_mp:
        return OverBudget(header.megapixels)
    written: list[Written] = []
    try:
        with _writer(job, 0) as first:
            # One core is enough to decode a photo: if it is alone, another one digests it meanwhile.
            cutout, _ = both(
                lambda: cut_out(
                    read.data,
                    job.deliverables,
                    job.matte,
                    fixes=job.fixes,
                    mask=_mask_of(job),
                    header=header,
                    segmenter=segmenter_of(job.model),
                    lone=job.lone,
                    threads=threads(),
                    reading=reading_of(job.model),
                    watch=watch,
                    take=first.take,
                ),
                lambda: read.digest,
                threads() if job.lone else 1,
            )
            for number, rendered in enumerate(cutout.rendered):
                with watch.stage("write"), _writer(job, number) if number else nullcontext(first) as file:
                    if not file.begun:
                        for piece in rendered.pieces:
                            file.take(piece)
                    written.append(_written(rendered, file))
    except TemporaryError:
        for number in range(len(written)):  # a full disk is not helped by our own leftovers
            empty_temporary(job.outboxes[number], job.temporaries[number], inode=job.outbox_inode)
        raise
    return _report(read, cutout, written, watch.seconds)


def _report(read: PhotoBytes, cutout: Cutout, written: list[Written], seconds: Mapping[str, float]) -> Report:
    """What came of it, in the ranges and lengths that a report may have."""
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
        timings=dict(seconds),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - named by `stage`
        notes=tuple(printed(note, LONGEST_SENTENCE) for note in cutout.notes[:MOST_NOTES]),
        confidence=None if judged is None or judged.iou is None else min(max(float(judged.iou), 0.0), 1.0),
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
            fix="Give it anew with --mask, or leave it out with --forget-points.",
        ) from error
    with os.fdopen(fd, "rb") as file:
        return file.read(MOST_MASK_BYTES)  # what is longer is no picture any more


def _writer(job: Job, number: int) -> TemporaryWriter:
    """The temporary of one deliverable; nothing is opened yet."""
    return TemporaryWriter(
        job.outboxes[number],
        job.temporaries[number],
        inode=job.outbox_inode,
        folder_mode=job.folder_mode,
        listed=job.manifest,
    )


def _written(rendered: Rendered, file: TemporaryWriter) -> Written:
    return Written(
        out_digest=file.finish(),
        out_size=file.size,
        width=rendered.width,
        height=rendered.height,
        sha256=file.sha256,
    )


RUN_JOB: Final[Task[Job, Result]] = Task(run_job, read_result)
