"""One photo as a worker gets it, put together from its row and the plan; it gives nothing out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from cutoutd.config.errors import printable
from cutoutd.config.output import Deliverable
from cutoutd.daemon.dispatch.photo_options import PhotoOptions
from cutoutd.daemon.files.names import Temporary, date_of, mirrored_folder
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.plan import InboxPlan
from cutoutd.daemon.workers.protocol import Job


class Circumstances(Struct, frozen=True):
    """What a job takes from the moment and not from the row.

    Attributes:
        instance: id in the names of temporaries.
        attempt: a number that no earlier try of the photo had.
        allowance_mp: how many megapixels the budget has left.
        known: digests that mean "no new work", each with the row it belongs to.
        lone: no other photo waits or is in hand, so that it may use all cores.
        umask: the mode mask of what is published.
        outbox_inode: device and inode of the outbox as it was opened.
        masks: the folder of masks that were edited by hand.
        plain: the outbox refuses characters that others take.
    """

    instance: str
    attempt: int
    allowance_mp: float
    known: Mapping[str, int]
    lone: bool
    umask: int
    outbox_inode: tuple[int, int] | None
    masks: Path = Path()
    plain: bool = False


def make_job(row: PhotoRow, inbox: InboxPlan, options: PhotoOptions, now: Circumstances) -> Job:
    """One photo's job, with a temporary of its own for each deliverable."""
    outbox = os.fsencode(inbox.settings.outbox)
    return Job(
        photo=row.id,
        path=row.original or b"",
        name=printable(os.path.basename(row.path or b"")),
        model=inbox.model(row.stage).name,
        deliverables=options.deliverables,
        outboxes=(outbox,) * len(options.deliverables),
        temporaries=_temporaries(row, outbox, options.deliverables, now),
        matte=options.matte,
        limits=options.limits,
        allowance_mp=now.allowance_mp,
        known=dict(now.known),
        lone=now.lone,
        folder_mode=0o777 & ~now.umask,
        manifest=bool(inbox.settings.manifest_kind),
        outbox_inode=now.outbox_inode,
        root=root_of(row, inbox),
        fixes=options.fixes,
        mask=os.fsencode(now.masks / options.mask) if options.mask else b"",
    )


def root_of(row: PhotoRow, inbox: InboxPlan) -> bytes:
    """The folder that the user configured and the photo lies in; of one in the trash, its own."""
    if row.archived_to is None:
        return row.inbox
    after = inbox.settings.after
    folders = [os.fsencode(folder) for folder in (after.archive, after.failed) if folder is not None]
    return next((one for one in folders if row.archived_to.startswith(one + b"/")), b"")


def _temporaries(
    row: PhotoRow, outbox: bytes, deliverables: tuple[Deliverable, ...], now: Circumstances
) -> tuple[bytes, ...]:
    date = date_of(row.mtime_ns)
    return tuple(
        os.path.join(
            outbox,
            mirrored_folder(
                row.path or b"", deliverable.folder, date=date, label=deliverable.label, plain=now.plain
            ),
            Temporary(now.instance, row.id, now.attempt, index).name(),
        )
        for index, deliverable in enumerate(deliverables)
    )
