"""What a relay believes: of a photo only the node that has it in hand, once, and nothing that no record can hold."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pretended_fleet import node

from cutoutd.daemon.fleet import relay as relay_module
from cutoutd.daemon.fleet.records import LONGEST_BODY, Answered, Drop, FromRelay, Give, Lost
from cutoutd.daemon.fleet.relay import Relay
from cutoutd.daemon.workers.codec import from_json, loads
from cutoutd.daemon.workers.ipc import read_frame


class Future:
    """A photo in Dask's hands."""

    def __init__(self, **told: Any) -> None:
        self.told = told
        self.status = "pending"


class Client:
    """Dask's, as far as photos are concerned."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.ran: list[tuple[Any, ...]] = []

    def submit(self, _function: Any, _job: str, token: str, **how: Any) -> Future:
        self.futures.append(Future(token=token, **how))
        return self.futures[-1]

    def run(self, *asked: Any, workers: list[str]) -> None:
        self.ran.append((*asked, workers))


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
        return self.client.futures[-1].told["token"]

    def say(self, name: str, token: Any, answer: Any) -> None:
        said = {"token": token, "answer": answer, "worker": node(name).address}
        self.relay._answered((0.0, said))

    def end_of_photo(self, status: str) -> None:
        """As Dask says of the last one."""
        self.client.futures[-1].status = status
        self.relay._look_for_the_lost()

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


def test_an_answer_is_told_once_and_its_photos_end_no_more(told: Told) -> None:
    token = told.give(7)
    told.say("anna", token, "{}")
    told.say("anna", token, "{}")
    told.end_of_photo("finished")
    assert told.heard() == Answered(7, "{}")


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


@pytest.mark.parametrize("status", ["error", "lost", "cancelled", "finished"])
def test_a_photo_that_ends_without_an_answer_is_lost(told: Told, status: str) -> None:
    token = told.give(7)
    told.relay._look_for_the_lost()
    told.end_of_photo(status)
    told.end_of_photo(status)
    told.say("anna", token, "{}")
    assert told.heard() == Lost(7, f"The node did not finish it ({status}).")


def test_a_photo_whose_answer_is_heard_after_dask_s_word_is_not_lost(told: Told) -> None:
    token = told.give(7)
    told.end_of_photo("finished")
    told.say("anna", token, "{}")
    told.end_of_photo("finished")
    assert told.heard() == Answered(7, "{}")


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


def test_a_call_that_is_dropped_is_ended_on_its_node(told: Told) -> None:
    told.give(7)
    told.give(8, "bert")
    told.relay.hear(Drop(8))
    told.relay._asking.shutdown(wait=True)
    (ran,) = told.client.ran
    assert ran[1:] == ("", 8, [node("bert").address])
