from __future__ import annotations

from typing import Any, cast

from tests.support.pretended_fleet import node

from cutoutd.daemon.fleet.node_slots import Call, NodeSlots
from cutoutd.daemon.fleet.records import NodeState


def taken(slots: NodeSlots, *numbers: int) -> NodeSlots:
    for number in numbers:
        slots.calls[slots.base + number] = Call(number, number, cast("Any", None), slots.base + number, 100.0)
    return slots


def test_slots_with_a_photo_are_not_free() -> None:
    one = NodeSlots(node("anna", slots=3, large=1), 1000)
    assert sorted(one.free(0.0, large=False)) == [1000, 1001, 1002]
    assert sorted(taken(one, 1).free(0.0, large=False)) == [1000, 1002]
    assert one.free(0.0, large=True) == [1000]
    assert [one.can_take(number, 0.0) for number in (1000, 1001, 1002, 1003)] == [True, False, True, False]
    assert taken(one, 0, 2).free(0.0, large=False) == []
    assert not one.can_take(1000, 0.0)


def test_one_that_rests_or_leaves_has_none() -> None:
    one = NodeSlots(node("anna"), 1000)
    one.rest_until, one.trouble = 5.0, "It sees another folder."
    assert one.free(4.0, large=False) == []
    assert one.free(5.0, large=False)
    assert (one.can_take(1000, 4.0), one.can_take(1000, 5.0)) == (False, True)
    shown = one.status(4.0)
    assert (shown.state, shown.why) == ("unfit", "It sees another folder.")
    assert one.status(5.0).state == "ready"
    assert NodeSlots(node("anna", state=NodeState.LEAVING), 1000).free(0.0, large=False) == []


def test_what_it_has_and_did_is_shown() -> None:
    one = taken(NodeSlots(node("anna", slots=2), 1000), 0)
    one.done.extend((1.0, 2.0, 3.0))
    shown = one.status(4.0)
    assert (shown.name, shown.slots, shown.busy, shown.photos_per_minute) == ("anna", 2, 1, 3)
