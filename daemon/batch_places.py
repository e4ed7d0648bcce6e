"""Where a batch's cutouts get their names in its one output folder: free ones, the one that was wished for, or others'.

Which names a photo's cutout may have is the settings' to say (`batch_settings.py`), and what has no name yet the
batch's to remove.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Deliverable
from cutoutd.daemon.batch_settings import BatchSettings, identity_of
from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.publish import How, Published
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.files.digest import digest_file
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.mounts import filesystem_kind, needs_polling
from cutoutd.daemon.files.names import name_key
from cutoutd.daemon.sources import Source
from cutoutd.daemon.workers import protocol


class BatchPlaces:
    """The names that one run gives, no two cutouts the same.

    Args:
        settings: which names are wished for, and whether what has them is replaced.
        photos: the run's own, none of which is ever replaced.
        fs: of the output folder.
    """

    def __init__(self, settings: BatchSettings, photos: Iterable[Source], fs: RealFileSystem) -> None:
        self._settings = settings
        self._outbox = os.fsencode(settings.folder)
        self._fs = fs
        self._taken: set[str] = set()
        self._originals = frozenset(photo.identity for photo in photos)

    def publish(
        self,
        source: Source,
        number: int,
        result: protocol.Finished,
        file: protocol.FinishedFile,
        deliverable: Deliverable,
    ) -> publish.Place:
        """Gives a finished file its name.

        Args:
            source: the photo.
            number: its place in the run.
            result: what its worker said.
            file: the finished one.
            deliverable: what it was made for.

        Raises:
            FileNotFoundError: the file is there no more.
            PhotoError: the one name that is wanted is taken.
            OSError: the output folder, or the place in it, refuses.
        """
        names = self._settings.names_for(
            source,
            number,
            deliverable,
            mtime_ns=result.mtime_ns,
            digest=result.digest,
            extension=file.extension,
        )
        mode = 0o666 & ~self._settings.umask
        while True:
            place = self._place_for(names, file)
            replaces = ""
            if place.how is How.REPLACE:
                try:
                    replaces = digest_file(os.path.join(self._outbox, place.name), self._fs)
                except (FileNotFoundError, PermissionError, UnsafePath):
                    continue  # gone or something else by now, or so much somebody's that it may not even be read
            outcome = publish.publish(
                self._outbox,
                place.name,
                file.temporary,
                file.out_digest,
                size=file.out_size,
                fresh=True,
                replaces=replaces,
                mode=mode,
                leases=self._leases,
                fs=self._fs,
            )
            if outcome is Published.DONE:
                self._taken.add(place.key)
                return place
            if outcome is Published.GONE:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file.temporary)

    def give_back(self, places: Iterable[publish.Place]) -> None:
        """The photo is to be done again: its next cutouts adopt what lies there."""
        self._taken -= {place.key for place in places}

    @functools.cached_property
    def _leases(self) -> bool:
        return not needs_polling(filesystem_kind(Path(os.fsdecode(self._outbox))))

    def _place_for(self, names: Iterator[bytes], file: protocol.FinishedFile) -> publish.Place:
        """Raises PhotoError when the one name that is wanted is taken."""
        if self._settings.overwrite:
            return self._overwritten(names)
        if self._settings.exact:
            name = os.fsencode(self._settings.exact)
            if self._fs.exists(os.path.join(self._outbox, name)) and not publish.holds(
                self._outbox, name, file.out_digest, file.out_size, self._fs
            ):
                raise PhotoError(
                    Reason.NAME_TAKEN,
                    "Another file has the name that the cutout is to have",
                    os.path.join(self._outbox, name),
                    "--overwrite replaces it, --skip-existing leaves the photo alone.",
                )
            names = iter([name])
        return publish.find_place(
            self._outbox,
            names,
            taken=frozenset(self._taken),
            digest=file.out_digest,
            size=file.out_size,
            fs=self._fs,
        )

    def _overwritten(self, names: Iterator[bytes]) -> publish.Place:
        """The first name that this run has not used itself, whichever file lies there, unless it is one of the photos.

        Raises PhotoError when there is no other: somebody writes the file, or it is none.
        """
        for name in names:
            path = os.path.join(self._outbox, name)
            there = identity_of(path)
            if name_key(name) in self._taken or there in self._originals:
                continue
            if there is None:
                return publish.Place(name, name_key(name), How.NEW)
            if stat.S_ISREG(self._fs.lstat(path).st_mode):
                return publish.Place(name, name_key(name), How.REPLACE)
        raise PhotoError(
            Reason.NAME_TAKEN,
            "What has the name that the cutout is to have is no file, or a program has it open",
            os.path.join(self._outbox, os.fsencode(self._settings.exact)),
            "Close that program, or choose another name with -o.",
        )
