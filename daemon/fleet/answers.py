"""What a node's answer means to the head, and whether a photo can go to one at all; pure, it moves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from cutoutd.config.errors import PhotoError
from cutoutd.daemon.fleet.records import Broke, PhotoAnswer, Raised, Returned, Terms
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.codec import from_json
from cutoutd.daemon.workers.ipc import hints
from cutoutd.daemon.workers.process import WorkerFaultError, error_of


def event_of(tag: int, job: protocol.Job, answer: PhotoAnswer) -> tuple[pool.Event, str]:
    """The event that a slot of this machine would have posted, and what is wrong with the node, if anything.

    Raises:
        SchemaError: the answer does not fit the job.
    """
    match answer:
        case Returned():
            said: protocol.Answer = from_json(hints(jobs.run_job)["return"], answer.result)
            return pool.Finished(tag, protocol.read_result(job, said)), ""
        case Raised():
            error = error_of(answer.fault)
            if isinstance(error, MemoryError):
                return pool.Died(tag, "out-of-memory", str(error), sound=True), ""
            return pool.Failed(tag, error, sound=isinstance(error, PhotoError | WorkerFaultError)), ""
        case Broke():
            return pool.Died(tag, answer.cause, answer.detail, sound=True), ""
        case _:
            return pool.Died(tag, "killed", answer.why), f"cannot work ({answer.why})" if answer.why else ""


def is_shared(job: protocol.Job, terms: Terms) -> bool:
    """Whether the photo, its mask and its outboxes lie in folders that nodes agreed to share."""
    read = [one.path for one in terms.folders]
    write = [one.path for one in terms.folders if one.write]
    shared = _below(job.path, read) and (not job.mask or _below(job.mask, read))
    return shared and all(_below(outbox, write) for outbox in job.outboxes)


def _below(path: bytes, folders: Sequence[bytes]) -> bool:
    return any(path == one or path.startswith(one + b"/") for one in folders)
