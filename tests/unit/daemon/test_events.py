"""What is told to one listener is told to all, in order, whatever is added to the interface."""

# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cutoutd.daemon.events import Listener, Listeners, PhotoEvent

CALLS = [name for name in vars(Listener) if not name.startswith("_")]
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
    return tuple({"event": EVENT, "text": "words", "status": {"counts": {}}}[one] for one in names)


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
