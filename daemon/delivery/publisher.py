"""From finished temporaries to published cutouts; what then becomes of the original is `caretaker.py`'s business.

Every step commits its intention to the ledger, then acts on an I/O thread, then commits the outcome. All methods
run in the supervisor's loop.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cutoutd.config.errors import mistake
from cutoutd.config.output import Deliverable
from cutoutd.daemon.delivery import manifest, publish
from cutoutd.daemon.delivery.naming import Addressed, Route, address, manifest_line, wishes
from cutoutd.daemon.delivery.publish import Published
from cutoutd.daemon.delivery.withdraw import Withdrawer
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.mounts import MountIdentity, really_there
from cutoutd.daemon.files.names import name_prefix
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import Then, alone, guarded
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Delivery, PhotoRow
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare, DeliveryState, Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.withdrawals import Withdrawals
from cutoutd.daemon.workers.job import Finished, is_trouble_of_the_outbox

# What a file system answers to a name or path that it cannot hold: no trouble of the outbox as a whole.
# ELOOP: a link, or something else that is no folder of ours, lies where the cutout's folder should be.
OF_THE_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP})
# What it answers where a folder on the way is a file, protected, or a mount of its own.
OF_THE_PLACE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EEXIST})


class Publisher:
    """Publishes what workers finished.

    Args:
        ledger: where intentions and outcomes are committed.
        outcomes: the rows' life.
        instance: id in our hidden names.
        on_done: called with a row's id and the paths of its cutouts once all are published.
        on_trouble: called with an inbox key and a sentence when its outbox cannot be used.
        on_released: called with a row's id when it is no longer in hand, whatever became of it.
        on_owed: called with a row's id when its original is to be moved now.
        on_refused: called with a row and a sentence when the outbox cannot hold the cutout's name.
        on_no_place: called with a row, an errno and words when a folder of the outbox may be what refuses.
        on_fault: called with a row's id when a mistake of ours kept its cutout from being published.
    """

    def __init__(
        self,
        ledger: Ledger,
        transitions: Transitions,
        *,
        instance: str,
        on_done: Callable[[int, list[bytes], Mapping[str, float]], None],
        on_trouble: Callable[[bytes, str], None],
        on_released: Callable[[int], None],
        on_owed: Callable[[int], None],
        on_refused: Callable[[PhotoRow, str], None],
        on_no_place: Callable[[PhotoRow, int, str], None],
        on_fault: Callable[[int, Exception], None],
    ) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._intake = Intake(ledger)
        self._history = History(ledger)
        self._instance = instance
        self._on_done = on_done
        self._on_trouble = on_trouble
        self._on_released = on_released
        self._on_owed = on_owed
        self._on_refused = on_refused
        self._on_no_place = on_no_place
        self._on_fault = on_fault
        self._plain_names: set[bytes] = set()  # outboxes seen to refuse characters, whatever their kind
        self._routes: dict[bytes, Route] = {}
        self._withdrawals = Withdrawals(ledger)
        self._withdrawer = Withdrawer(self._withdrawals, instance, self._outbox_there)
        self._busy: set[int] = set()
        self._mounts: dict[bytes, MountIdentity] = {}

    def configure(self, routes: dict[bytes, Route]) -> None:
        """Sets, per inbox, where its cutouts go."""
        self._routes = routes

    def in_transit(self) -> int:
        """How many photos are between their worker and the outbox, and cutouts on their way out of it."""
        return len(self._busy) + self._withdrawer.busy()

    def withdraw(self) -> None:
        """Takes away what a crash, or an outbox that was away, left of cutouts whose photo has another name now."""
        for inbox, route in self._routes.items():
            self._withdrawer.withdraw(inbox, route)

    # --- publication -----------------------------------------------------------------------------------------

    def deliver(self, row: PhotoRow, finished: Finished, orders: tuple[Deliverable, ...]) -> None:
        """Finds names for a photo's drafts, commits them, publishes."""
        with self._alone(row):
            self._deliver(row, finished, orders)

    def _deliver(self, row: PhotoRow, finished: Finished, orders: tuple[Deliverable, ...]) -> None:
        route = self._routes.get(row.inbox)
        if route is None or not _lies_in(finished, route.outbox):
            self._drop(row, finished)  # the config changed while it was in hand
            return
        self._busy.add(row.id)
        earlier = self._transitions.earlier(row)
        counter = self._counter(row) if any("{counter" in order.name for order in orders) else 0
        plain = route.portable or route.outbox in self._plain_names
        folders, stems = wishes(row, finished, orders, counter=counter, plain=plain)
        taken = {
            (folder, stem): self._transitions.names_taken(
                route.outbox, name_prefix(folder, stem), besides=row.id
            )
            for folder, stem in zip(folders, stems, strict=True)
        }

        given_up = self._withdrawals.given_up(route.outbox)

        def find() -> list[Addressed]:
            there, why = self._outbox_there(route)
            if not there:
                raise FileNotFoundError(errno.ENOENT, why)
            claimed: set[str] = set()
            found: list[Addressed] = []
            for draft, folder, stem in zip(finished.drafts, folders, stems, strict=True):
                one = address(
                    route,
                    draft,
                    folder,
                    stem,
                    taken[folder, stem] | claimed,
                    earlier.get(draft.label),
                    given_up,
                )
                claimed.add(one.place.key)
                found.append(one)
            return found

        self._call(row, route, find, lambda value, error: self._found(row, finished, orders, value, error))

    def _alone(self, row: PhotoRow) -> AbstractContextManager[None]:
        """Whatever is wrong with one photo's publication, the others go on."""
        return alone(lambda error: self._fault(row, error))

    def _call(self, row: PhotoRow, route: Route, work: Callable[[], Any], then: Then) -> None:
        route.io.call(work, guarded(then, lambda error: self._fault(row, error)))

    def _fault(self, row: PhotoRow, error: Exception) -> None:
        """A mistake with this photo: what lies in the outbox already is kept as its own, then it is counted."""
        route = self._routes.get(row.inbox)
        deliveries = [d for d in self._transitions.deliveries(row.id) if d.state is DeliveryState.DELIVERING]

        def told(_second: Exception | None = None) -> None:
            self._busy.discard(row.id)
            self._on_fault(row.id, error)

        def looked(outcome: list[Published] | None, _error: BaseException | None) -> None:
            self._run_again(row, deliveries, outcome or [])
            told()

        if route is None or not deliveries:
            told()
        else:
            route.io.call(lambda: _lying(deliveries), guarded(looked, told))

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

    def _outbox_there(self, route: Route) -> tuple[bool, str]:
        """On the I/O thread: whether the outbox is the folder it was, and not an unmounted stand-in."""
        return really_there(route.settings.outbox, self._mounts.get(route.outbox))

    def remember_mounts(self) -> None:
        """Reads the recorded identity of every outbox from the ledger."""
        self._mounts = Folders(self._ledger).all()

    def _found(
        self,
        row: PhotoRow,
        finished: Finished,
        orders: tuple[Deliverable, ...],
        addressed: list[Addressed] | None,
        error: BaseException | None,
    ) -> None:
        if addressed is None:
            if not self._blame_name(row, error, lambda: self._drop(row, finished)) and not self._blame_place(
                row, error, lambda: self._drop(row, finished)
            ):
                self._trouble(row, error, lambda: self._drop(row, finished))
            return
        route = self._routes.get(row.inbox)
        if route is None or not _lies_in(finished, route.outbox):
            self._drop(row, finished)
            return
        deliveries = [
            Delivery(
                label=one.draft.label,
                outbox=route.outbox,
                name=one.place.name,
                name_key=one.place.key,
                out_digest=one.draft.out_digest,
                out_size=one.draft.out_size,
                temporary=one.draft.temporary,
                replaces=one.replaces,
                stage=row.stage,
                manifest=manifest_line(row, one.draft, one.place.name),
            )
            for one in addressed
        ]
        if not self._transitions.delivering(row, finished.digest, deliveries):
            self.deliver(row, finished, orders)  # another photo took one of the names: look again
            return
        self._publish(
            row,
            route,
            deliveries,
            finished.timings,
            lambda: self.deliver(row, finished, orders),
            fresh=True,
        )

    def resume(self, row: PhotoRow) -> None:
        """After a crash or an outbox's return: publishes what was committed, or lets the photo run again."""
        with self._alone(row):
            self._resume(row)

    def _resume(self, row: PhotoRow) -> None:
        route = self._routes.get(row.inbox)
        deliveries = [d for d in self._transitions.deliveries(row.id) if d.state is DeliveryState.DELIVERING]
        if route is None or row.id in self._busy:
            return
        self._busy.add(row.id)
        if any(delivery.outbox != route.outbox for delivery in deliveries):
            self._look_back(row, route, deliveries)
            return
        self._publish(row, route, deliveries, {}, lambda: self._run_again(row, deliveries, []), fresh=False)

    def _look_back(self, row: PhotoRow, route: Route, deliveries: list[Delivery]) -> None:
        """The config names another outbox since: what lies in the old one counts, the rest is made for the new."""

        def looked(outcome: list[Published] | None, _error: BaseException | None) -> None:
            if outcome is not None and all(one is Published.DONE for one in outcome):
                self._delivered(row, route, deliveries, {})
            else:
                self._run_again(row, deliveries, outcome or [])

        self._call(row, route, lambda: _lying(deliveries), looked)

    def _run_again(self, row: PhotoRow, deliveries: list[Delivery], outcome: list[Published]) -> None:
        through = [d.label for d, one in zip(deliveries, outcome, strict=False) if one is Published.DONE]
        temporaries = [d.temporary for d in deliveries]
        route = self._routes.get(row.inbox)
        if route is not None:
            route.io.call(lambda: publish.discard(temporaries, route.fs), lambda _value, _error: None)
        self._transitions.undeliver(row.id, through)
        self._release(row.id)

    def _publish(
        self,
        row: PhotoRow,
        route: Route,
        deliveries: list[Delivery],
        timings: Mapping[str, float],
        otherwise: Callable[[], None],
        *,
        fresh: bool,
    ) -> None:
        """Publishes; `fresh` when the temporaries were made in this life, and are not found after a crash."""
        started = time.perf_counter()

        def publish_all() -> list[Published]:
            there, why = self._outbox_there(route)
            if not there:
                raise FileNotFoundError(errno.ENOENT, why)
            outcome = [
                publish.publish(
                    d.outbox,
                    d.name,
                    d.temporary,
                    d.out_digest,
                    size=d.out_size if fresh else 0,
                    replaces=d.replaces,
                    mode=route.mode,
                    leases=route.leases,
                    fs=route.fs,
                )
                for d in deliveries
            ]
            if all(one is Published.DONE for one in outcome):
                folder = Path(os.fsdecode(route.outbox))
                for text in filter(None, (d.manifest for d in deliveries)):
                    manifest.append(folder / manifest.NAME, text, route.fs)
            return outcome

        def published(outcome: list[Published] | None, error: BaseException | None) -> None:
            if outcome is None:
                if not self._blame_name(
                    row, error, lambda: self._run_again(row, deliveries, [])
                ) and not self._blame_place(row, error, lambda: self._run_again(row, deliveries, [])):
                    self._trouble(row, error, lambda: self._release(row.id))
            elif all(one is Published.DONE for one in outcome):
                spent = {**timings, "deliver": time.perf_counter() - started}
                self._delivered(row, route, deliveries, spent)
            elif Published.GONE in outcome:
                self._run_again(row, deliveries, outcome)
            else:
                otherwise()

        self._call(row, route, publish_all, published)

    def _delivered(
        self, row: PhotoRow, route: Route, deliveries: list[Delivery], timings: Mapping[str, float]
    ) -> None:
        after = route.settings.after
        now = self._intake.get(row.id) or row
        # A newer photo may lie at its path by now: then no better cutout of this one can be made.
        stepped_back = not now.live and row.archived_to is None
        draft = row.stage is Stage.DRAFT and route.final_stage and not stepped_back
        owed = after.action != "keep" and not draft and row.archived_to is None
        if owed:
            with self._ledger.durably():
                self._transitions.delivered(row, timings=timings, aftercare=Aftercare.OWED, next_stage=None)
        else:
            status = row.aftercare if row.archived_to is not None else Aftercare.NONE
            self._transitions.delivered(
                row, timings=timings, aftercare=status, next_stage=Stage.FINAL if draft else None
            )
        paths = [os.path.join(d.outbox, d.name) for d in deliveries]
        if not route.keep_names and not owed and not draft:
            self._history.drop_names(row.id)
        self._on_done(row.id, paths, timings)  # first, for it tells since when the photo was in hand
        self._release(row.id)
        self._withdrawer.withdraw(row.inbox, route)
        if owed:
            self._on_owed(row.id)

    def _trouble(self, row: PhotoRow, error: BaseException | None, otherwise: Callable[[], None]) -> None:
        if error is not None and not isinstance(error, OSError):
            raise error  # no outbox is to blame for a mistake of ours
        code = getattr(error, "errno", None) or errno.EIO
        why = getattr(error, "strerror", None) or str(error)
        if not isinstance(error, OSError) or not is_trouble_of_the_outbox(code):
            why = mistake(error) if error is not None else ""
        otherwise()
        self._on_trouble(row.inbox, str(why))

    def _blame_place(self, row: PhotoRow, error: BaseException | None, otherwise: Callable[[], None]) -> bool:
        """Whether it may be one folder in the outbox that refuses, and not the outbox; a probe then tells."""
        code = getattr(error, "errno", None)
        if code not in OF_THE_PLACE:
            return False
        otherwise()
        self._on_no_place(row, code or 0, getattr(error, "strerror", None) or str(error))
        return True

    def _blame_name(self, row: PhotoRow, error: BaseException | None, otherwise: Callable[[], None]) -> bool:
        """Whether the outbox refused this one name; then plainer ones are tried, or the photo alone fails."""
        code = getattr(error, "errno", None)
        if code not in OF_THE_NAME:
            return False
        otherwise()
        route = self._routes.get(row.inbox)
        plain = route is None or route.portable or route.outbox in self._plain_names
        if plain or code in (errno.ENAMETOOLONG, errno.ELOOP):
            self._on_refused(row, getattr(error, "strerror", None) or os.strerror(code or 0))
        elif route is not None:
            self._plain_names.add(route.outbox)
        return True

    def _drop(self, row: PhotoRow, finished: Finished) -> None:
        """The result cannot be delivered now: the photo is owed again, its temporaries go."""
        self.discard(row.inbox, finished)
        self._transitions.again(row.id)
        self._release(row.id)

    def discard(self, inbox: bytes, finished: Finished) -> None:
        """Removes the temporaries of a result that nobody wants."""
        route = self._routes.get(inbox)
        if route is not None:
            temporaries = [draft.temporary for draft in finished.drafts]
            route.io.call(lambda: publish.discard(temporaries, route.fs), lambda _value, _error: None)

    def _release(self, photo: int) -> None:
        self._busy.discard(photo)
        self._on_released(photo)


def _lying(deliveries: list[Delivery]) -> list[Published]:
    return [Published.DONE if _holds(one) else Published.GONE for one in deliveries]


def _holds(delivery: Delivery) -> bool:
    fs = RealFileSystem(delivery.outbox)
    return publish.holds(delivery.outbox, delivery.name, delivery.out_digest, fs)


def _lies_in(finished: Finished, folder: bytes) -> bool:
    return all(draft.temporary.startswith(folder + b"/") for draft in finished.drafts)
