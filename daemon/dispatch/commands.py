"""Carries out what the command line left in the ledger, and the daemon's own regular clean-up of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial

from cutoutd.config.errors import UsageError, mistake
from cutoutd.config.settings import Settings
from cutoutd.daemon.dispatch.photo_options import meant_by
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import Command, CommandAnswer, CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.faults import alone
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.watching.inbox import InboxWatcher

# History is trimmed this often; a row more or less for an hour harms nobody.
TRIM_EVERY_S = 3600.0
# A tombstone stays for so long after its file went, however short `history.keep` is: a share or a card that is away
# for some days brings old photos back.
STONES_STAY_S = 7 * 86400.0


def carry_out(
    ledger: Ledger,
    verb: Verb,
    arguments: CommandArguments,
    settings: Callable[[], Settings | None],
    inboxes: Collection[bytes] | None = None,
) -> CommandAnswer:
    """Carries out one command on the ledger alone; works with the daemon up or down.

    Args:
        ledger: open for writing.
        verb: what is to be done.
        arguments: with which photos, and how.
        settings: those in force; None where nobody knows them.
        inboxes: those that are watched; unset, nobody knows what the next daemon will watch.

    Returns:
        What happened, for the command line.
    """
    control = Control(ledger)
    match verb:
        case Verb.PAUSE | Verb.RESUME:
            ledger.set_meta("paused", int(verb is Verb.PAUSE))
            answer = CommandAnswer()
        case Verb.RETRY:
            watched = _Watched(inboxes)
            answer = CommandAnswer(control.retry(arguments.photos, watched), left_out=watched.left_out)
        case Verb.REDO:
            answer = _redo(control, arguments, settings(), inboxes)
        case Verb.FORGET:
            ledger.commit()
            everything, photos = arguments.everything, arguments.photos
            answer = CommandAnswer(History(ledger).forget(everything=everything, photos=photos))
        case Verb.RESCAN:  # nothing of the ledger's
            answer = CommandAnswer()
    ledger.commit()
    return answer


class _Watched:
    """Whether a photo's inbox is watched: else nobody would take it up, and it is left out and counted."""

    def __init__(
        self, inboxes: Collection[bytes] | None, judge: Callable[[bytes, bytes], bool] | None = None
    ) -> None:
        self._inboxes = inboxes
        self._judge = judge
        self.left_out = 0

    def __call__(self, inbox: bytes, path: bytes) -> bool:
        if self._inboxes is not None and inbox not in self._inboxes:
            self.left_out += 1
            return False
        return self._judge is None or self._judge(inbox, path)


def _redo(
    control: Control,
    arguments: CommandArguments,
    settings: Settings | None,
    inboxes: Collection[bytes] | None,
) -> CommandAnswer:
    overrides = arguments.overrides
    try:
        watched = _Watched(inboxes, None if settings is None else meant_by(settings, overrides))
        count = control.redo(
            since=arguments.since, overrides=overrides, meant=watched, photos=arguments.photos
        )
    except UsageError as error:
        return _refused(error)
    return CommandAnswer(count, left_out=watched.left_out)


def _refused(error: UsageError) -> CommandAnswer:
    return CommandAnswer(refused=str(type(error)(error.what, error.path)), fix=error.fix)


class Commands:
    """The daemon's side of the control plane.

    Args:
        ledger: where commands wait.
        inbox_watchers: the watched inboxes, by path; the supervisor's own dict.
        settings: those in force at first.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        inbox_watchers: Mapping[bytes, InboxWatcher],
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._control = Control(ledger)
        self._history = History(ledger)
        self._inbox_watchers = inbox_watchers
        self._settings = settings
        self._clock = clock
        self._swept = -1
        self._masks_seen = -1
        self._seen_version = -1
        self._trim_at = float("-inf")
        self.paused = bool(self._ledger.get_meta("paused"))

    def follow(self, settings: Settings) -> None:
        """Other settings are in force."""
        self._settings = settings

    def carry_out(self) -> None:
        """Takes up waiting commands, if another process has written to the ledger since the last look."""
        version = self._ledger.data_version()
        if version == self._seen_version:
            return
        self._seen_version = version
        for command in self._control.waiting():
            self._ledger.commit()
            with alone(partial(self._cannot, command)):
                self._control.answer(command.id, self._carried_out(command))
            self._ledger.commit()
        self.paused = bool(self._ledger.get_meta("paused"))

    def _carried_out(self, command: Command) -> CommandAnswer:
        verb = Verb(command.verb)
        try:
            arguments = CommandArguments.from_json(command.arguments)
        except UsageError as error:
            return _refused(error)
        inboxes = self._inbox_watchers.keys()
        answer = carry_out(self._ledger, verb, arguments, lambda: self._settings, inboxes)
        if verb is Verb.RESCAN:
            for inbox_watcher in self._inbox_watchers.values():
                inbox_watcher.rescan()
        return answer

    def _cannot(self, command: Command, error: Exception) -> None:
        """It brought out a mistake: nothing of it is done, and it is tried no second time."""
        self._ledger.rollback()
        why = f"The daemon cannot carry it out ({mistake(error)})"
        self._control.answer(command.id, CommandAnswer(refused=why))

    def drop_names(self) -> None:
        """Where names are not to be kept: drops those of finished photos, when anything was written since."""
        if self._settings.history.filenames or self._ledger.writes() == self._swept:
            return
        if self._history.sweep():
            self._swept = self._ledger.writes()

    def drop_masks(self) -> None:
        """Removes masks whose photos are done, when anything was written since."""
        if self._ledger.writes() == self._masks_seen:
            return
        with suppress(OSError):  # tried again after the next write
            masks.drop_orphans(self._ledger)
        self._masks_seen = self._ledger.writes()

    def trim_history(self) -> None:
        """Turns old rows into tombstones, and drops tombstones whose file has long been gone."""
        now = self._clock()
        if now < self._trim_at:
            return
        self._trim_at = now + TRIM_EVERY_S
        history = self._history
        keep_s = self._settings.history.keep
        if history.trim(keep_s):
            self._ledger.truncate_wal()
        for key, inbox_watcher in self._inbox_watchers.items():
            if inbox_watcher.scanned_clean is not None and inbox_watcher.watching:
                history.drop_stones(key, max(keep_s, STONES_STAY_S), scanned=inbox_watcher.scanned_clean)
