"""Names for a photo's finished cutouts: what they would like, what is taken, and what is committed before one is tried.

It publishes nothing. `NameSearch` asks the ledger and belongs in the supervisor's loop; `find` looks into the outbox
and belongs on its I/O thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cutoutd.config.output import Deliverable
from cutoutd.daemon.delivery.naming import (
    Addressed,
    Route,
    Wish,
    address,
    is_called_so,
    manifest_line,
    wishes,
)
from cutoutd.daemon.files.names import name_prefix
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import Delivery, PhotoRow
from cutoutd.daemon.ledger.taken_names import Taken, names_taken
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.withdrawals import Withdrawals
from cutoutd.daemon.workers.protocol import Finished


@dataclass(frozen=True, slots=True)
class Wanted:
    """What names are looked for with: by file the folder and stem wished for and the keys taken there; by label our
    earlier cutouts, and which of them are this very row's; by key the digests of cutouts that are to go.
    """

    wished: list[Wish]
    taken: list[Taken]
    earlier: Mapping[str, Delivery]
    own: frozenset[int]
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
        own = frozenset(one.id for one in self._transitions.deliveries(row.id))
        earlier = self._transitions.earlier(row)
        return Wanted(wished, taken, earlier, own, self._withdrawals.given_up(route.outbox))

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
        before = {label: one.manifest for label, one in earlier.items()}
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
                    before=before.get(file.label, b""),
                    failed=failed,
                ),
            )
            for file, one in zip(finished.files, addressed, strict=True)
        ]


def find(wanted: Wanted, finished: Finished, route: Route) -> list[Addressed]:
    """On the I/O thread: a place for each cutout. Raises OSError."""
    claimed: set[str] = set()
    found: list[Addressed] = []
    for file, wish, taken in zip(finished.files, wanted.wished, wanted.taken, strict=True):
        earlier = wanted.earlier.get(file.label)
        if earlier is not None and earlier.id in wanted.own:
            # Done again in another format or under another name: what it has is withdrawn after that.
            earlier = earlier if is_called_so(earlier, wish, file.extension) else None
        one = address(route, file, wish, taken | claimed, earlier, wanted.given_up)
        claimed.add(one.place.key)
        found.append(one)
    return found
