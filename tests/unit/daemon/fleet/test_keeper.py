from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon.fleet import keeper as keeper_module
from cutoutd.daemon.fleet.link import RelayLink
from cutoutd.daemon.fleet.records import FromRelay, Give, Lost, Nodes, Offer, RelayGone

pytestmark = pytest.mark.slow

# Stands in for the relay: repeats what it is told as nodes' names, so that a test sees what came through.
ECHO = """
import os, sys
from cutoutd.daemon.fleet.records import *
from cutoutd.daemon.workers.codec import dumps, from_json, loads
from cutoutd.daemon.workers.ipc import frame, read_frame, write_all

def main(scheduler, certificates, parent, calls, answers):
    def say(message): write_all(answers, frame(dumps(message)))
    say(Nodes(True, f"pid {os.getpid()}", ()))
    while (body := read_frame(calls, 1 << 20)) is not None:
        order = from_json(ToRelay, loads(body, trusted=True), trusted=True)
        if isinstance(order, Offer) and order.terms == "garbage":
            write_all(answers, b"\\x7f\\xff\\xff\\xff")
        elif isinstance(order, Offer) and order.terms == "half":
            write_all(answers, frame(b"12345678")[:7]); os._exit(3)
        elif isinstance(order, Offer):
            say(Nodes(True, f"offered {order.terms}", ()))
        elif isinstance(order, Give):
            say(Lost(order.call, "echo"))
    os._exit(0)
"""


class Heard:
    def __init__(self) -> None:
        self.messages: list[FromRelay] = []
        self.lock = threading.Lock()

    def __call__(self, message: FromRelay) -> None:
        with self.lock:
            self.messages.append(message)

    def of(self, kind: type[Any]) -> list[Any]:
        with self.lock:
            return [one for one in self.messages if isinstance(one, kind)]

    def pids(self) -> list[int]:
        return [int(one.why[4:]) for one in self.of(Nodes) if one.why.startswith("pid ")]


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays that say the same to whoever listens."""
    (tmp_path / "echo_relay.py").write_text(ECHO)
    (tmp_path / "keeper_of_echo.py").write_text(
        "from cutoutd.daemon.fleet import keeper\n"
        "def main(*arguments):\n    keeper.RELAY = 'echo_relay'\n    keeper.main(*arguments)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("cutoutd.daemon.fleet.link.KEEPER", "keeper_of_echo")


@pytest.fixture
def link(tmp_path: Path, echo: None) -> Generator[tuple[RelayLink, Heard]]:
    del echo
    heard = Heard()
    made = RelayLink("tls://h:1", tmp_path)
    made.attach(heard)
    wait_until(heard.pids, "the relay to start", 30)
    yield made, heard
    made.close()


def test_orders_and_answers_pass(link: tuple[RelayLink, Heard]) -> None:
    made, heard = link
    made.say(Offer("ours"))
    made.say(Give(7, "tls://n:1", "{}"))
    wait_until(lambda: heard.of(Lost), "the answer", 20)
    assert heard.of(Lost) == [Lost(7, "echo")]
    assert any(one.why == "offered ours" for one in heard.of(Nodes))


def test_a_relay_that_dies_is_started_again_and_told_the_terms(link: tuple[RelayLink, Heard]) -> None:
    made, heard = link
    made.say(Offer("ours"))
    wait_until(lambda: any(one.why == "offered ours" for one in heard.of(Nodes)), "the terms", 20)
    os.kill(heard.pids()[0], signal.SIGKILL)
    wait_until(lambda: len(heard.pids()) == 2, "another relay", 30)
    assert [type(one) for one in heard.of(RelayGone)] == [RelayGone]
    wait_until(lambda: [one.why for one in heard.of(Nodes)].count("offered ours") == 2, "the terms again", 20)


@pytest.mark.parametrize("kind", ["half", "garbage"])
def test_half_a_sentence_is_not_passed_on(link: tuple[RelayLink, Heard], kind: str) -> None:
    made, heard = link
    made.say(Offer(kind))
    wait_until(lambda: heard.of(RelayGone), "the end to be told", 30)
    assert all("keeper" not in one.why for one in heard.of(RelayGone))


def test_a_keeper_that_dies_takes_the_relay_along_and_is_told(link: tuple[RelayLink, Heard]) -> None:
    made, heard = link
    os.kill(made.pid, signal.SIGKILL)
    wait_until(lambda: heard.of(RelayGone), "the end to be told", 20)
    assert "restart" in heard.of(RelayGone)[0].why
    relay = heard.pids()[0]
    wait_until(lambda: _gone(relay), "the relay to end", 20)
    made.say(Give(1, "tls://n:1", "{}"))  # nobody is there: it does no harm


@pytest.mark.parametrize("lived_s", [10, 70])
def test_a_keeper_that_dies_at_once_would_do_so_again(tmp_path: Path, echo: None, lived_s: int) -> None:
    del echo
    now = [0.0]
    heard = Heard()
    made = RelayLink("tls://h:1", tmp_path, clock=lambda: now[0])
    try:
        made.attach(heard)
        now[0] = lived_s
        os.kill(made.pid, signal.SIGKILL)
        wait_until(lambda: heard.of(RelayGone), "the end to be told", 20)
        assert bool(made.ended) is (lived_s > keeper_module.STEADY_S)
    finally:
        made.close()


def test_closing_ends_both(link: tuple[RelayLink, Heard]) -> None:
    made, heard = link
    made.close()
    relay = heard.pids()[0]
    wait_until(lambda: _gone(relay), "the relay to end", 20)
    assert heard.of(RelayGone) == []


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_calls_are_numbered_over_all_lives(link: tuple[RelayLink, Heard]) -> None:
    made, _ = link
    assert [made.next_call(), made.next_call()] == [0, 1]


def test_the_longest_answer_fits() -> None:
    assert keeper_module.LONGEST_FROM_RELAY > 2 * 256_000
