"""One watched inbox: hints and scans in, settled photos out to the ledger; it starts no work itself.

Everything that touches the inbox's file system runs on its own I/O thread, so that a hung mount stalls only
this inbox. All methods run in the supervisor's loop.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cutoutd.config.errors import Reason, printable
from cutoutd.config.settings import Inbox
from cutoutd.daemon.filesystem import FileFacts
from cutoutd.daemon.history import History
from cutoutd.daemon.ignore import Kind, Rules, classify
from cutoutd.daemon.intake import OWED, Facts, Intake, Seen
from cutoutd.daemon.iothread import Done, IoThread
from cutoutd.daemon.ledger import Ledger
from cutoutd.daemon.listener import Listener
from cutoutd.daemon.mounts import MountIdentity, identify, really_there
from cutoutd.daemon.scan import Found, PollState, examine, walk
from cutoutd.daemon.settle import PairVerdict, RawPairs, SettleTracker, Verdict
from cutoutd.daemon.watch import Hint, Rescan, Watcher, WatchLost, filesystem_kind, probe_events

# Findings per message of a scan: large enough that messages do not dominate, small enough to stay responsive.
SCAN_BATCH = 500
# Batches that may wait for the supervisor before the scan holds still: bounds the memory of a huge inbox.
SCAN_AHEAD = 4
# A missing inbox is looked for this often; the pause doubles up to the second figure.
RETRY_FIRST_S, RETRY_LONGEST_S = 2.0, 60.0
# A file whose inode has not changed for this long is complete without further waiting: the change time, unlike
# the modification time, cannot be set by a camera.
OLD_ENOUGH_S = 10.0
# On a share the change time comes from the server's clock, which may differ from ours.
OLD_ENOUGH_FAR_S = 3600.0
JPEG_LIKE = (".jpg", ".jpeg", ".heic", ".heif", ".hif")


@dataclass(slots=True)
class Opened:
    """What opening an inbox on its I/O thread brought."""

    watcher: Watcher | None
    identity: MountIdentity
    polled: bool
    trouble: str = ""
    inode: tuple[int, int] = (0, 0)


def facts_of(found: Found | FileFacts) -> Facts:
    """What the ledger keeps of a stat."""
    owner = getattr(found, "uid", 0)
    return Facts(found.size, found.mtime_ns, found.inode, found.mode | owner << 16)


class Keeper:
    """Keeps one inbox watched and its files known.

    Args:
        settings: the inbox's table.
        ledger: where rows go.
        post: the supervisor's queue.
        listener: hears of trouble.
        clock: monotonic seconds.
        on_settled: called with a row's id when its file is known to be complete.
        on_gone: called with a row's id when its file vanished before that.
        on_open: called with the inbox and its inode when it is watched (again).
        on_stir: called when a photo is on its way.
        stage: `draft` where a quick cutout comes first.
    """

    def __init__(
        self,
        settings: Inbox,
        ledger: Ledger,
        *,
        post: Callable[[Any], None],
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        on_settled: Callable[[int], None],
        on_gone: Callable[[int], None],
        on_open: Callable[[Path, tuple[int, int]], None],
        on_stir: Callable[[], None],
        stage: str = "final",
    ) -> None:
        self.settings = settings
        self.key = os.fsencode(settings.path)
        self.name = str(settings.path)
        self.stage = stage
        self.trouble: str = ""
        self.watching = False
        self.scanned = False
        self.polled = False
        self._ledger = ledger
        self._intake = Intake(ledger)
        self._history = History(ledger)
        self._post = post
        self._listener = listener
        self._clock = clock
        self._on_settled = on_settled
        self._on_gone = on_gone
        self._on_open = on_open
        self._on_stir = on_stir
        self._rules = Rules(include=settings.include, exclude=settings.exclude)
        self._io = IoThread(f"inbox {settings.label}", post)
        self._tracker = SettleTracker(settings.settle, settings.settle_unhinted)
        self._pairs = RawPairs()
        self._lone_raws: set[bytes] = set()
        self._poll = PollState()
        self._watcher: Watcher | None = None
        self._opening = False
        self._closed = False
        self._scanning = False
        self._scan_again: str | None = None
        self._ahead = threading.Semaphore(SCAN_AHEAD)
        self._retry_at = clock()
        self._retry_pause_s = RETRY_FIRST_S
        self._scan_at = float("inf")
        self._poll_at = float("inf")

    # --- opening and closing -------------------------------------------------------------------------------

    def _open(self) -> None:
        self._opening = True
        row = self._ledger.one("SELECT mount FROM folders WHERE path = ?", (self.key,))
        recorded = MountIdentity.from_json(row["mount"]) if row else None
        self._io.call(lambda: self._open_on_thread(recorded), self._opened)

    def _open_on_thread(self, recorded: MountIdentity | None) -> Opened:
        there, why = really_there(self.settings.path, recorded)
        if not there:
            return Opened(None, MountIdentity("", "", "", "", is_own_mount=False), polled=False, trouble=why)
        identity = identify(self.settings.path)
        facts = self.settings.path.stat()
        inode = (facts.st_dev, facts.st_ino)
        polled = self.settings.events == "poll" or (
            self.settings.events == "auto" and not self._events_arrive()
        )
        if polled:
            return Opened(None, identity, polled=True, inode=inode)
        watcher = Watcher(
            self.name, self.settings.path, recursive=self.settings.recursive, post=self._post_hint
        )
        if watcher.start():
            return Opened(watcher, identity, polled=False, inode=inode)
        if self.settings.events == "native":
            return Opened(None, identity, polled=False, trouble=watcher.ailment())
        return Opened(None, identity, polled=True, trouble=watcher.ailment(), inode=inode)

    def _events_arrive(self) -> bool:
        return probe_events(self.settings.path, 1.0)

    def _post_hint(self, message: Hint | Rescan | WatchLost) -> None:
        self._post(message)

    def _opened(self, opened: Opened | None, error: BaseException | None) -> None:
        self._opening = False
        now = self._clock()
        if self._closed:
            if opened is not None and opened.watcher is not None:
                opened.watcher.stop()
            return
        if opened is None or (opened.watcher is None and not opened.polled):
            self._missing(str(error) if error is not None else (opened.trouble if opened else ""), now)
            return
        if self.trouble:
            self._listener.notice(f"The inbox {printable(self.key)} is back.")
        self.trouble = ""
        self.watching = True
        self.polled = opened.polled
        self._watcher = opened.watcher
        self._retry_pause_s = RETRY_FIRST_S
        if opened.polled:
            self._tracker = SettleTracker(self.settings.settle_polled, self.settings.settle_polled)
            self._poll_at = now + self.settings.poll_every
            why = opened.trouble or f"on {filesystem_kind(self.settings.path)}"
            if self.settings.events == "auto":
                self._listener.notice(f"No file events in {printable(self.key)} ({why}): it is polled.")
        self._ledger.write(
            "INSERT OR REPLACE INTO folders (path, mount) VALUES (?, ?)",
            (self.key, opened.identity.to_json()),
        )
        self._on_open(self.settings.path, opened.inode)
        self.request_scan("start")

    def _missing(self, why: str, now: float) -> None:
        if why != self.trouble:
            self._listener.warning(f"The inbox is not there: {why}" if why else "The inbox is not there.")
        self.trouble = why or "missing"
        self.watching = False
        self._retry_at = now + self._retry_pause_s
        self._retry_pause_s = min(RETRY_LONGEST_S, self._retry_pause_s * 2)

    def lost(self, why: str) -> None:
        """The watch died: stop it, look for the inbox again, and scan once it is back."""
        if self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            self._io.call(watcher.stop, lambda _value, _error: None)
        self.watching = False
        if not self._opening:
            self._listener.warning(f"The watch on {printable(self.key)} ended ({why}); it is set up again.")
            self._retry_at = self._clock()

    def check_health(self) -> None:
        """Looks, on the I/O thread, whether events still arrive; a dead watch is set up again."""
        watcher = self._watcher
        if watcher is None or self._io.waiting:
            return

        def heard(ailment: str | None, error: BaseException | None) -> None:
            if watcher is self._watcher and (ailment or error):
                self.lost(ailment or str(error))

        self._io.call(watcher.ailment, heard)

    def close(self) -> None:
        """Stops watching; rows stay."""
        self._closed = True
        if self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            self._io.call(watcher.stop, lambda _value, _error: None)
        self.watching = False
        self._io.stop()

    def join(self, timeout_s: float) -> None:
        """Waits for the I/O thread, but not for a mount that hangs."""
        self._io.join(timeout_s)

    @property
    def io(self) -> IoThread:
        """The inbox's I/O thread, for after-care."""
        return self._io

    # --- time ----------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Monotonic time at which `tick` has something to do."""
        times = [self._scan_at, self._poll_at]
        if not self.watching and not self._opening:
            times.append(self._retry_at)
        due = (self._tracker.next_due(), self._pairs.next_due())
        return min(*times, *(at for at in due if at is not None))

    def tick(self, now: float) -> None:
        """Does what is due: reopening, looks at settling files, scans."""
        if not self.watching and not self._opening and now >= self._retry_at:
            self._open()
        due = self._tracker.due(now)
        if due:
            self._io.call(lambda: self._look(due), self._looked)
        for raw in self._pairs.due(now):
            self._lone_raws.add(raw)
            self._tracker.hint(raw, "found", now)
        if now >= self._scan_at:
            self.request_scan("interval")
        if now >= self._poll_at:
            self._poll_at = float("inf")
            self.request_scan("poll")

    # --- hints and settling ----------------------------------------------------------------------------------

    def hint(self, hint: Hint) -> None:
        """Something happened at a path."""
        now = self._clock()
        kind = classify(hint.path, self._rules)
        if kind is Kind.JUNK:
            return
        if kind is not Kind.OTHER:
            self._on_stir()
        if hint.kind in ("modified", "created") and hint.path in self._tracker:
            self._intake.unsettle(self.key, hint.path)
        if not self._tracker.hint(hint.path, hint.kind, now):
            self._later("more files at once than settle together")

    def rescan(self, why: str) -> None:
        """Events were lost or a folder arrived: look at everything."""
        self.request_scan(why)

    def _later(self, why: str) -> None:
        self._scan_again = why
        self._scan_at = min(self._scan_at, self._clock() + 2.0)

    def _look(self, paths: list[bytes]) -> list[tuple[bytes, Found | None, float]]:
        return [(path, self._examine(path), self._clock()) for path in paths]

    def _examine(self, path: bytes) -> Found | None:
        try:
            return examine(self.settings.path, path, self._rules)
        except OSError:
            return None  # the inbox itself is in trouble: the watch or the next scan will say so

    def _looked(
        self, looks: list[tuple[bytes, Found | None, float]] | None, error: BaseException | None
    ) -> None:
        if error is not None:
            raise error
        for path, found, at in looks or ():
            if found is not None and found.problem is not None:
                self._tracker.forget(path)
                self._skip(found, found.problem)
                continue
            verdict = self._tracker.observe(path, None if found is None else found.facts, at)
            if found is None:
                self._gone(path)
            elif verdict is Verdict.SETTLED:
                self._settled(found)
            elif found.kind is Kind.PHOTO and self._tracker.is_complete(path):
                # Early start: work may begin now, publication waits for the settling.
                self._intake.observe(self.key, path, facts_of(found), settled=False, stage=self.stage)

    def _settled(self, found: Found) -> None:
        if found.kind is Kind.OTHER:
            self._skip(found, Reason.NOT_A_PHOTO)
            return
        if found.kind is Kind.RAW and found.path not in self._lone_raws:
            partner = self._partner_exists(found.path)
            if self._pairs.offer_raw(found.path, self._clock(), partner_known=partner) is PairVerdict.PAIRED:
                self._skip(found, Reason.RAW_PAIR)
            return
        self._lone_raws.discard(found.path)
        self._take(found)
        for raw in self._pairs.offer_partner(found.path):
            self._tracker.hint(raw, "found", self._clock())

    def _partner_exists(self, raw: bytes) -> bool:
        stem = os.path.splitext(raw)[0]
        names = [stem + e.encode() for ext in JPEG_LIKE for e in (ext, ext.upper())]
        root = os.fsencode(self.settings.path)
        return any(
            self._intake.live(self.key, name) is not None or os.path.lexists(os.path.join(root, name))
            for name in names
        )

    def _take(self, found: Found) -> None:
        seen, photo = self._intake.observe(
            self.key, found.path, facts_of(found), settled=True, stage=self.stage
        )
        if photo is not None and seen is not Seen.KNOWN:
            self._on_settled(photo)

    def _skip(self, found: Found, reason: Reason) -> None:
        self._intake.skip(self.key, found.path, facts_of(found), reason, SKIP_SENTENCES.get(reason, ""))

    def _gone(self, path: bytes) -> None:
        row = self._intake.live(self.key, path)
        if row is not None and row.state in OWED:
            self._on_gone(row.id)

    # --- scanning --------------------------------------------------------------------------------------------

    def request_scan(self, why: str) -> None:
        """Walks the inbox on its I/O thread; a scan asked for during a scan follows it."""
        if not self.watching or self._closed:
            return
        if self._scanning:
            self._scan_again = why
            return
        self._scanning = True
        self._scan_at = float("inf")
        started = self._clock()
        stones = self._history.has_tombstones(self.key)
        self._io.call(
            lambda: self._scan_on_thread(stones=stones),
            lambda clean, error: self._scan_done(started, clean=clean, error=error),
        )

    def _scan_on_thread(self, *, stones: bool) -> bool:
        """Posts findings in batches. Returns whether the walk was free of errors."""
        clean = True
        findings = walk(self.settings.path, self._rules, recursive=self.settings.recursive)
        if self.polled:
            self._poll.begin()
        for batch in _batches(findings, SCAN_BATCH):
            clean = clean and not any(found.error for found in batch)
            hints = [(found, self._poll.see(found) if self.polled else None) for found in batch]
            self._ahead.acquire()
            self._post(Done(lambda value, _error: self._batch(value, stones=stones), hints, None))
        if self.polled:
            self._poll.end(complete=clean)
        return clean

    def _batch(self, batch: list[tuple[Found, str | None]], *, stones: bool) -> None:
        self._ahead.release()
        now, wall_ns = self._clock(), time.time_ns()
        for found, hint in batch:
            if found.problem is not None:
                self._skip(found, found.problem)
            elif found.kind is Kind.OTHER:
                self._skip(found, Reason.NOT_A_PHOTO)
            elif hint == "modified" or found.path in self._tracker:
                self._tracker.hint(found.path, "modified" if hint == "modified" else "found", now)
            else:
                self._reconcile(found, now, wall_ns)
        if stones:
            self._history.seen(self.key, [found.path for found, _ in batch])

    def _reconcile(self, found: Found, now: float, wall_ns: int) -> None:
        row = self._intake.live(self.key, found.path)
        if row is not None and row.settled and row.facts == facts_of(found) and row.reason == "":
            return
        old_enough_s = OLD_ENOUGH_FAR_S if self.polled else OLD_ENOUGH_S
        if found.kind is Kind.PHOTO and old_enough_s * 1e9 < wall_ns - found.ctime_ns:
            self._settled(found)
        elif not self._tracker.hint(found.path, "found", now):
            self._later("more files at once than settle together")

    def _scan_done(self, started: float, *, clean: bool | None, error: BaseException | None) -> None:
        self._scanning = False
        now = self._clock()
        if error is not None:
            self.lost(str(error))
            return
        self.scanned = True
        self._scan_at = now + self.settings.rescan_every
        if self.polled:
            # A walk that takes long is not started again at once: at most half the time goes into polling.
            self._poll_at = now + max(self.settings.poll_every, now - started)
        if clean:
            self._check_failed()
        if self._scan_again is not None:
            self._scan_again = None
            self._scan_at = min(self._scan_at, now + 1.0)

    def _check_failed(self) -> None:
        """Failed photos whose file is gone are no longer anybody's concern."""
        failed = [
            (photo, path) for photo, path, state in self._intake.vanished_paths(self.key) if state == "failed"
        ]
        if not failed:
            return
        root = os.fsencode(self.settings.path)

        def missing() -> list[int]:
            return [photo for photo, path in failed if not os.path.lexists(os.path.join(root, path))]

        def forget(photos: list[int] | None, _error: BaseException | None) -> None:
            for photo in photos or ():
                self._ledger.write(
                    "UPDATE photos SET state = 'skipped', reason = ? WHERE id = ? AND state = 'failed'",
                    (Reason.VANISHED, photo),
                )

        self._io.call(missing, forget)


SKIP_SENTENCES = {
    Reason.NOT_A_PHOTO: "Not a photo by its name; it was not opened.",
    Reason.NOT_A_REGULAR_FILE: "A link, pipe or device, not a file; put the photo itself into the inbox.",
    Reason.PLACEHOLDER: "Its content is still in the cloud; download it and it is taken up.",
    Reason.RAW_PAIR: "The JPEG of the same shot is processed instead.",
    Reason.NO_PERMISSION: "It may not be read. Give the user that runs cutoutd permission to read it.",
    Reason.UNREADABLE: "The file system could not show it. It is looked at again with every scan.",
}


def _batches(findings: Iterator[Found], size: int) -> Iterator[list[Found]]:
    while batch := list(islice(findings, size)):
        yield batch
