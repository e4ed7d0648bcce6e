"""The daemon of the privacy self-test: the real supervisor, asked from the inside what it can still do.

`python -m cutoutd.service.verify.daemon CONFIG` works like `cutoutd run -c CONFIG` and writes one JSON line per
event to standard output. Not for any other use.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cutoutd.config.load import load_settings
from cutoutd.config.places import cache_dir, models_dir, state_dir
from cutoutd.daemon.components import Places
from cutoutd.daemon.events import Listener, Listeners, PhotoEvent
from cutoutd.daemon.lifecycle import Daemon
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.daemon.plan import make_plan
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.lifetime import signal_at_parents_end
from cutoutd.service.listeners.everyone import listeners
from cutoutd.service.verify.probes import ABILITY, Tries, ability

# No photo has a negative number; the supervisor's own self-test uses -1.
PROBE: Final = -77
PROBE_LIMIT_S: Final = 60.0
# What the canary photo is called.
CANARY: Final = "canary.jpg"


def say(event: str, **facts: Any) -> None:
    """One line for the process that started this one."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


class Reporter(Listener):
    """Tells how far the canary photo has come, and calls `ask` once it is done."""

    def __init__(self) -> None:
        self.ask: Callable[[], None] = lambda: None

    def ready(self, status: LiveStatus) -> None:
        """Photos are taken up; what this process can do now is what it can do for good."""
        say("ready", daemon=ability(Tries()), sandbox=status.sandbox.plain())

    def photo_done(self, event: PhotoEvent) -> None:
        """The cutout lies in the outbox."""
        say("done", outputs=event.outputs)
        self.ask()

    def photo_failed(self, event: PhotoEvent) -> None:
        """It should not have."""
        say("failed", reason=event.reason, detail=event.detail)


class ProbedSupervisor(Supervisor):
    """The daemon, which has its worker try the forbidden once that worker has had the photo in hand.

    There is one worker, so the process that answers is the very one that decoded the photo.
    """

    def probe(self, tries: Tries) -> None:
        """Hands the worker a list of things to try instead of a photo."""
        self.components.workers.submit(PROBE, ABILITY, tries, limit_s=PROBE_LIMIT_S)

    def _message(self, message: Any) -> None:
        if isinstance(message, pool.Finished) and message.tag == PROBE:
            say("worker", worker=message.result)
        elif isinstance(message, pool.Failed | pool.Died) and message.tag == PROBE:
            say("failed", reason="probe", detail=str(message))
        else:
            super()._message(message)


def main() -> int:
    """Runs until it is told to stop."""
    signal_at_parents_end(signal.SIGTERM)  # nobody is left then to read the lines
    config = Path(sys.argv[1])
    os.umask(0o077)
    before = ability(Tries())
    settings = load_settings(config).settings
    inbox = settings.inbox[0].path
    made = "made by a worker.jpg"
    tries = Tries(
        read=(state_dir() / "ledger.sqlite", config),
        create=(inbox / made, state_dir() / made, cache_dir() / made),
        photo=inbox / CANARY,
        cutout=settings.inbox[0].outbox / f"{Path(CANARY).stem}.png",
    )
    log, finish = listeners(settings)
    say("started", before=before)
    try:
        plan = make_plan(settings, models_dir(), cache_dir())
        reporter = Reporter()
        supervisor = ProbedSupervisor(plan, Places(state_dir()), Listeners(log, reporter))
        reporter.ask = lambda: supervisor.probe(tries)
        Daemon(supervisor, state_dir()).run()
    finally:
        finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
