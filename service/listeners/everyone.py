"""Everyone who hears the daemon: chosen by settings, terminal and service manager."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

from cutoutd.config.settings import Settings
from cutoutd.daemon.events import Listener, Listeners
from cutoutd.daemon.log_names import LogNames
from cutoutd.service import streams

_LOG = logging.getLogger(__name__)

# Terminals that only print, as an editor's shell or a serial line: of a live view nothing would be seen there.
_CANNOT_DRAW = frozenset({"dumb", "unknown"})


def listeners(settings: Settings) -> tuple[Listener, Callable[[], None]]:
    """Everyone who hears the daemon, and how to end the one on the terminal."""
    from cutoutd.service.listeners.desktop import DesktopListener, notifier_command
    from cutoutd.service.listeners.journal import JournalFormatter, goes_to_journal
    from cutoutd.service.listeners.lines import LogListener
    from cutoutd.service.listeners.metrics import MetricsListener
    from cutoutd.service.listeners.sd_notify import Notifier
    from cutoutd.service.listeners.systemd import SystemdListener

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JournalFormatter()
        if goes_to_journal()
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    names = LogNames()
    names.follow(settings)
    handler.addFilter(names)
    logging.basicConfig(level=settings.log.level.upper(), handlers=[handler])
    # At level debug it would name every file, whatever log.filenames says.
    logging.getLogger("watchdog").setLevel(logging.INFO)
    # What no logger wrote: a thread's last words, a library's warning, the sentence with which the program ends.
    streams.filtered(sys.stderr, names.hide)
    threading.excepthook = _log_last_words
    everyone: list[Listener] = []
    finish: Callable[[], None] = lambda: None  # noqa: E731 - nothing to end without a terminal
    if sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in _CANNOT_DRAW:
        from rich.console import Console

        from cutoutd.service.listeners.terminal import TerminalListener

        terminal = TerminalListener(Console(), gone=lambda: not sys.stdout.isatty())
        finish = terminal.stop
        everyone.append(terminal)
    else:
        everyone.append(LogListener())
    notifier = Notifier()
    if notifier.active:
        everyone.append(SystemdListener(notifier, settings.stop_grace))
    if settings.notify.done or settings.notify.failed:
        everyone.append(DesktopListener(settings.notify, notifier_command()))
    if settings.metrics.textfile is not None:
        everyone.append(MetricsListener(settings.metrics.textfile, settings.metrics.every))
    return Listeners(*everyone, names=names), finish


def _log_last_words(ended: threading.ExceptHookArgs) -> None:
    """A thread that ends with an exception says so in the log, as everything does."""
    name = "a thread" if ended.thread is None else f"the thread {ended.thread.name!r}"
    _LOG.error("%s ended", name, exc_info=ended.exc_value)
