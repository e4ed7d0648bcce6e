from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cutoutd.config.errors import Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.daemon.fleet.answers import event_of, is_shared
from cutoutd.daemon.fleet.records import Broke, Raised, Returned, Shared, Terms, Unfit
from cutoutd.daemon.workers import pool, protocol
from cutoutd.daemon.workers.codec import SchemaError
from cutoutd.daemon.workers.engines import Engines
from cutoutd.daemon.workers.ipc import Fault
from cutoutd.daemon.workers.process import WorkerFaultError

JOB = protocol.Job(
    7, b"/in/a.jpg", "a.jpg", "cutout-s", (), (b"/out",), (b"/out/.x",), Matte(), Limits(), 10.0
)
TERMS = Terms(
    "life", "1", Engines((), "auto", 1, None), "", (Shared(b"/in", 1, False), Shared(b"/out", 2, True)), 1, 0, 1, True
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "event", "why"),
    [
        (Returned({"is": "Changed"}), pool.Finished(7, protocol.Changed()), ""),
        (Broke("timeout", "long"), pool.Died(7, "timeout", "long", sound=True), ""),
        (Unfit(""), pool.Died(7, "killed", ""), ""),
        (Unfit("no share"), pool.Died(7, "killed", "no share"), "cannot work (no share)"),
        (
            Raised(Fault("memory", None, "much", "", "")),
            pool.Died(7, "out-of-memory", "much", sound=True),
            "",
        ),
    ],
)
def test_an_answer_is_the_event_of_a_slot(answer: Any, event: Any, why: str) -> None:
    assert event_of(7, JOB, answer) == (event, why)


def test_a_fault_keeps_its_words() -> None:
    event, why = event_of(7, JOB, Raised(Fault("other", None, "IndexError", "", "traceback")))
    assert isinstance(event, pool.Failed)
    assert isinstance(event.error, WorkerFaultError)
    assert (event.error.remote, event.sound, why) == ("traceback", True, "")
    event, _ = event_of(7, JOB, Raised(Fault("photo", Reason.BUSY, "held", "", "")))
    assert isinstance(event, pool.Failed)


@pytest.mark.parametrize(
    "lie", [None, [], {"is": "Known", "digest": "00" * 32}, {"is": "NotTaken", "number": 1}]
)
def test_what_does_not_fit_is_refused(lie: Any) -> None:
    with pytest.raises(SchemaError):
        event_of(7, JOB, Returned(lie))


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({}, True),
        ({"path": b"/in"}, True),
        ({"path": b"/trash/a.jpg"}, False),
        ({"path": b"/inner/a.jpg"}, False),
        ({"mask": b"/state/masks/1"}, False),
        ({"mask": b"/in/mask.png"}, True),
        ({"outboxes": (b"/in",)}, False),
        ({"outboxes": (b"/out", b"/elsewhere")}, False),
    ],
)
def test_what_no_node_sees_stays_on_the_head(change: dict[str, Any], shared: bool) -> None:
    assert is_shared(replace(JOB, **change), TERMS) is shared
