"""Where in the outbox each finished cutout is to lie: in its earlier one's place, or under the first free name.

It looks into the outbox and belongs on its I/O thread; it publishes nothing and asks no ledger.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice

from msgspec.structs import replace

from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.naming import NAMES_TRIED, Addressed, Route, Wanted, Wish, is_called_so
from cutoutd.daemon.delivery.publish import How, Published
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import candidates, name_key
from cutoutd.daemon.ledger.outbox_names import Taken
from cutoutd.daemon.ledger.records import Delivery
from cutoutd.daemon.workers.protocol import Finished, FinishedFile


def find(wanted: Wanted, finished: Finished, route: Route) -> list[Addressed]:
    """On the I/O thread: a place for each cutout. Raises OSError."""
    files = tuple(zip(finished.files, wanted.wished, wanted.taken, strict=True))
    earlier = {file.label: _earlier(wanted, file, wish) for file, wish, _ in files}
    kept: dict[str, Delivery] = {}
    for file, wish, held in files:
        before = earlier[file.label]
        named = None if before is None else _named(before, wish, file, held)
        if named is not None and _stays(route, named, wish, file):
            kept[file.label] = named
    # Whatever leaves its place makes room for the others, which may change places with it.
    going = [wanted.earlier[label] for label in earlier if label not in kept and label in wanted.earlier]
    leaving = tuple(one for one in (*wanted.dropped, *going) if one.outbox == route.outbox)
    claimed = set(wanted.stay)
    found: list[Addressed] = []
    for file, wish, held in files:
        others = {name_key(one.name) for label, one in kept.items() if label != file.label}
        taken = held.without(one.name_key for one in leaving) | claimed | others
        given_up = {**wanted.given_up}
        for one in (_named(one, wish, file, held) for one in leaving):
            key = name_key(one.name)
            given_up[key] = {**given_up.get(key, {}), one.out_digest: one.out_size}
        one = address(route, file, wish, taken, earlier[file.label], given_up)
        claimed.add(one.place.key)
        found.append(one)
    return found


def lying(deliveries: list[Delivery]) -> list[Published]:
    """Which of the cutouts lie whole under their names. Raises OSError when an outbox cannot be looked at."""
    found: list[Published] = []
    for one in deliveries:
        fs = RealFileSystem(one.outbox)
        whole = publish.holds(one.outbox, one.name, one.out_digest, one.out_size, fs)
        found.append(Published.DONE if whole else Published.GONE)
    return found


def _earlier(wanted: Wanted, file: FinishedFile, wish: Wish) -> Delivery | None:
    """Our cutout that this one replaces in its place, or that leaves another place for it."""
    one = wanted.earlier.get(file.label)
    if one is None or (one.id in wanted.own and not is_called_so(one, wish, file.extension)):
        return None  # done again in another format or under another name: what it has is withdrawn after that
    return one


def _stays(route: Route, earlier: Delivery, wish: Wish, file: FinishedFile) -> bool:
    """Whether an earlier cutout gives its name to the new one, unless its owner changed it."""
    here = bool(earlier.name) and earlier.outbox == route.outbox and not _is_aside(route, earlier, wish)
    return here and os.path.splitext(earlier.name)[1] == file.extension.encode()


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
    name: it is to go from there. On the outbox's I/O thread. Raises OSError.
    """
    earlier = None if earlier is None else _named(earlier, wish, file, taken)
    leaves = earlier if earlier is not None and _is_aside(route, earlier, wish) else None
    if leaves is None and earlier is not None and earlier.name and earlier.outbox == route.outbox:
        extension = os.path.splitext(earlier.name)[1]
        how = publish.may_replace(route.outbox, earlier.name, earlier.out_digest, earlier.out_size, route.fs)
        if how is None and publish.holds(
            route.outbox, earlier.name, file.out_digest, file.out_size, route.fs
        ):
            how = How.ADOPT  # the ledger is an older one, which knows an earlier cutout there
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
