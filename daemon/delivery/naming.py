"""Names for a photo's finished cutouts: what they would like, what is taken, and what is committed before one is tried.

It publishes nothing. `NameSearch` asks the ledger and belongs in the supervisor's loop; `find` looks into the outbox
and belongs on its I/O thread; all else is pure.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.delivery import manifest, publish
from cutoutd.daemon.delivery.group_calls import GroupCalls
from cutoutd.daemon.delivery.publish import How
from cutoutd.daemon.files.filesystem import RealFileSystem, Root
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.names import (
    candidates,
    date_of,
    mirrored_folder,
    name_key,
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


def find(wanted: Wanted, finished: Finished, route: Route) -> list[Addressed]:
    """On the I/O thread: a place for each cutout. Raises OSError."""
    claimed = set(wanted.stay)
    found: list[Addressed] = []
    for file, wish, held in zip(finished.files, wanted.wished, wanted.taken, strict=True):
        earlier = wanted.earlier.get(file.label)
        if earlier is not None and earlier.id in wanted.own:
            # Done again in another format or under another name: what it has is withdrawn after that.
            earlier = earlier if is_called_so(earlier, wish, file.extension) else None
        dropped = [_named(one, wish, file, held) for one in wanted.dropped if one.outbox == route.outbox]
        taken = held.without(one.name_key for one in wanted.dropped) | claimed
        given_up = {**wanted.given_up}
        for one in dropped:
            key = name_key(one.name)
            given_up[key] = {**given_up.get(key, {}), one.out_digest: one.out_size}
        one = address(route, file, wish, taken, earlier, given_up)
        claimed.add(one.place.key)
        found.append(one)
    return found


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
    folders = [mirrored_folder(path, one.folder, date=date, label=one.label) for one in deliverables]
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


def address(
    route: Route,
    file: FinishedFile,
    wish: Wish,
    taken: Taken,
    earlier: Delivery | None,
    given_up: Mapping[str, Mapping[str, int]] = publish.NOTHING_GIVEN_UP,
) -> Addressed:
    """The name for one file: that of its own earlier cutout, or the first one that is free or given up.

    An earlier one on the other side of `review`, or in a format that the configuration no longer asks for, gives no
    name: it is to go from there.
    """
    earlier = None if earlier is None else _named(earlier, wish, file, taken)
    leaves = earlier if earlier is not None and _is_aside(route, earlier, wish) else None
    if leaves is None and earlier is not None and earlier.name and earlier.outbox == route.outbox:
        extension = os.path.splitext(earlier.name)[1]
        how = publish.may_replace(route.outbox, earlier.name, earlier.out_digest, earlier.out_size, route.fs)
        if how is not None and extension == file.extension.encode():
            place = publish.Place(earlier.name, earlier.name_key, how)
            return Addressed(place, earlier.out_digest if how is How.REPLACE else "")
        leaves = earlier if how is How.REPLACE else None  # else it shows what the photo no longer is
    names = candidates(wish.folder, wish.stem, file.extension)
    place = publish.find_place(
        route.outbox,
        names,
        taken=taken,
        digest=file.out_digest,
        size=file.out_size,
        fs=route.fs,
        given_up=given_up,
    )
    return Addressed(place, place.replaces, leaves)


def _named(earlier: Delivery, wish: Wish, file: FinishedFile, taken: Taken) -> Delivery:
    """An earlier cutout with its name; one of which only the keyed digest was kept is found among possible ones."""
    if earlier.name:
        return earlier
    for folder in (wish.folder, wish.other):
        names = () if folder is None else islice(candidates(folder, wish.stem, file.extension), NAMES_TRIED)
        for name in names:
            if taken.key(name_key(name)) == earlier.name_key:
                return replace(earlier, name=name)
    return earlier


def _is_aside(route: Route, earlier: Delivery, wish: Wish) -> bool:
    """Whether an earlier cutout lies on the other side of `review` than the new one is to."""
    if wish.other is None or not earlier.name or earlier.outbox != route.outbox:
        return False
    return os.path.dirname(earlier.name) == wish.other.rstrip(b"/")


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
