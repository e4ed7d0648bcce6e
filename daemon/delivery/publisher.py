"""From finished temporaries to published cutouts; what then becomes of the original is `originals/`'s business.

A publication is one coroutine: `_deliver` finds names and commits them, `_publish` gives them to the files on the
outbox's I/O thread and commits the outcome; after a crash `_resume` goes on from the commit. Who awaits it gets an
`Outcome`, and does what that means for the photo. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from cutoutd.config.errors import CutoutError
from cutoutd.config.output import Deliverable
from cutoutd.daemon.delivery import leftovers, manifest, publish
from cutoutd.daemon.delivery.failure_lines import FailureLines
from cutoutd.daemon.delivery.group_calls import GroupCalls
from cutoutd.daemon.delivery.naming import Addressed, NameSearch, Route
from cutoutd.daemon.delivery.outcomes import Delivered, Lost, MadeAgain, Outcome, Troubles
from cutoutd.daemon.delivery.places import find, lying
from cutoutd.daemon.delivery.publish import Published
from cutoutd.daemon.delivery.withdraw import Withdrawer
from cutoutd.daemon.files.folders import make_below
from cutoutd.daemon.files.interface import FileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.files.story import Calls, run, send
from cutoutd.daemon.files.usable import can_be_used
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import alone
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.outbox_names import Withdrawals
from cutoutd.daemon.ledger.records import Delivery, PhotoRow
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Aftercare, DeliveryState, Stage
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.ledger.troubles import is_ledgers_own
from cutoutd.daemon.ledger.undelivered import give_names_up, undeliver
from cutoutd.daemon.workers.protocol import Finished

# So often names are looked for anew that others have taken meanwhile; each time one of them has to be quicker than we.
# Who ever loses so often has met a mistake of ours, which one photo is to pay for and not its outbox without an end.
MOST_ROUNDS: Final = 50


class NoNameError(CutoutError):
    """Each name that was found free was not to be had."""


class Publisher:
    """Publishes what workers finished.

    Args:
        ledger: where intentions and outcomes are committed.
        transitions: the rows' life.
        on_disk: what must be durable before a story goes on is written there.
        instance: id in our hidden names.
        discard_elsewhere: removes temporaries in outboxes that have left the config.
    """

    def __init__(
        self,
        ledger: Ledger,
        transitions: Transitions,
        *,
        on_disk: Calls,
        instance: str,
        discard_elsewhere: Callable[[Iterable[bytes]], None],
    ) -> None:
        self._ledger = ledger
        self._on_disk = on_disk
        self._discard_elsewhere = discard_elsewhere
        self._transitions = transitions
        self._intake = Intake(ledger)
        self._history = History(ledger)
        self._names = NameSearch(ledger, transitions)
        self._instance = instance
        self._routes: dict[bytes, Route] = {}
        self._calls: dict[tuple[bytes, IoThread, tuple[int, int] | None], GroupCalls] = {}
        self._withdrawals = Withdrawals(ledger)
        self._withdrawer = Withdrawer(self._withdrawals, instance)
        self._failures = FailureLines(ledger)
        self._busy: set[int] = set()
        self._troubles = Troubles()
        self._mounts: dict[bytes, MountIdentity] = {}

    def configure(self, routes: dict[bytes, Route]) -> None:
        """Sets, per inbox, where its cutouts go."""
        self._routes = routes
        before, self._calls = self._calls, {}
        for route in routes.values():
            # One for each outbox, whoever publishes there, and the same as before: they are made in order.
            key = route.outbox, route.io, route.inode
            calls = self._calls.get(key) or before.get(key)
            if calls is None:
                calls = GroupCalls(route.io, partial(self._must_be_there, route), partial(_sync, route.fs))
            route.calls = self._calls[key] = calls

    def in_transit(self) -> int:
        """How many photos are between their worker and the outbox, and cutouts on their way out of it."""
        return len(self._busy) + self._withdrawer.busy() + self._failures.busy()

    def note_failures(self) -> None:
        """Writes lines for photos that failed into the manifests, where they are kept."""
        self._failures.note(self._routes)

    def withdraw(self) -> None:
        """Takes away what a crash, or an outbox that was away, left of cutouts whose photo has another name now."""
        for inbox in self._routes:
            self._withdrawer.withdraw(inbox, self._routes)

    # --- the story of one publication --------------------------------------------------------------------------

    async def deliver(
        self, row: PhotoRow, finished: Finished, deliverables: tuple[Deliverable, ...]
    ) -> Outcome:
        """Publishes a photo's finished files: finds names for them, commits these, and gives them to the files."""
        return await self._to_its_end(row, self._deliver(row, finished, deliverables))

    async def resume(self, row: PhotoRow) -> Outcome | None:
        """After a crash or an outbox's return: publishes what was committed, or lets the photo run again.

        None where that is being done already, or its inbox is no longer in the config.
        """
        if row.inbox not in self._routes or row.id in self._busy:
            return None
        return await self._to_its_end(row, self._resume(row))

    async def _deliver(
        self, row: PhotoRow, finished: Finished, deliverables: tuple[Deliverable, ...]
    ) -> Outcome:
        """From finished temporaries to committed cutouts. From the moment that names are committed a crash resumes."""
        for _ in range(MOST_ROUNDS):
            route = self._routes.get(row.inbox)
            if route is None or not _lies_in(finished, route.outbox):
                return self._drop(row, finished)  # the config changed while it was in hand
            wanted = self._names.wanted(row, finished, deliverables, route, plain=self._plain(route))
            try:
                addressed = await run(route.calls, find, wanted, finished, route)
            except OSError as error:
                self._drop(row, finished)
                return self._refused(row, error, its_own=self._troubles.is_its_own(row.id, error))
            deliveries = await run(
                self._on_disk, self._commit_names, row, route, finished, addressed, wanted.earlier
            )
            if deliveries is None:
                continue  # the config changed meanwhile, or another photo took one of the names: look again
            outcome = await self._publish(row, route, deliveries, fresh=True, timings=finished.timings)
            if outcome is not None:
                return outcome
        raise NoNameError(f"its cutout found no name in {MOST_ROUNDS} tries")

    def _commit_names(
        self,
        row: PhotoRow,
        route: Route,
        finished: Finished,
        addressed: list[Addressed],
        earlier: Mapping[str, Delivery],
    ) -> list[Delivery] | None:
        """What is to lie under which names; None where these are no longer to be had."""
        if self._routes.get(row.inbox) != route:
            return None
        failed = self._failures.written(row.id) if route.settings.manifest_kind else ""
        deliveries = self._names.to_commit(row, route, finished, addressed, earlier=earlier, failed=failed)
        committed = self._transitions.delivering(
            row, finished.digest, deliveries, confidence=finished.confidence, doubts=finished.doubts
        )
        return deliveries if committed else None

    async def _resume(self, row: PhotoRow) -> Outcome:
        """From committed names on; whatever cannot be published any more is made again."""
        route = self._routes[row.inbox]
        deliveries = self._undelivered(row)
        if not deliveries:  # other names were looked for when the daemon ended
            return self._again(row, [], [])
        if any(delivery.outbox != route.outbox for delivery in deliveries):
            # The config names another outbox since: what lies in the old one counts, the rest is made for the new.
            lying = await self._what_lies(deliveries, route)
            if lying == [Published.DONE] * len(deliveries):
                # Earlier ones of the same bytes may lie there, and these beside them.
                self.discard_all([delivery.temporary for delivery in deliveries])
                return await self._delivered(row, route, deliveries, {})
            return self._again(row, deliveries, lying)
        outcome = await self._publish(row, route, deliveries, fresh=False, timings={})
        return outcome or self._again(row, deliveries, [])

    async def _publish(
        self,
        row: PhotoRow,
        route: Route,
        deliveries: list[Delivery],
        *,
        fresh: bool,
        timings: Mapping[str, float],
    ) -> Outcome | None:
        """Gives committed names to the files, and commits that they have them.

        Args:
            row: the photo.
            route: where to.
            deliveries: the names.
            fresh: the temporaries were made in this life, and are not found after a crash.
            timings: seconds per stage so far.

        Returns:
            What became of it; None when somebody else's file has one of the names by now: what has its name keeps it,
            and nothing else is decided yet.
        """
        started = time.perf_counter()
        sizes = self._withdrawals.sizes_of(one.replaces for one in deliveries)
        try:
            published = await run(route.calls, self._publish_all, route, deliveries, sizes, fresh=fresh)
        except OSError as error:
            its_own = self._troubles.is_its_own(row.id, error)
            if its_own:  # else committed as it is: it goes on when the outbox is back
                self._again(row, deliveries, await self._what_lies(deliveries, route))
            return self._refused(row, error, its_own=its_own)
        if published == [Published.DONE] * len(deliveries):
            spent = {**timings, "deliver": time.perf_counter() - started}
            return await self._delivered(row, route, deliveries, spent)
        if Published.GONE in published:
            made_again = self._again(row, deliveries, published)
            return Lost() if fresh else made_again
        give_names_up(self._transitions, row, _through(deliveries, published))
        return None

    async def _delivered(
        self, row: PhotoRow, route: Route, deliveries: list[Delivery], timings: Mapping[str, float]
    ) -> Delivered:
        """All of them lie under their names: that is committed, and what becomes of the original with it."""
        if route.settings.after.action == "keep":
            owed, draft = self._commit_delivered(row, route, timings)
        else:  # the original may be moved at once
            owed, draft = await run(self._on_disk, self._commit_delivered, row, route, timings)
        # First: it takes up the names that are to go. The inbox may have left the config meanwhile.
        self._withdrawer.withdraw(row.inbox, {row.inbox: route, **self._routes})
        if not route.keep_names and not owed and not draft:
            self._history.drop_names(row.id)
        self._troubles.went_well(row.id)
        return Delivered([os.path.join(d.outbox, d.name) for d in deliveries], timings, owed)

    def _commit_delivered(
        self, row: PhotoRow, route: Route, timings: Mapping[str, float]
    ) -> tuple[bool, bool]:
        """Whether after-care of the original is owed from now on, and whether a better cutout than this draft is."""
        now = self._intake.get(row.id) or row
        # A newer photo may lie at its path by now: then no better cutout of this one can be made.
        stepped_back = not now.live and row.archived_to is None
        # Drafts may have been given up in the config while the network for them had this one in hand.
        by_another = route.final_stage or now.model != route.final_model
        draft = row.stage is Stage.DRAFT and by_another and not stepped_back
        owed = route.settings.after.action != "keep" and not draft and row.archived_to is None
        status = row.aftercare if row.archived_to is not None else Aftercare.NONE
        self._transitions.delivered(
            row,
            timings=timings,
            aftercare=Aftercare.OWED if owed else status,
            next_stage=Stage.FINAL if draft else None,
        )
        return owed, draft

    # --- its steps ---------------------------------------------------------------------------------------------

    def _publish_all(
        self, route: Route, deliveries: list[Delivery], sizes: Mapping[str, int], *, fresh: bool
    ) -> list[Published]:
        """On the I/O thread: each file under its name, and in the manifest when all are. Raises OSError."""
        lines = [one.manifest for one in deliveries if one.manifest]
        to_sync = None if lines else route.calls.to_sync  # a manifest says what cannot be lost any more
        for one in deliveries:
            self._make_folder(one, route)
        outcome = [
            publish.publish(
                d.outbox,
                d.name,
                d.temporary,
                d.out_digest,
                size=d.out_size,
                fresh=fresh,
                replaces=d.replaces,
                replaces_size=sizes.get(d.replaces, 0),
                mode=route.mode,
                leases=route.leases,
                to_sync=to_sync,
                fs=route.fs,
            )
            for d in deliveries
        ]
        if all(one is Published.DONE for one in outcome):
            folder = Path(os.fsdecode(route.outbox))
            kind = route.settings.manifest_kind or "jsonl"  # asked for when it was committed, if not now
            manifest.record(folder / manifest.NAMES[kind], lines, route.fs, route.mode)
        return outcome

    def _make_folder(self, delivery: Delivery, route: Route) -> None:
        """Its worker made the folder of its temporary; where the name lies in another, that may be missing."""
        folder = os.path.dirname(os.path.join(delivery.outbox, delivery.name))
        if folder != os.path.dirname(delivery.temporary):
            make_below(route.fs, delivery.outbox, folder, route.folder_mode)

    async def _what_lies(self, deliveries: list[Delivery], route: Route) -> list[Published]:
        """Which of the cutouts lie under their names already; none, where that cannot be seen."""
        try:
            return await run(route.io, lying, deliveries)
        except OSError:
            return [Published.GONE] * len(deliveries)

    def _undelivered(self, row: PhotoRow) -> list[Delivery]:
        return [d for d in self._transitions.deliveries(row.id) if d.state is DeliveryState.DELIVERING]

    def _must_be_there(self, route: Route) -> None:
        """On the I/O thread: the outbox has to be the folder it was, and not an unmounted stand-in."""
        answer = can_be_used(route.settings.outbox, self._mounts.get(route.outbox))
        if not answer:
            raise FileNotFoundError(errno.ENOENT, answer.sentence)

    def remember_mounts(self) -> None:
        """Reads the recorded identity of every outbox from the ledger."""
        self._mounts = Folders(self._ledger).all()

    # --- its exceptional ends ----------------------------------------------------------------------------------

    async def _to_its_end(self, row: PhotoRow, story: Coroutine[Any, Any, Outcome]) -> Outcome:
        """A mistake on the way is the photo's; what lies in the outbox already is kept as its own before it pays."""
        self._busy.add(row.id)
        try:
            return await story
        except Exception as error:
            if not is_ledgers_own(error):
                with alone(lambda _second: None):
                    await self._keep_what_lies(row)
            raise
        finally:
            self._busy.discard(row.id)

    async def _keep_what_lies(self, row: PhotoRow) -> None:
        route, deliveries = self._routes.get(row.inbox), self._undelivered(row)
        if route is not None and deliveries:
            self._again(row, deliveries, await self._what_lies(deliveries, route))

    def _plain(self, route: Route) -> bool:
        return route.portable or self._troubles.refuses_characters(route.outbox)

    def _refused(self, row: PhotoRow, error: OSError, *, its_own: bool) -> Outcome:
        """Whose trouble it is: this one name's, a folder's on its way, or the outbox's as a whole."""
        route = self._routes.get(row.inbox)
        plain = route is None or self._plain(route)
        outbox = None if route is None else route.outbox
        return self._troubles.outcome(error, outbox, its_own=its_own, plain=plain)

    def _again(self, row: PhotoRow, deliveries: list[Delivery], outcome: list[Published]) -> MadeAgain:
        """What did not come through is made again; what did, by `outcome`, stays the photo's."""
        self.discard_all([d.temporary for d in deliveries])
        undeliver(self._transitions, row.id, _through(deliveries, outcome))
        return MadeAgain()

    def _drop(self, row: PhotoRow, finished: Finished) -> MadeAgain:
        """The result cannot be delivered now: the photo is owed again, its temporaries go."""
        self.discard(finished)
        self._transitions.again(row.id)
        return MadeAgain()

    def discard(self, finished: Finished) -> None:
        """Removes the temporaries of a result that nobody wants."""
        self.discard_all(file.temporary for file in finished.files)

    def discard_all(self, temporaries: Iterable[bytes]) -> None:
        """Removes temporaries, whole or begun, of a photo that is in no worker's hand any more.

        They lie in the outbox that was its own when they were ordered, which may be another inbox's or nobody's by now.
        """
        routes = {route.outbox: route for route in self._routes.values()}
        there, elsewhere = leftovers.by_outbox(temporaries, routes)
        for outbox, names in there.items():
            send(routes[outbox].io, publish.discard, names, routes[outbox].fs)
        if elsewhere:
            self._discard_elsewhere(elsewhere)


def _sync(fs: FileSystem, folder: bytes) -> None:
    fs.fsync_dir(folder)


def _through(deliveries: list[Delivery], outcome: list[Published]) -> list[str]:
    """Labels of those that lie under their names, as far as that is known."""
    return [d.label for d, one in zip(deliveries, outcome, strict=False) if one is Published.DONE]


def _lies_in(finished: Finished, folder: bytes) -> bool:
    return all(file.temporary.startswith(folder + b"/") for file in finished.files)
