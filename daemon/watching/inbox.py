"""One watched inbox: hints and scans in, settled photos out to the ledger; it starts no work itself.

Everything that touches the inbox's file system runs on its own I/O thread, so that a hung mount stalls only
this inbox. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from cutoutd.config.errors import mistake, printable, words
from cutoutd.config.settings import Inbox
from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.files.question import Question
from cutoutd.daemon.files.story import Story, run, send
from cutoutd.daemon.files.usable import FolderUse
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import paid_by
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.watching.arrivals import Arrivals, InboxNews
from cutoutd.daemon.watching.filters import Rules
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.missing_events import MissingEvents
from cutoutd.daemon.watching.opening import events_arrive, open_inbox
from cutoutd.daemon.watching.recheck import Recheck
from cutoutd.daemon.watching.stall import Stall
from cutoutd.daemon.watching.timetable import Timetable
from cutoutd.daemon.watching.walker import MOST_IN_PART, Walker
from cutoutd.daemon.watching.watcher import Message, Watcher

# A missing inbox is looked for this often; the pause doubles up to the second figure.
RETRY_FIRST_S, RETRY_LONGEST_S = 2.0, 60.0


class InboxWatcher:
    """Keeps one inbox watched and its files known.

    Args:
        settings: the inbox's table.
        ledger: where rows go.
        post: the supervisor's queue.
        listener: hears of trouble.
        clock: monotonic seconds.
        news: hears of its files, and when it can be used or not.
        stage: `draft` where a quick cutout comes first.
    """

    def __init__(
        self,
        settings: Inbox,
        ledger: Ledger,
        *,
        post: Callable[[Done | Message], None],
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        news: InboxNews,
        stage: Stage = Stage.FINAL,
    ) -> None:
        self.settings = settings
        self.key = os.fsencode(settings.path)
        self.scanned_clean: float | None = None  # wall-clock start of the last walk that was free of errors
        self.polled = False
        self._ledger = ledger
        self._mounts = Folders(ledger)
        self.io = IoThread(f"inbox {settings.label}", post)
        question = Question(settings.path, lambda: IoThread(f"asking inbox {settings.label}", post), clock)
        self._stall = Stall(self.key, question, clock())
        rules = Rules(include=settings.include, exclude=settings.exclude)
        self._walks = Timetable(clock)
        self.arrivals = Arrivals(
            settings,
            rules,
            Intake(ledger),
            self.io,
            news,
            doubt=self._walks.later,
            clock=clock,
            stage=stage,
        )
        self._recheck = Recheck(self.key, ledger, self.io, news)
        self._history = History(ledger)
        self._walker = Walker(
            settings,
            rules,
            arrivals=self.arrivals,
            history=self._history,
            post=post,
            fault=self._fault,
        )
        self._post = post
        self._listener = listener
        self._clock = clock
        self._news = news
        self._watcher: Watcher | None = None
        self._use = FolderUse(Retry(RETRY_FIRST_S, RETRY_LONGEST_S, at=clock()))
        self._closed = False
        self._missing_events = MissingEvents(settings.poll_every, listener.warning)
        self._inode = (0, 0)

    def follow(self, settings: Inbox, stage: Stage) -> None:
        """Other settings are in force, with which it is watched as before."""
        self.settings = settings
        self.arrivals.make(stage)

    @property
    def watching(self) -> bool:
        """Whether what happens in it is noticed."""
        return self._use.open

    @property
    def trouble(self) -> str:
        """Why its photos wait, as a sentence; empty when they do not."""
        return self._stall.silent or self._use.trouble or self._stall.stuck

    @property
    def silent(self) -> bool:
        """Whether no call to it returns any more."""
        return bool(self._stall.silent)

    # --- opening -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._use.opening = True
        Story(self._open_and_watch(), paid_by(self._fault))

    async def _open_and_watch(self) -> None:
        """Opens it on its I/O thread, commits what it is mounted from, and has it scanned."""
        recorded = self._mounts.recorded(self.settings.path)
        try:
            opened = await run(self.io, open_inbox, self.settings, recorded, self._post)
        except OSError as error:
            self._missing(words(error), self._clock())
            return
        finally:
            self._use.opening = False
        now = self._clock()
        if self._closed:
            if opened.watcher is not None:
                opened.watcher.stop()
            return
        if opened.watcher is None and not opened.polled:
            self._missing(opened.trouble, now)
            return
        if self._use.trouble:
            self._listener.notice(f"The inbox {printable(self.key)} is back.")
        self._use.opened()
        self.polled = opened.polled
        self._watcher = opened.watcher
        self._inode = opened.inode
        self._walker.opened(opened)
        self.arrivals.believe_leases(opened.leases)
        if opened.polled:
            self.arrivals.poll()
            self._walks.poll_next(self.settings.poll_every)
        else:
            self.arrivals.listen()
            self._walks.poll_no_more()
        self._take_stock(opened.no_events, now)
        self._mounts.record(self.settings.path, opened.identity)
        # Its own thread makes one call after the other: photos are looked for before what was to be done is resumed.
        self.rescan()
        self._news.inbox_open(self.settings.path, opened.inode)

    # --- what gives no events ------------------------------------------------------------------------------

    @property
    def no_events(self) -> str:
        """What of it gives no events though they were wished for, and what is done; empty when all of it does."""
        return self._missing_events.sentence

    def unwatched(self) -> None:
        """A sub-folder got no watch: it is walked at once, and on a timer from now on."""
        if self._watcher is None:
            return  # still opening: what it lacks is asked for then
        now = self._clock()
        self._walks.poll_now()
        self._take_stock(None, now)

    def _take_stock(self, whole: NoEvents | None, now: float) -> None:
        """Says what gives no events; `whole` is why the inbox as a whole gives none though they were wished for."""
        if self._missing_events.take_stock(self._watcher, whole, now) and not self.polled:
            self._listener.notice(f"All of {printable(self.key)} gives file events again.")

    def _try_events(self, now: float) -> None:
        """Asks, on the I/O thread, whether more of it would give events now; if so, it is opened anew."""
        self._missing_events.tried(now)
        Story(self._open_if_events_come(self._watcher), paid_by(self._fault))

    async def _open_if_events_come(self, watcher: Watcher | None) -> None:
        try:
            if watcher is not None:
                more = await run(self.io, watcher.sees_more_anew)
            else:
                more = await run(self.io, events_arrive, self.settings)
        except OSError:
            return
        if watcher is not self._watcher or not self.watching or self._closed:
            return  # lost meanwhile: it is opened anew in any case
        if more:
            self._drop_watcher()
            self._open()
        elif watcher is not None:
            self._take_stock(None, self._clock())

    def _drop_watcher(self) -> None:
        """Its watches are given back before new ones are set, since both would count against the same limit."""
        self._use.open = False
        watcher, self._watcher = self._watcher, None
        self._walker.unwatched()
        if watcher is not None:
            send(self.io, watcher.stop)

    async def _walk_blind(self) -> None:
        watcher = self._watcher
        if watcher is None or not watcher.blind:
            return
        started = self._clock()
        self._walks.poll_starts()
        try:
            await run(self.io, self._walker.walk_blind, watcher)
        except OSError:
            self._walks.later()
        self._walks.poll_ended()
        self._plan_poll(self._clock() - started)

    def _plan_poll(self, took_s: float) -> None:
        """After a walk of what gives no events: says what that is, and when to walk it again."""
        now = self._clock()
        self._walks.poll_no_more()
        if self._watcher is not None:
            self._take_stock(None, now)
        if self.polled or (self._watcher is not None and self._watcher.blind):
            self._missing_events.look_at_limits(now)
            self._walks.poll_next(self.settings.poll_every, took_s)

    # --- losing it and closing it -----------------------------------------------------------------------------

    def _missing(self, why: str, now: float) -> None:
        if why != self._use.trouble:
            self._listener.warning(f"The inbox cannot be used: {why}" if why else "The inbox is not there.")
        self._use.failed(why or "missing", now)

    def lost(self, why: str) -> None:
        """The watch died: stop it, look for the inbox again, and scan once it is back."""
        self._drop_watcher()
        if not self._use.opening:
            self._listener.warning(f"The watch on {printable(self.key)} ended ({why}); it is set up again.")
            self._use.retry.at = self._clock()

    def check_health(self) -> None:
        """Looks, on the I/O thread, whether events still arrive; a dead watch is set up again."""
        watcher = self._watcher
        if watcher is not None and not self.io.waiting:
            Story(self._set_up_anew_if_ill(watcher), paid_by(self._fault))

    async def _set_up_anew_if_ill(self, watcher: Watcher) -> None:
        try:
            problem = await run(self.io, watcher.problem)
        except OSError as error:
            problem = words(error)
        if watcher is self._watcher and problem:
            self.lost(problem)

    def _fault(self, error: Exception) -> None:
        """A mistake of ours with this folder: it is opened afresh after a pause, and the others go on."""
        if self._closed:
            return
        self._drop_watcher()
        self._use.opening = False
        self._walks.broke_off()
        self._walks.poll_ended()
        why = f"cutoutd made a mistake with {printable(self.key)} ({mistake(error)}); please report it."
        self._missing(why, self._clock())

    def close(self) -> None:
        """Stops watching; rows stay."""
        self._closed = True
        self._walker.close()
        self._drop_watcher()
        for thread in (self.io, *self._stall.threads()):
            thread.stop()

    def join(self, timeout_s: float) -> None:
        """Waits for the I/O thread, but not for a mount that hangs."""
        self.io.join(timeout_s)

    # --- time ----------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Monotonic time at which `tick` has something to do."""
        times = [self._use.due(), self.arrivals.next_due()]
        if self._may_scan():
            times += [self._walks.next_due(), self._missing_events.try_at]
        if self.io.waiting:
            times.append(self._stall.next_due())
        return min(times)

    def tick(self, now: float, late_s: float = 0.0) -> None:
        """Does what is due: reopening, looks at settling files, scans, asking a folder that lets us wait.

        Args:
            now: monotonic seconds.
            late_s: how much later than planned this turn is (stopped, suspended): answers may be as late.
        """
        self._stall.delay(late_s)
        self._look_after_io(now)
        if now >= self._use.due():
            self._open()
        self.arrivals.tick(now)
        if not self._may_scan():
            return
        if self._walks.walk_due():
            self.rescan()
        if self._walks.poll_due():
            if self.polled:
                self.rescan()
            else:
                Story(self._walk_blind(), paid_by(self._fault))
        if now >= self._missing_events.try_at:
            self._try_events(now)

    # --- a folder that lets us wait --------------------------------------------------------------------------

    def _look_after_io(self, now: float) -> None:
        """Whether the I/O thread gets on; one that hangs on a dead share, or on one file, is told of."""
        stall = self._stall
        if stall.look(now, (self.io.done, self._walker.found), waiting=bool(self.io.waiting)):
            self.ask(now)
        if stall.falls_silent(now):
            self._news.inbox_silent(self.settings.path, stall.silent)
        elif stall.gets_stuck(now):
            self._listener.warning(stall.stuck)

    def ask(self, now: float) -> None:
        """Something takes long there: does the folder still answer?"""
        Story(self._ask(now), paid_by(self._fault))

    async def _ask(self, now: float) -> None:
        if not await self._stall.ask(now) or self._closed:
            return
        self._listener.notice(f"The inbox {printable(self.key)} answers again.")
        self._news.inbox_answers(self.settings.path, self._inode)
        self.rescan()

    def _may_scan(self) -> bool:
        """A folder that is away cannot be walked, and the end of a walk plans the next: neither is waited for."""
        return self.watching and not self._walks.walking

    # --- scanning ----------------------------------------------------------------------------------

    def rescan(self, under: bytes = b"") -> None:
        """Walks all of it, or what lies below `under`, on its I/O thread; one asked for during another follows it."""
        if not self.watching or self._closed:
            return
        if under and not self.polled and not self._walks.walking:
            Story(self._scan_part(under), paid_by(self._fault))
        elif self._walks.start():
            Story(self._scan(), paid_by(self._fault))

    async def _scan_part(self, under: bytes) -> None:
        """Takes up what lies in a new sub-folder."""
        try:
            found = await run(self.io, self._walker.walk_part, under)
        except OSError:
            self._walks.later()
            return
        self.arrivals.take([(one, None) for one in found])
        if len(found) == MOST_IN_PART:
            self._walks.later()
        self._recheck.look(walked_cleanly=False)

    async def _scan(self) -> None:
        """Walks all of it; what is found comes in batches meanwhile (`_batch`). Its end plans the next walk."""
        started, wall = self._clock(), self._ledger.clock()
        stones = self._history.has_tombstones(self.key)
        try:
            clean = await run(self.io, self._walker.walk_all, stones=stones)
        except OSError as error:
            self._walks.broke_off()
            self.lost(words(error))
            if not self._use.opening:  # one that can be opened but not read: no faster than a missing one
                self._use.retry.failed(self._clock())
            return
        self._use.retry.well()
        self._walks.ended(self.settings.rescan_every)
        self._plan_poll(self._clock() - started)
        if clean:
            self.scanned_clean = wall
        self._recheck.look(walked_cleanly=bool(clean))
