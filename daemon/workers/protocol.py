"""What supervisor and worker say to each other about one photo, and how an answer is read; nothing is done here.

A worker that a photo has taken over may answer anything: so its answers (`Report`, `Written`) hold digests, numbers
in a range and words from a list. Every name, folder, temporary and extension in a `Result` comes from the
supervisor's own `Job`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Struct, field

from cutoutd.config.errors import Reason
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable, extension
from cutoutd.daemon.workers.codec import SchemaError
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE
from cutoutd.daemon.workers.message_rules import Hex, Most, Range, Text
from cutoutd.models.networks.doubt import Doubt


class Job(Struct, frozen=True):
    """What a worker is to do with one photo.

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
    deliverables: tuple[Deliverable, ...]
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


# --- what the supervisor makes of an answer


class FinishedFile(Struct, frozen=True):
    """One finished temporary: whole, synced and read back."""

    label: str
    temporary: bytes
    out_digest: str
    out_size: int
    width: int
    height: int
    extension: str
    sha256: str = ""


class Finished(Struct, frozen=True):
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
    files: tuple[FinishedFile, ...]
    timings: dict[str, float]
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    doubts: tuple[Doubt, ...] = ()


class Unchanged(Struct, frozen=True):
    """The content is known: nothing was decoded."""

    digest: str
    same_as: int


class OutboxRefused(Struct, frozen=True):
    """The outbox cannot take the file now; the photo itself is fine."""

    outbox: bytes
    code: int
    detail: str


# --- what a worker may answer

# File systems count bytes and seconds in 64 bits with a sign, and nanoseconds take 30 bits more; inodes use all of 64.
# The ledger folds what is longer than its columns (`ledger/records.py`).
_Size = Annotated[int, Range(0, 2**63 - 1)]
_Time = Annotated[int, Range(-(2**93), 2**93)]
_Inode = Annotated[int, Range(0, 2**64 - 1)]
_Digest = Annotated[str, Hex(64)]
_CutoutDigest = Annotated[str, Hex(48)]
# No format that is read or written knows a longer side.
_Side = Annotated[int, Range(1, 2**31 - 1)]
_Seconds = Annotated[float, Range(0, 1e6)]
_Sentence = Annotated[str, Text(LONGEST_SENTENCE)]
# A photo has a handful of notes; what is above this many is left out.
MOST_NOTES: Final = 20
# As many deliverables as one photo may owe; each costs a decode's worth of encoding.
_MOST_WRITTEN: Final = 200
_Stage = Literal["read", "decode", "infer", "matte", "encode", "write"]
# Reasons that lie in the photo or its file, so that a worker can know them.
WorkerReason = Literal[
    Reason.UNREADABLE, Reason.TOO_LARGE, Reason.NEEDS_DECODER, Reason.NO_SUBJECT, Reason.NO_PERMISSION,
    Reason.OUT_OF_MEMORY, Reason.BUSY, Reason.CANNOT_RENDER, Reason.NOT_A_PHOTO, Reason.NOT_A_REGULAR_FILE,
    Reason.VANISHED,
]  # fmt: skip


class Written(Struct, frozen=True):
    """One temporary as its worker left it; which one is told by its place among the job's."""

    out_digest: _CutoutDigest
    out_size: _Size
    width: _Side
    height: _Side
    sha256: Annotated[str, Hex(64, empty=True)]


class Report(Struct, frozen=True):
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
    notes: Annotated[tuple[_Sentence, ...], Most(MOST_NOTES)]
    confidence: Annotated[float, Range(0, 1)] | None = None
    doubts: Annotated[tuple[Doubt, ...], Most(len(Doubt))] = ()


class Known(Struct, frozen=True):
    """The content has a digest that the job calls known."""

    digest: _Digest


class OverBudget(Struct, frozen=True):
    """The photo is larger than its allowance: nothing was decoded."""

    megapixels: Annotated[float, Range(0, 1e9)]


class Changed(Struct, frozen=True):
    """The file changed while it was read."""


class Refused(Struct, frozen=True):
    """The photo has a named problem."""

    reason: WorkerReason
    detail: _Sentence


class NotTaken(Struct, frozen=True):
    """The outbox of the job's deliverable `number` gave this errno; the photo itself is fine."""

    number: Annotated[int, Range(0, _MOST_WRITTEN)]
    code: Annotated[int, Range(1, 4095)]
    detail: _Sentence


Answer = Report | Known | OverBudget | Changed | Refused | NotTaken

Result = Finished | Unchanged | OverBudget | Changed | Refused | OutboxRefused


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
    if len(report.written) != len(job.deliverables):
        raise SchemaError("answer.written: not one for each deliverable")
    if any(bool(one.sha256) != job.manifest for one in report.written):
        raise SchemaError("answer.written: another digest than was asked for")
    if len(set(report.doubts)) < len(report.doubts):
        raise SchemaError("answer.doubts: one twice")
    files = tuple(
        FinishedFile(
            label=deliverable.label,
            temporary=temporary,
            out_digest=one.out_digest,
            out_size=one.out_size,
            width=one.width,
            height=one.height,
            extension=extension(deliverable),
            sha256=one.sha256,
        )
        for deliverable, temporary, one in zip(job.deliverables, job.temporaries, report.written, strict=True)
    )
    return Finished(
        digest=report.digest,
        size=report.size,
        mtime_ns=report.mtime_ns,
        inode=report.inode,
        width=report.width,
        height=report.height,
        coverage=report.coverage,
        files=files,
        timings={str(stage): seconds for stage, seconds in report.timings.items()},
        notes=report.notes,
        confidence=report.confidence,
        doubts=report.doubts,
    )
