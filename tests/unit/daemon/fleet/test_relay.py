"""What a relay believes: of a photo only the node that has it in hand, once, and nothing that no record can hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pretended_fleet import node

from cutoutd.daemon.fleet import dask
from cutoutd.daemon.fleet import relay as relay_module
from cutoutd.daemon.fleet.records import LONGEST_BODY, Answered, Drop, FromRelay, Give, Lost, Nodes
from cutoutd.daemon.fleet.relay import Relay
from cutoutd.daemon.workers.codec import from_json, loads
from cutoutd.daemon.workers.ipc import read_frame


class Client:
    """Dask's, whose thread has its turn when a test says so."""

    def __init__(self) -> None:
        self.loop = self.scheduler_comm = self
        self.due: list[Callable[[], None]] = []
        self.sent: list[list[dict[str, Any]]] = []

    def add_callback(self, then: Callable[[], None]) -> None:
        self.due.append(then)

    def send(self, *messages: dict[str, Any]) -> None:
        self.sent.append(list(messages))

    def turn(self) -> list[dict[str, Any]]:
        """What is sent in one message."""
        due, self.due = self.due, []
        for then in due:
            then()
        return self.sent.pop() if self.sent else []


class Told:
    """A relay with two nodes, and what it has told the daemon."""

    def __init__(self) -> None:
        self.pipe, answers = os.pipe()
        self.relay: Any = Relay("tls://h:1", Path("/certificates"), answers)
        self.client = self.relay._client = Client()
        for name in ("anna", "bert"):
            facts = node(name)
            self.relay._nodes[facts.address] = relay_module._Node(facts)  # pyright: ignore[reportPrivateUsage]

    def give(self, call: int, to: str = "anna") -> str:
        """The token under which it is to be answered."""
        self.relay.hear(Give(call, node(to).address, "a job"))
        return self.client.turn()[-1]["message"]["token"]

    def say(self, name: str, token: Any, answer: Any) -> None:
        said = {"token": token, "answer": answer, "worker": node(name).address}
        self.relay._answered((0.0, said))

    def look(self, *names: str) -> None:
        """These nodes are there, as the scheduler says."""
        self.relay._there({node(name).address: f"{name}/1" for name in names})

    def heard(self) -> FromRelay:
        body = read_frame(self.pipe, 10 * LONGEST_BODY)
        assert body is not None
        return from_json(FromRelay, loads(body, trusted=False))

    def end(self) -> None:
        """Nothing more was said."""
        os.close(self.relay._answers)
        assert os.read(self.pipe, 1) == b""
        os.close(self.pipe)


@pytest.fixture
def told() -> Generator[Told]:
    one = Told()
    yield one
    one.end()


def test_an_answer_is_told_once_and_its_nodes_end_no_more(told: Told) -> None:
    token = told.give(7)
    told.say("anna", token, "{}")
    told.say("anna", token, "{}")
    told.relay._gone((0.0, {"worker": node("anna").address}))
    assert told.heard() == Answered(7, "{}")
    assert isinstance(told.heard(), Nodes)


def test_what_is_given_at_once_travels_in_one_message(told: Told) -> None:
    for call, name in ((7, "anna"), (8, "bert")):
        told.relay.hear(Give(call, node(name).address, f"job {call}"))
    told.relay.hear(Drop(8))
    sent = told.client.turn()
    assert [(one["op"], one["node"]) for one in sent] == [
        (dask.PASS_ON, node(name).address) for name in ("anna", "bert", "bert")
    ]
    assert [one["message"].get("job") for one in sent] == ["job 7", "job 8", None]
    assert sent[2]["message"] == {"op": dask.DROP, "life": "", "call": 8}
    assert told.client.turn() == []


def test_nobody_answers_for_another_node(told: Told) -> None:
    told.give(7)
    token = told.give(8, "bert")
    told.say("anna", token, "{}")
    told.say("bert", token, "{}")
    assert told.heard() == Answered(8, "{}")


def test_what_an_earlier_relay_gave_is_not_mistaken_for_what_this_one_did(told: Told) -> None:
    earlier = Told()
    other = earlier.give(7)
    earlier.end()
    token = told.give(7)
    told.say("anna", other, "late")
    told.say("anna", token, "{}")
    assert told.heard() == Answered(7, "{}")


def test_what_a_node_has_in_hand_is_lost_with_it_and_nothing_else_is(told: Told) -> None:
    token = told.give(7)
    other = told.give(8, "bert")
    told.relay._gone((0.0, {"worker": node("anna").address}))
    told.say("anna", token, "{}")
    told.say("bert", other, "{}")
    assert told.heard() == Lost(7, "The node is gone.")
    gone = told.heard()
    assert isinstance(gone, Nodes)
    assert [one.name for one in gone.nodes] == ["bert"]
    assert told.heard() == Answered(8, "{}")


def test_a_node_that_is_not_there_at_one_look_may_still_answer(told: Told) -> None:
    token = told.give(7)
    told.look("bert")
    told.say("anna", token, "{}")
    assert told.heard() == Answered(7, "{}")


def test_a_node_of_whose_end_nobody_told_is_gone_at_the_second_look(told: Told) -> None:
    told.give(7)
    told.look("bert")
    told.look("anna", "bert")
    told.look("bert")
    told.look("bert")
    assert told.heard() == Lost(7, "The node is gone.")


@pytest.mark.parametrize(
    "answer", [b"bytes", None, {"is": "Returned"}, "é", "two\nlines", "x" * (LONGEST_BODY + 1)]
)
def test_an_answer_that_no_record_holds_becomes_an_empty_one(told: Told, answer: Any) -> None:
    told.say("anna", told.give(7), answer)
    assert told.heard() == Answered(7, "")


@pytest.mark.parametrize("event", [None, (0.0, "text"), (0.0, {}), (0.0, {"worker": [], "token": {}})])
def test_an_event_that_makes_no_sense_changes_nothing(told: Told, event: Any) -> None:
    token = told.give(7)
    told.relay._answered(event)
    told.say("anna", [token], "{}")
    told.say("anna", token, "{}")
    assert told.heard() == Answered(7, "{}")


def test_what_breaks_with_the_connection_is_lost_and_not_sent_on_the_next(told: Told) -> None:
    told.relay.hear(Give(7, node("anna").address, "a job"))
    told.relay._broken("a cable was pulled")
    assert told.heard() == Lost(7, "The connection to the scheduler broke.")
    assert isinstance(told.heard(), Nodes)
    told.relay._client = told.client
    assert told.client.turn() == []
