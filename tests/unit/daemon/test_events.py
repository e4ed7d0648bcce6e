"""What is told to one listener is told to all, in order, whatever is added to the interface."""

# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cutoutd.config.load import parse_settings
from cutoutd.daemon.events import Listener, Listeners, PhotoEvent
from cutoutd.daemon.live_status import Counts, DaemonState, InboxStatus, LiveStatus

CALLS = [name for name in vars(Listener) if not name.startswith("_")]
SETTINGS = parse_settings('[[inbox]]\npath = "/in"\noutbox = "/out"\n')
HIDING = parse_settings('[[inbox]]\npath = "/in"\noutbox = "/out"\n[log]\nfilenames = false\n')
EVENT = PhotoEvent(1, "/in", "a.jpg", outputs=("/out/a.png",))


class Recorder(Listener):
    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in CALLS:
            return lambda *arguments: self.heard.append((name, arguments))
        return super().__getattribute__(name)


def arguments(name: str) -> tuple[Any, ...]:
    names = list(inspect.signature(getattr(Listener, name)).parameters)[1:]
    known = {"event": EVENT, "text": "words", "status": {"counts": {}}, "settings": SETTINGS}
    return tuple(known[one] for one in names)


@pytest.mark.parametrize("name", CALLS)
def test_everyone_hears_everything(name: str) -> None:
    first, second = Recorder(), Recorder()
    getattr(Listeners(first, second), name)(*arguments(name))
    assert first.heard == second.heard == [(name, arguments(name))]


@pytest.mark.parametrize("name", CALLS)
def test_who_cares_about_nothing_needs_to_say_nothing(name: str) -> None:
    assert getattr(Listener(), name)(*arguments(name)) is None


def test_an_event_cannot_be_changed_on_its_way() -> None:
    with pytest.raises(AttributeError):
        EVENT.name = "b.jpg"  # type: ignore[misc]
    assert PhotoEvent(1, "", "").timings is not PhotoEvent(1, "", "").timings


def test_whatever_is_told_is_one_line_that_only_prints() -> None:
    heard = Recorder()
    everyone = Listeners(heard)
    everyone.warning("a\nforged line\x1b[2J")
    inbox = InboxStatus(path="/in", outbox="/out", trouble="\r")
    everyone.status(
        LiveStatus(state=DaemonState.IDLE, why="b\u202e", inboxes=(inbox,), counts=Counts(done=1))
    )
    everyone.photo_failed(PhotoEvent(1, "in\n", "a\x9b.jpg", detail="\x07", outputs=("/out/\n.png",)))
    (_, (warning,)), (_, (status,)), (_, (event,)) = heard.heard
    assert warning == r"a\nforged line\x1b[2J"
    assert (status.why, status.inboxes[0].trouble, status.counts.done) == (r"b\u202e", r"\r", 1)
    assert (event.inbox, event.name, event.detail) == (r"in\n", r"a\x9b.jpg", r"\x07")
    assert event.outputs == (r"/out/\n.png",)


def test_names_are_hidden_from_the_moment_at_which_the_settings_say_so() -> None:
    heard = Recorder()
    everyone = Listeners(heard)
    for settings in (SETTINGS, HIDING, SETTINGS):
        everyone.configured(settings)
        everyone.notice("/in/Anna.jpg: gone")
    notices = [arguments[0] for name, arguments in heard.heard if name == "notice"]
    assert notices == ["/in/Anna.jpg: gone", "/in/…", "/in/Anna.jpg: gone"]
