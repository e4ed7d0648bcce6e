"""What the daemon tells the world, as one small interface; who listens is not its concern."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from cutoutd.config.settings import Settings
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.daemon.log_names import LogNames

_LOG = logging.getLogger("cutoutd")


class PhotoEvent(Struct, frozen=True):
    """Something happened to one photo.

    `name` is what people may see: the file's name, or its number where names are not to be logged.
    `outputs` are absolute paths below `outbox`; `seconds` is the time in hand; `timings` are seconds per stage.
    `stage` is "draft" or "final" in an inbox that has both, else empty. `latency_s` is the time since the photo
    arrived, waiting included; 0 where it is done again, so that its arrival means nothing.
    """

    photo: int
    inbox: str
    name: str
    reason: str = ""
    detail: str = ""
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])
    outbox: str = ""
    stage: str = ""
    latency_s: float = 0.0


class Listener:
    """Hears everything and does nothing; subclasses override what they care about.

    Calls come from the supervisor's loop and must return at once.
    """

    def configured(self, settings: Settings) -> None:
        """These settings are in force: at the start, and after each change of them."""

    def starting(self, text: str) -> None:
        """Start-up takes a while; `text` says what is being done."""

    def ready(self, status: LiveStatus) -> None:
        """Watches stand, the model is loaded: photos are taken up from now on."""

    def photo_started(self, event: PhotoEvent) -> None:
        """A worker has a photo in hand."""

    def photo_done(self, event: PhotoEvent) -> None:
        """Its cutout lies in the outbox."""

    def photo_failed(self, event: PhotoEvent) -> None:
        """It has a named problem; the original stays."""

    def photo_retry(self, event: PhotoEvent) -> None:
        """An attempt went wrong; it is tried again by itself."""

    def notice(self, text: str) -> None:
        """Worth a log line."""

    def warning(self, text: str) -> None:
        """Something needs attention but nothing is lost."""

    def status(self, status: LiveStatus) -> None:
        """The figures changed; at most once a second."""

    def healthy(self) -> None:
        """The loop has gone round with watches and workers in order; feeds a watchdog."""

    def reloading(self) -> None:
        """A new config is being applied."""

    def reloaded(self) -> None:
        """The new config is in force."""

    def stopping(self) -> None:
        """Photos in hand are being finished; no new one starts."""


class Listeners(Listener):
    """Passes everything on to several listeners; one that raises is logged, once for each kind of news.

    Here texts leave the daemon: each becomes one line that only prints, without names of photos where `log.filenames`
    says so, whoever wrote it.

    Args:
        listeners: who hears it.
        names: the filter, shared with the log's handler; unset, one of its own.
    """

    def __init__(self, *listeners: Listener, names: LogNames | None = None) -> None:
        self._listeners = listeners
        self._names = names or LogNames()
        self._told: set[tuple[int, str]] = set()

    def __getattribute__(self, name: str) -> Any:
        """Each of the interface's methods becomes a call to all."""
        if name.startswith("_") or name not in _CALLS:
            return super().__getattribute__(name)
        listeners: tuple[Listener, ...] = super().__getattribute__("_listeners")
        told: set[tuple[int, str]] = super().__getattribute__("_told")
        names: LogNames = super().__getattribute__("_names")

        def call(*arguments: Any) -> None:
            """Tells all listeners; one that raises is logged, and the others hear it."""
            if name == "configured":
                names.follow(*arguments)
            arguments = tuple(_cleaned(one, names) for one in arguments)
            for number, listener in enumerate(listeners):
                try:
                    getattr(listener, name)(*arguments)
                except Exception as error:  # noqa: BLE001 - whatever a listener is made of, photos go on
                    if (number, name) not in told:
                        told.add((number, name))
                        _LOG.error("%s cannot tell of %s", type(listener).__name__, name, exc_info=error)

        return call


def _texts(event: PhotoEvent) -> tuple[str, ...]:
    return event.inbox, event.name, event.reason, event.detail, event.outbox, *event.outputs


def _cleaned(argument: Any, names: LogNames) -> Any:
    if isinstance(argument, PhotoEvent):
        if not names.hidden and all(map(str.isprintable, _texts(argument))):  # nearly always
            return argument
        told = {name: getattr(argument, name) for name in ("inbox", "name", "reason", "detail", "outbox")}
        told["outputs"] = [] if names.hidden else list(argument.outputs)
        clean = names.value(told)
        return replace(argument, **{**clean, "outputs": tuple(clean["outputs"])})
    if isinstance(argument, LiveStatus):
        return LiveStatus.from_plain(names.value(argument.plain()))
    return names.value(argument)


_CALLS = frozenset(name for name in vars(Listener) if not name.startswith("_"))
