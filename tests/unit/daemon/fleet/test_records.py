from __future__ import annotations

from typing import Any

import pytest

from cutoutd.daemon.fleet.records import (
    Answered,
    Broke,
    FromRelay,
    JoinAnswer,
    Joined,
    Lost,
    NodeFacts,
    Nodes,
    NodeState,
    PhotoAnswer,
    Raised,
    RelayGone,
    Returned,
    Unfit,
)
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
