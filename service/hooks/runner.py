"""Runs the hooks that the ledger says are due: at least once each, several at a time, never in the daemon's way."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct

from cutoutd.config.errors import mistake, printable
from cutoutd.config.hooks import EventKind, Hook
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.events import Event, HookQueue, Run
from cutoutd.service.hooks.command import Ended, run

log = logging.getLogger(__name__)

# The ledger has no bell to ring in another process; asking SQLite whether it changed costs two file reads.
LOOK_EVERY_S = 0.25


class _InHand(Struct, frozen=True):
    hook: Hook
    run: Run


class HookRunner:
    """The loop of `cutoutd hooks`.

    What is owed stands in the ledger; a run that was under way when the process was killed is still owed and done
    again. All writing to the ledger happens in the thread that calls `run`.

    Args:
        ledger: open for writing.
        hooks: from the configuration.
        filenames: whether the log may hold what commands say, which may name photos.
        sleep: waits so many seconds or until woken; injectable.
    """

    def __init__(
        self,
        ledger: Ledger,
        hooks: tuple[Hook, ...],
        *,
        filenames: bool = True,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._ledger = ledger
        self._hooks = hooks
        self._filenames = filenames
        self._queue = HookQueue(ledger)
        self._bell = threading.Event()
        self._sleep = sleep or self._bell.wait
        self._in_hand: dict[Future[Ended], _InHand] = {}
        self._stopping = False
        self._ended: list[bool] = []
        self._threads = ThreadPoolExecutor(max(1, sum(hook.at_once for hook in hooks)), "hook")

    def stop(self) -> None:
        """First call: finish what runs. Second: end it now; it stays owed."""
        if self._stopping:
            self._ended.append(True)
        self._stopping = True
        self._bell.set()

    def run(self, *, until_idle: bool = False, grace_s: float = 30.0) -> None:
        """Runs hooks until told to stop.

        Args:
            until_idle: return as soon as nothing is owed, what waits for another try apart.
            grace_s: after `stop`, commands get this long to finish.
        """
        self._queue.keep_only({hook.key: hook.label for hook in self._hooks})
        self._ledger.commit()
        changed, retry_at = -1, 0.0
        while not self._stopping:
            version = self._ledger.data_version()
            if version != changed or self._ledger.clock() >= retry_at or self._in_hand:
                changed = version
                self._turn()
                retry_at = self._queue.next_due() or float("inf")
            if until_idle and not self._in_hand:
                break
            self._sleep(LOOK_EVERY_S)
        self._wind_down(grace_s)

    def _turn(self) -> None:
        self._collect()
        for hook in self._hooks:
            self._queue.take_up(hook.key, [EventKind(kind) for kind in hook.on])
            busy = {one.run.event.id for one in self._in_hand.values() if one.hook is hook}
            room = hook.at_once - len(busy)
            if room <= 0:
                continue
            for due in self._queue.due(hook.key, self._ledger.clock(), hook.at_once + len(busy)):
                if room > 0 and due.event.id not in busy:
                    room -= 1
                    future = self._threads.submit(run, hook, due.event, self._ended)
                    future.add_done_callback(lambda _future: self._bell.set())
                    self._in_hand[future] = _InHand(hook, due)
        self._bell.clear()

    def _collect(self) -> None:
        """Writes down how runs ended."""
        for future in [one for one in self._in_hand if one.done()]:
            hand = self._in_hand.pop(future)
            error = future.exception()
            ended = Ended("could not be run", mistake(error)) if error is not None else future.result()
            self._note(hand, ended)
        self._ledger.commit()

    def _note(self, hand: _InHand, ended: Ended) -> None:
        event: Event = hand.run.event
        if ended.well:
            self._queue.succeeded(hand.hook.key, event.id)
            log.info("%s ran for %s", printable(hand.hook.label), self._called(event))
            return
        if self._ended:
            return  # ended with us and not by itself: owed as before
        given_up = self._queue.failed(
            hand.hook.key, event.id, attempts=hand.run.attempts, allowed=hand.hook.attempts, why=ended.why
        )
        after = "given up; `cutoutd hooks --retry` tries it again" if given_up else "tried again"
        why = ended.why if self._filenames else ended.how
        log.warning("%s failed for %s (%s); %s", printable(hand.hook.label), self._called(event), why, after)

    def _called(self, event: Event) -> str:
        """An event in the log: its number, and what happened to which photo where names may stand there."""
        named = event.original is not None and self._filenames
        photo = f" {printable(os.path.basename(event.original or b''))}" if named else ""  # noqa: PTH119 - bytes
        return f"event {event.id},{photo} {event.kind}"

    def _wind_down(self, grace_s: float) -> None:
        until = time.monotonic() + grace_s
        while self._in_hand:
            self._collect()
            if time.monotonic() > until:
                self._ended.append(True)
            self._bell.wait(LOOK_EVERY_S)
            self._bell.clear()
        self._threads.shutdown()
