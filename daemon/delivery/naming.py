"""Names for a photo's finished cutouts: what they would like, what is taken, and what is committed before one is tried.

It publishes nothing. `NameSearch` asks the ledger and belongs in the supervisor's loop; all else is pure. Which of
the names each one gets is found in the outbox itself (`places.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from msgspec import Struct

from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery import manifest, publish
from cutoutd.daemon.delivery.group_calls import GroupCalls
from cutoutd.daemon.files.filesystem import RealFileSystem, Root
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.names import (
    candidates,
    date_of,
    mirrored_folder,
    name_prefix,
    portable,
    stem_of,
)
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.outbox_names import Taken, Withdrawals, names_taken
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import Delivery, PhotoRow
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.workers.protocol import Finished, FinishedFile

# A cutout whose name was not kept is looked for among this many numbered names.
NAMES_TRIED = 100


class Addressed(Struct, frozen=True):
    """The place that a file shall have, and the digest of our own cutout that may lie there.

    `leaves` is our earlier cutout that is to go from another place, since doubt about it has come or gone.
    """

    place: publish.Place
    replaces: str
    leaves: Delivery | None = None


class Wish(Struct, frozen=True):
    """What a cutout would like to be called: a folder below the outbox, and a name without extension.

    `other` is the folder on the other side of `review`: where it would lie if its network were sure of it, or were not;
    None where there is no such side.
    """

    folder: bytes
    stem: str
    other: bytes | None = None


@dataclass(slots=True)
class Route:
    """Where the cutouts of one inbox go, and how."""

    settings: Inbox
    io: IoThread
    mode: int
    keep_names: bool
    final_stage: bool
    final_model: str = ""
    portable: bool = False
    leases: bool = False
    inode: tuple[int, int] | None = None
    outbox: bytes = field(init=False)
    fs: FileSystem = field(init=False, compare=False)
    calls: GroupCalls = field(init=False, compare=False)  # to its outbox; the publisher's

    def __post_init__(self) -> None:
        """The outbox's absolute path, and the file system below it; another folder in its place is not touched."""
        self.outbox = os.fsencode(self.settings.outbox)
        self.fs = RealFileSystem(Root(self.outbox, self.inode))

    @property
    def folder_mode(self) -> int:
        """Permission bits of sub-folders: who may read the files may also look into their folder."""
        return self.mode | (self.mode & 0o444) >> 2 | (self.mode & 0o222) >> 1


class Wanted(Struct, frozen=True):
    """What names are looked for with.

    Attributes:
        wished: by file the folder and stem wished for.
        taken: by file the keys that are held there.
        earlier: by label our earlier cutouts.
        own: which of these are this very row's.
        dropped: which of these have a label that is no longer asked for: their names are free for the others.
        stay: keys of this very row that are not made again.
        given_up: by key the digests of cutouts that are to go.
    """

    wished: list[Wish]
    taken: list[Taken]
    earlier: Mapping[str, Delivery]
    own: frozenset[int]
    dropped: tuple[Delivery, ...]
    stay: frozenset[str]
    given_up: Mapping[str, Mapping[str, int]]


class NameSearch:
    """What the ledger knows of names.

    Args:
        ledger: asked; counts photos.
        transitions: the rows' life.
    """

    def __init__(self, ledger: Ledger, transitions: Transitions) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._withdrawals = Withdrawals(ledger)

    def wanted(
        self,
        row: PhotoRow,
        finished: Finished,
        deliverables: tuple[Deliverable, ...],
        route: Route,
        *,
        plain: bool,
    ) -> Wanted:
        """What the cutouts would like to be called, and what the ledger says of such names.

        Args:
            row: the photo.
            finished: its cutouts.
            deliverables: their deliverables.
            route: where they go.
            plain: the outbox refuses characters that others take.
        """
        counter = (
            self._counter(row) if any("{counter" in deliverable.name for deliverable in deliverables) else 0
        )
        review = route.settings.review
        wished = wishes(row, finished, deliverables, counter=counter, plain=plain, review=review)
        taken = [
            names_taken(self._ledger, route.outbox, name_prefix(one.folder, one.stem), besides=row.id)
            for one in wished
        ]
        own = self._transitions.deliveries(row.id)
        earlier = self._transitions.earlier(row)
        now = {file.label for file in finished.files}
        dropped = tuple(one for label, one in earlier.items() if label not in now)
        stay: frozenset[str] = frozenset()
        if Overrides.from_json(row.overrides).deliverable:  # the others are only not made again
            stay, dropped = frozenset(one.name_key for one in own if one.label not in now), ()
        given_up = self._withdrawals.given_up(route.outbox)
        return Wanted(wished, taken, earlier, frozenset(one.id for one in own), dropped, stay, given_up)

    def _counter(self, row: PhotoRow) -> int:
        """One number per photo and inbox, the same when the photo is done again."""
        own = self._ledger.get_meta(f"counter of {row.id}")
        if own is not None:
            return int(own)
        name = f"counter {row.inbox.hex()}"
        number = int(self._ledger.get_meta(name) or 0) + 1
        self._ledger.set_meta(name, number)
        self._ledger.set_meta(f"counter of {row.id}", number)
        return number

    def to_commit(
        self,
        row: PhotoRow,
        route: Route,
        finished: Finished,
        addressed: list[Addressed],
        *,
        earlier: Mapping[str, Delivery],
        failed: str,
    ) -> list[Delivery]:
        """What is committed before a name is tried: one for each cutout, or nothing is.

        Args:
            row: the photo.
            route: where they go.
            finished: its cutouts.
            addressed: their places.
            earlier: by label, our cutouts of it that are there already.
            failed: the id of the manifest's line that says it had failed; empty where there is none.
        """
        at = self._ledger.clock()

        def before(file: FinishedFile, place: Addressed) -> bytes:
            """The line that spoke of it, or of what it replaces under another label, so far."""
            same = earlier.get(file.label)
            others = (one for one in earlier.values() if one.out_digest == place.replaces)
            told = same or next(others, None)
            return b"" if told is None else told.manifest

        return [
            Delivery(
                label=file.label,
                outbox=route.outbox,
                name=one.place.name,
                name_key=one.place.key,
                out_digest=file.out_digest,
                out_size=file.out_size,
                temporary=file.temporary,
                replaces=one.replaces,
                leaves=one.leaves,
                stage=row.stage,
                manifest=manifest_line(
                    row,
                    finished,
                    file,
                    one.place.name,
                    at=at,
                    before=before(file, one),
                    failed=failed,
                ),
            )
            for file, one in zip(finished.files, addressed, strict=True)
        ]


def wishes(
    row: PhotoRow,
    finished: Finished,
    deliverables: tuple[Deliverable, ...],
    *,
    counter: int,
    plain: bool,
    review: str = "",
) -> list[Wish]:
    """The folder below the outbox and the name without extension that each deliverable would like to have.

    Args:
        row: the photo.
        finished: what its worker says of it.
        deliverables: its deliverables.
        counter: the photo's number in its inbox.
        plain: the outbox refuses characters that others take.
        review: sub-folder for doubtful ones; unset, they lie with the others.
    """
    path = row.path or b"photo"
    date = date_of(finished.mtime_ns)
    folders = [
        mirrored_folder(path, one.folder, date=date, label=one.label, plain=plain) for one in deliverables
    ]
    stems = [
        stem_of(
            deliverable.name,
            path,
            mtime_ns=finished.mtime_ns,
            counter=counter,
            digest=finished.digest,
            label=deliverable.label,
        )
        for deliverable in deliverables
    ]
    if plain:
        stems = [portable(stem) for stem in stems]
    if not review:
        return [Wish(folder, stem) for folder, stem in zip(folders, stems, strict=True)]
    aside = [os.path.join(os.fsencode(review), folder) for folder in folders]
    sides = (aside, folders) if finished.doubts else (folders, aside)
    return [Wish(*one) for one in zip(sides[0], stems, sides[1], strict=True)]


def is_named_alike(deliverables: Iterable[Deliverable], path: bytes, other: bytes) -> bool:
    """Whether a photo's cutouts would ask for the same names under both of these paths."""

    def names(of: bytes) -> list[tuple[bytes, str]]:
        """Folder and stem of each cutout, for a photo at this path."""
        return [
            (
                mirrored_folder(of, one.folder, date="", label=one.label),
                stem_of(one.name, of, mtime_ns=0, counter=0, digest="", label=one.label),
            )
            for one in deliverables
        ]

    deliverables = tuple(deliverables)
    return names(path) == names(other)


def is_called_so(delivery: Delivery, wish: Wish, extension: str) -> bool:
    """Whether an earlier cutout has one of the names that are wished for now; yes, where its name was not kept."""
    names = islice(candidates(wish.folder, wish.stem, extension), NAMES_TRIED)
    return not delivery.name or any(name == delivery.name for name in names)


def manifest_line(
    row: PhotoRow,
    finished: Finished,
    file: FinishedFile,
    name: bytes,
    *,
    at: float,
    before: bytes = b"",
    failed: str = "",
) -> bytes:
    """The line for one deliverable; empty when none was asked for. Where the one so far says the same, it stays.

    Args:
        row: the photo.
        finished: what its worker says of it.
        file: the deliverable.
        name: what it is called in its outbox.
        at: wall-clock seconds.
        before: the line that spoke of it so far, or empty.
        failed: id of the line of this photo's failure, or empty.
    """
    if not file.sha256:
        return b""
    made = manifest.Made(
        source=source_of(row),
        source_digest=finished.digest,
        output=os.fsdecode(name),
        deliverable=file.label,
        width=file.width,
        height=file.height,
        size=file.out_size,
        sha256=file.sha256,
        seconds=sum(finished.timings.values()),
        model=row.model,
        confidence=finished.confidence,
        needs_review=tuple(map(str, finished.doubts)),
    )
    text = manifest.line(made, at=at, supersedes=manifest.id_of(before) or failed)
    return before if manifest.say_the_same(text, before) else text


def source_of(row: PhotoRow) -> str:
    """What a photo is called in the manifest: its path in the inbox, or its key where names are not kept."""
    return row.key.hex() if row.path is None else os.fsdecode(row.path)
