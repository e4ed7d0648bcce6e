from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pretended_fleet import FleetSimulation
from tests.support.simulation import BROKEN, cutout_of, simulated

from cutoutd.config.errors import Reason
from cutoutd.daemon.fleet.records import Broke, NodeState, Raised, Returned
from cutoutd.daemon.fleet.slots import NODE_STEP
from cutoutd.daemon.workers.ipc import Fault


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FleetSimulation]:
    """A head whose own workers are busy with nothing: photos go to nodes alone."""
    with simulated(monkeypatch):
        made = FleetSimulation(
            tmp_path, tables={"fleet": {"scheduler": "tls://h:1", "certificates": "/c", "local": False}}
        )
        made.boot()
        made.until(lambda: made.link.offers)
        yield made
        made.die()


def until_given(one: FleetSimulation, count: int = 1) -> None:
    one.until(lambda: len(one.link.given) >= count)


def test_a_photo_goes_to_a_node_and_comes_back_once(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.answer_twice()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}
    assert one.states() == {"a.jpg": "done"}
    assert one.leftovers() == []


def test_photos_wait_while_there_is_no_node_and_go_at_once_when_one_comes(one: FleetSimulation) -> None:
    one.put("a.jpg", b"photo")
    one.run(40)
    assert one.states() == {"a.jpg": "pending"}
    one.link.join("anna")
    until_given(one)


def test_a_node_gets_as_many_as_it_has_slots(one: FleetSimulation) -> None:
    one.link.join("anna", slots=2)
    for name in "abc":
        one.put(f"{name}.jpg", name.encode())
    until_given(one, 2)
    one.run(8)
    assert len(one.link.given) == 2
    one.link.answer()
    until_given(one, 2)


def test_the_node_with_most_room_is_first(one: FleetSimulation) -> None:
    one.link.join("anna", slots=1, large=1)
    one.link.join("bert", slots=3, large=3)
    for name in "abcd":
        one.put(f"{name}.jpg", name.encode())
    until_given(one, 4)
    assert [give.node for give, _ in one.link.given].count("tls://bert:1") == 3


def test_a_large_network_gets_the_slots_that_have_it(one: FleetSimulation) -> None:
    one.link.join("anna", slots=3, large=1)
    one.turn()
    fleet = one.parts.worker_manager.fleet
    assert fleet is not None
    assert [number - NODE_STEP for number in fleet.slots_for(large=True)] == [0]
    assert [number - NODE_STEP for number in fleet.slots_for(large=False)] == [1, 2, 0]


def test_a_lost_node_is_one_line_and_no_failed_photo(one: FleetSimulation) -> None:
    heard: list[str] = []
    one.heard.notice = heard.append  # type: ignore[method-assign]
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.leave("anna")
    one.run(4)
    assert one.states() == {"a.jpg": "pending"}
    assert [row["attempts"] for row in one.rows()] == [0]
    assert len([text for text in heard if "anna" in text and "gone" in text]) == 1
    one.link.join("bert")
    until_given(one)
    one.link.finish_late()
    one.link.answer()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_what_a_lost_node_wrote_late_is_removed_when_one_joins(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.leave("anna")
    one.run(4)
    one.link.finish_late()
    one.run(2)
    assert len(one.leftovers()) == 1
    one.link.join("anna")
    until_given(one)
    one.run(4)
    one.link.answer()
    one.finish()
    assert one.leftovers() == []


def test_what_a_node_writes_for_an_earlier_life_is_removed_when_it_joins(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.die()
    late = [order for _, order in one.link.given]
    one.link.given.clear()
    one.link.nodes.clear()
    one.boot()
    one.until(lambda: len(one.link.offers) > 1)
    one.run(12)
    one.link.late = late
    one.link.finish_late()
    one.run(2)
    assert len(one.leftovers()) == 1
    one.link.join("anna")
    until_given(one)
    one.run(4)
    one.link.answer()
    one.finish()
    assert one.leftovers() == []
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


def test_a_relay_that_dies_costs_no_attempt(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.relay_dies()
    one.run(4)
    assert one.states() == {"a.jpg": "pending"}
    fleet = one.daemon.status().fleet
    assert fleet is not None
    assert fleet.trouble == "The relay ended."
    one.link.join("anna")
    until_given(one)
    one.link.answer()
    one.finish()
    assert [row["attempts"] for row in one.rows()] == [0]


def test_a_node_in_trouble_rests_and_the_photo_goes_elsewhere(one: FleetSimulation) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.unfit()
    one.run(8)
    assert one.link.given == []
    assert [(n.state, n.why) for n in _nodes(one)] == [("unfit", "It cannot work (its share is away).")]
    one.link.join("bert")
    until_given(one)
    one.link.answer()
    one.finish()
    assert [row["attempts"] for row in one.rows()] == [0]


def _nodes(one: FleetSimulation) -> Any:
    fleet = one.daemon.status().fleet
    assert fleet is not None
    return fleet.nodes


def test_a_node_that_leaves_is_no_trouble(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.unfit(why="")
    until_given(one)  # the same node: nothing is wrong with it
    assert one.heard.warnings == []


def test_a_node_that_does_not_see_what_is_there_is_not_believed(one: FleetSimulation) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.answer(0, Returned({"is": "Refused", "reason": "vanished", "detail": "gone"}))
    one.run(4)
    assert one.states() == {"a.jpg": "pending"}
    assert "does not see" in one.heard.warnings[-1]


def test_a_cutout_that_does_not_arrive_is_made_again(one: FleetSimulation) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    until_given(one)
    temporary = one.link.given[0][1].job.temporaries[0]
    one.link.answer()
    Path(temporary.decode()).unlink()
    one.until(lambda: one.heard.warnings)
    assert "does not arrive" in one.heard.warnings[-1]
    one.link.join("bert")
    until_given(one)
    one.link.answer()
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"photo")}


@pytest.mark.parametrize(
    "lie",
    [
        {"is": "Known", "digest": "00" * 32},
        {"is": "OverBudget", "megapixels": 0.1},
        {"is": "NotTaken", "number": 7, "code": 28, "detail": ""},
        {"is": "Finished"},
        None,
    ],
)
def test_an_answer_that_does_not_fit_is_the_nodes_fault(one: FleetSimulation, lie: Any) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.answer(0, Returned(lie))
    one.run(4)
    assert one.states() == {"a.jpg": "pending"}
    assert [row["attempts"] for row in one.rows()] == [0]
    assert "refused" in one.heard.warnings[-1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Broke("timeout", "too long"), Reason.TOO_SLOW),
        (Broke("out-of-memory", "too much"), Reason.OUT_OF_MEMORY),
        (Broke("crashed", "signal 11"), Reason.CRASHED),
        (Raised(Fault("other", None, "IndexError", "", "")), Reason.CRASHED),
        (Raised(Fault("memory", None, "", "", "")), Reason.OUT_OF_MEMORY),
        (Raised(Fault("photo", Reason.UNREADABLE, "broken", "", "")), Reason.UNREADABLE),
    ],
)
def test_limits_and_attempts_hold_on_nodes(one: FleetSimulation, answer: Any, reason: Reason) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    for _ in range(40):
        one.until(lambda: one.link.given or one.states() == {"a.jpg": "failed"})
        if one.states() == {"a.jpg": "failed"}:
            break
        one.link.answer(0, answer)
        one.run(2)
        one.pass_time(400)
    assert [(row["state"], row["reason"]) for row in one.rows()] == [("failed", reason)]
    assert [row["attempts"] for row in one.rows()] >= [2]


def test_a_photo_with_a_named_problem_fails_as_on_one_machine(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", BROKEN)
    until_given(one)
    one.link.answer()
    one.finish()
    assert [(row["state"], row["reason"]) for row in one.rows()] == [("failed", "too-large")]


def test_a_node_that_does_not_answer_is_given_up(one: FleetSimulation) -> None:
    one.link.join("anna", slots=1, large=1)
    one.put("a.jpg", b"photo")
    until_given(one)
    (call,) = [give.call for give, _ in one.link.given]
    for _ in range(200):  # not in one leap: a loop that is late was stopped, and deadlines move
        one.pass_time(0.9)
        one.turn()
    assert one.link.dropped == [call]
    assert one.states() == {"a.jpg": "pending"} or one.link.given
    assert [row["attempts"] for row in one.rows()] == [0]


def test_deadlines_move_with_a_head_that_was_suspended(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    before = one.now
    one.pass_time(3600)
    one.daemon.turn(before)
    one.run(4)
    assert one.link.dropped == []
    one.link.answer()
    one.finish()


def test_limits_of_what_is_in_hand_are_for_each_machine(one: FleetSimulation) -> None:
    for name in ("anna", "bert", "carl"):
        one.link.join(name, slots=20, large=20)
    for number in range(60):
        one.put(f"{number}.jpg", f"{number}".encode())
    until_given(one, 50)
    assert one.parts.worker_manager.machines() == 3


def test_states_of_nodes_are_told(one: FleetSimulation) -> None:
    one.link.join("anna", state=NodeState.JOINING)
    one.link.join("bert", state=NodeState.REFUSED)
    one.link.join("carl")
    one.run(2)
    assert [(n.name, n.state, n.slots) for n in _nodes(one)] == [
        ("anna", "joining", 0),
        ("bert", "refused", 0),
        ("carl", "ready", 2),
    ]
    assert any("bert" in text for text in one.heard.warnings)


def test_the_pace_of_a_node_is_of_the_last_minute_and_turns_the_loop_no_more_than_needed(
    one: FleetSimulation,
) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.link.answer()
    one.finish()
    assert [n.photos_per_minute for n in _nodes(one)] == [1]
    for _ in range(80):
        one.pass_time(0.9)
        one.turn()
        due = one.parts.workers.next_deadline()
        assert due is None or due > one.now - 0.25
    assert [n.photos_per_minute for n in _nodes(one)] == [0]
    assert one.parts.workers.next_deadline() is None


def test_the_status_names_the_node_of_a_photo_in_hand(one: FleetSimulation) -> None:
    one.link.join("anna")
    one.put("a.jpg", b"photo")
    until_given(one)
    one.turn()
    assert [hand.node for hand in one.daemon.status().in_hand] == ["anna"]


def test_the_head_works_beside_its_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated(monkeypatch):
        one = FleetSimulation(
            tmp_path, tables={"fleet": {"scheduler": "tls://h:1", "certificates": "/c"}}
        ).boot()
        assert isinstance(one, FleetSimulation)
        one.until(lambda: one.link.offers)
        one.workers.hang = True
        one.link.join("anna")
        for name in "abcd":
            one.put(f"{name}.jpg", name.encode())
        until_given(one, 2)
        one.run(4)
        assert one.parts.workers.busy() == 4
        one.workers.hang = False
        one.link.answer()
        one.link.answer()
        one.finish()
        assert set(one.states().values()) == {"done"}


def test_a_node_that_went_is_missing_until_it_comes_back(one: FleetSimulation) -> None:
    def stands() -> dict[str, tuple[str, bool]]:
        fleet = one.parts.worker_manager.fleet
        assert fleet is not None
        return {node.name: (node.state, node.missing_since > 0) for node in fleet.nodes()}

    one.link.join("anna")
    one.run(4)
    assert stands() == {"anna": ("ready", False)}
    one.link.leave("anna")
    one.run(4)
    assert stands() == {"anna": ("missing", True)}
    one.link.join("anna")
    one.run(4)
    assert stands() == {"anna": ("ready", False)}
