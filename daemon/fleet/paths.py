"""The head's paths as a node knows them: both see the same folders, mounted at different places; touches no file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.fleet import SharedFolder
from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers.protocol import Job


class NotSharedError(ValueError):
    """A path of the head's lies in no folder that this node shares."""

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{os.fsdecode(path)} lies in no [[folder]] of this node's file")
        self.path = path


class PathMap(Struct, frozen=True):
    """Folders by the head's name, longest first, with the node's."""

    pairs: tuple[tuple[bytes, bytes, bool], ...]

    @classmethod
    def of(cls, folders: Iterable[SharedFolder]) -> PathMap:
        """From a node's file."""
        found = [
            (os.fsencode(one.head.rstrip("/") or "/"), os.fsencode(one.here), bool(one.write))
            for one in folders
        ]
        return cls(tuple(sorted(found, key=lambda pair: len(pair[0]), reverse=True)))

    def here(self, path: bytes) -> bytes:
        """A path of the head's on this machine.

        Raises:
            NotSharedError: no folder holds it.
        """
        return self._find(path)[0]

    def writable(self, path: bytes) -> bool:
        """Whether this node may write there.

        Raises:
            NotSharedError: no folder holds it.
        """
        return self._find(path)[1]

    def _find(self, path: bytes) -> tuple[bytes, bool]:
        # ".." would leave the folder again.
        for head, here, write in self.pairs:
            if path == head:
                return here, write
            if path.startswith(head.rstrip(b"/") + b"/") and b".." not in path.split(b"/"):
                return here + path[len(head.rstrip(b"/")) :], write
        raise NotSharedError(path)

    def job(self, job: Job, outbox_inode: tuple[int, int] | None) -> Job:
        """The same photo for a worker of this machine.

        Args:
            job: with the head's paths.
            outbox_inode: device and inode of its outbox here.

        Raises:
            NotSharedError: the photo, its outbox, mask or background lies in no shared folder.
        """
        for outbox in job.outboxes:
            if not self.writable(outbox):
                raise NotSharedError(outbox)
        return replace(
            job,
            path=self.here(job.path),
            root=self.here(job.root) if job.root else b"",
            mask=self.here(job.mask) if job.mask else b"",
            outboxes=tuple(self.here(one) for one in job.outboxes),
            temporaries=tuple(self.here(one) for one in job.temporaries),
            deliverables=tuple(self._deliverable(one) for one in job.deliverables),
            outbox_inode=outbox_inode,
        )

    def _deliverable(self, deliverable: Deliverable) -> Deliverable:
        picture = deliverable.background_path
        if picture is None:
            return deliverable
        return deliverable.model_copy(update={"background": os.fsdecode(self.here(os.fsencode(picture)))})
