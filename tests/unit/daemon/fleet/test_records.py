from __future__ import annotations

import typing
from typing import Any

import pytest
from msgspec import Struct
from pydantic import BaseModel

from cutoutd.daemon.fleet.records import (
    Answered,
    Broke,
    FromRelay,
    JoinAnswer,
    Joined,
    Lost,
    NodeFacts,
    NodeJob,
    Nodes,
    NodeState,
    PhotoAnswer,
    Raised,
    RelayGone,
    Returned,
    Terms,
    ToRelay,
    Unfit,
)
from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads
from cutoutd.daemon.workers.engines import Loaded
from cutoutd.daemon.workers.ipc import Fault

JOINED = Joined(4, 1, {"cutout-s": Loaded("cpu", (), "ab" * 16)}, "", 1e9)
NODE = NodeFacts("anna", NodeState.READY, "tls://1.2.3.4:5", "", JOINED)


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (FromRelay, Nodes(True, "", (NODE,))),
        (FromRelay, Answered(3, '{"is":"Unfit","why":""}')),
        (FromRelay, Lost(3, "gone")),
        (FromRelay, RelayGone("ended")),
        (JoinAnswer, JOINED),
        (PhotoAnswer, Returned({"any": ["thing"]})),
        (PhotoAnswer, Raised(Fault("other", None, "what", "fix", "a\nb"))),
        (PhotoAnswer, Broke("timeout", "too long")),
        (PhotoAnswer, Unfit("share away")),
    ],
)
def test_what_comes_from_a_node_is_read_by_rules_of_its_own(kind: Any, record: Any) -> None:
    assert from_json(kind, loads(dumps(record), trusted=False)) == record


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (FromRelay, {"is": "Offer", "terms": ""}),
        (FromRelay, {"is": "Lost", "call": -1, "why": ""}),
        (FromRelay, {"is": "Lost", "call": 1, "why": "two\nlines"}),
        (FromRelay, {"is": "Lost", "call": 1, "why": "x" * 601}),
        (
            JoinAnswer,
            {"is": "Joined", "slots": 9999, "large": 0, "models": {}, "unconfined": "", "expires": 0.0},
        ),
        (PhotoAnswer, {"is": "Broke", "cause": "killed", "detail": ""}),
        (PhotoAnswer, {"is": "Finished"}),
        (PhotoAnswer, []),
    ],
)
def test_anything_else_is_refused(kind: Any, said: Any) -> None:
    with pytest.raises(SchemaError):
        from_json(kind, said)


# Paths are bytes, for a name may be no text; what holds them is named here, so that nothing else does.
PATHS = {"Shared.path", "Job.path", "Job.outboxes", "Job.temporaries", "Job.root", "Job.mask"}
# The worker's answer, which the head reads as `protocol.Answer`.
READ_LATER = {"Returned.result"}


def holders(wanted: Any, at: str, seen: set[Any]) -> set[str]:
    """Every field, however deep, that can hold bytes, or anything at all."""
    if wanted is Any or (isinstance(wanted, type) and issubclass(wanted, bytes | bytearray | memoryview)):
        return {at}
    if wanted in seen:
        return set()
    kinds: dict[str, Any] = {str(n): kind for n, kind in enumerate(typing.get_args(wanted))}
    if isinstance(wanted, type) and issubclass(wanted, Struct | BaseModel):
        seen.add(wanted)
        hints = typing.get_type_hints(wanted, include_extras=False)
        names = wanted.model_fields if issubclass(wanted, BaseModel) else wanted.__struct_fields__
        return set[str]().union(*(holders(hints[name], f"{wanted.__name__}.{name}", seen) for name in names))
    return set[str]().union(*(holders(kind, at, seen) for kind in kinds.values()))


def test_no_record_between_head_and_nodes_can_hold_a_photo() -> None:
    everything = (ToRelay, FromRelay, Terms, NodeJob, JoinAnswer, PhotoAnswer)
    assert holders(typing.Union[everything], "", set()) == PATHS | READ_LATER  # noqa: UP007 - made of a list
    assert holders(protocol.Answer, "", set()) == set()
