"""Carries out what the command line left in the ledger, and the daemon's own regular clean-up of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from cutoutd.daemon.control import Control
from cutoutd.daemon.history import History
from cutoutd.daemon.keeper import Keeper
from cutoutd.daemon.ledger import Ledger

# History is trimmed this often; a row more or less for an hour harms nobody.
TRIM_EVERY_S = 3600.0


def carry_out(ledger: Ledger, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Carries out one command on the ledger alone; works with the daemon up or down.

    Args:
        ledger: open for writing.
        verb: one of `control.VERBS`.
        arguments: `paths` (texts from `os.fsdecode`, or None for all), `since` (wall-clock seconds),
            `overrides` (options), `everything`.

    Returns:
        What happened, for the command line: `count` where something is counted.
    """
    control = Control(ledger)
    paths = arguments.get("paths")
    raw = None if paths is None else [os.fsencode(path) for path in paths]
    match verb:
        case "pause" | "resume":
            ledger.set_meta("paused", int(verb == "pause"))
            answer: dict[str, Any] = {"paused": verb == "pause"}
        case "retry":
            answer = {"count": control.retry(raw)}
        case "redo":
            answer = {
                "count": control.redo(
                    raw, since=arguments.get("since"), overrides=arguments.get("overrides") or {}
                )
            }
        case "forget":
            ledger.commit()
            answer = {"count": History(ledger).forget(everything=bool(arguments.get("everything")))}
        case _:
            answer = {}
    ledger.commit()
    return answer


class Orders:
    """The daemon's side of the control plane.

    Args:
        ledger: where commands wait.
        keepers: the watched inboxes, by path; the supervisor's own dict.
        keep_s: how long history is kept at present, seconds.
        keep_names: whether names of finished photos are kept at present.
    """

    def __init__(
        self,
        ledger: Ledger,
        keepers: Mapping[bytes, Keeper],
        keep_s: Callable[[], float],
        keep_names: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._control = Control(ledger)
        self._history = History(ledger)
        self._keepers = keepers
        self._keep_s = keep_s
        self._keep_names = keep_names
        self._swept = -1
        self._seen_version = -1
        self._trim_at = 0.0
        self.paused = bool(self._ledger.get_meta("paused"))

    def carry_out(self) -> None:
        """Takes up waiting commands, if another process has written to the ledger since the last look."""
        version = self._ledger.data_version()
        if version == self._seen_version:
            return
        self._seen_version = version
        for command in self._control.waiting():
            answer = carry_out(self._ledger, command.verb, command.arguments)
            if command.verb == "rescan":
                for keeper in self._keepers.values():
                    keeper.rescan("command")
            self._control.answer(command.id, answer)
            self._ledger.commit()
        self.paused = bool(self._ledger.get_meta("paused"))

    def drop_names(self) -> None:
        """Where names are not to be kept: drops those of finished photos, when anything was written since."""
        if self._keep_names() or self._ledger.writes() == self._swept:
            return
        if self._history.sweep():
            self._swept = self._ledger.writes()

    def trim_history(self) -> None:
        """Turns old rows into tombstones, and drops tombstones whose file has long been gone."""
        now = time.monotonic()
        if now < self._trim_at:
            return
        self._trim_at = now + TRIM_EVERY_S
        history = self._history
        keep_s = self._keep_s()
        if history.trim(keep_s):
            self._ledger.truncate_wal()
        for key, keeper in self._keepers.items():
            if keeper.scanned_clean is not None and keeper.watching:
                history.drop_stones(key, max(keep_s, 7 * 86400.0), scanned=keeper.scanned_clean)
