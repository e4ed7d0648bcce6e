"""What may come out of a message: only what the reader's annotations name, within their rules."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers import engines, protocol
from cutoutd.daemon.workers.codec import SchemaError, dumps, from_json, loads, to_json
from cutoutd.daemon.workers.message_rules import Hex, Most, Range, Text
from cutoutd.models.networks.catalog import BUNDLED, find_model
from cutoutd.models.networks.doubt import Doubt


class Inner(Struct, frozen=True):
    word: Literal["one", "two"]
    share: Annotated[float, Range(0, 1)]


class Other(Struct, frozen=True):
    name: Annotated[str, Text(10)]


class Outer(Struct, frozen=True):
    count: Annotated[int, Range(0, 2**63 - 1)]
    digest: Annotated[str, Hex(64)]
    inner: Inner
    parts: Annotated[tuple[Inner, ...], Most(3)]
    reason: Reason | None
    choice: Inner | Other


HONEST = Outer(2**63 - 1, "ab" * 32, Inner("one", 0.5), (Inner("two", 1.0),), Reason.BUSY, Other("x"))


def hostile(**changes: Any) -> Any:
    """The honest message with some fields changed, through real JSON."""
    plain = to_json(HONEST)
    for place, value in changes.items():
        at, *rest = place.split("__")
        target = plain if not rest else plain[at]
        target[rest[0] if rest else at] = value
    return loads(json.dumps(plain).encode(), trusted=False)


def test_an_honest_record_comes_back_the_same() -> None:
    assert from_json(Outer, loads(dumps(HONEST), trusted=False)) == HONEST


@pytest.mark.parametrize(
    "changes",
    [
        {"count": -1},
        {"count": 2**63},
        {"count": 10**4000},
        {"count": True},
        {"count": 1.0},
        {"count": "1"},
        {"count": None},
        {"digest": "AB" * 32},
        {"digest": "ab" * 31},
        {"digest": "zz" * 32},
        {"digest": "../" + "a" * 61},
        {"digest": ""},
        {"inner": None},
        {"inner": []},
        {"inner__word": "three"},
        {"inner__share": 1.5},
        {"inner__share": 10**400},
        {"inner__is": "Other"},
        {"inner__more": 1},
        {"parts": [to_json(Inner("one", 0.0))] * 4},
        {"parts": {}},
        {"parts": "one"},
        {"reason": "no reason"},
        {"reason": 5},
        {"choice": {"is": "Outer"}},
        {"choice__name": "\udc80"},
        {"choice__name": "\x1b[2J"},
        {"choice__name": "a\u202eb"},
        {"choice__name": "a\nb"},
        {"choice__name": "x" * 11},
        {"more": 1},
        {"is": "Inner"},
    ],
    ids=str,
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        from_json(Outer, hostile(**changes))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"\xff",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        "é".encode(),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_message_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(SchemaError):
        loads(body, trusted=False)


def test_a_number_that_only_overflows_as_a_float_is_refused() -> None:
    with pytest.raises(SchemaError):
        from_json(Annotated[float, Range(0, 1)], loads(b"1e999", trusted=False))


@pytest.mark.parametrize(
    "wanted", [int, float, str, bytes, Path, Any, Matte, list[bool], dict[str, bool]], ids=str
)
def test_nothing_without_a_rule_is_taken_from_a_worker(wanted: Any) -> None:
    values: tuple[Any, ...] = (1, 1.0, "a", "00", [True], {"a": True}, {"set": [], "fields": {}})
    for value in values:
        with pytest.raises(SchemaError):
            from_json(wanted, value)


def test_everything_a_worker_may_answer_has_its_rules() -> None:
    """A field that somebody adds without a rule would be found here, not in the field."""
    written = protocol.Written("00" * 24, 1, 1, 1, "")
    answers: list[protocol.Answer] = [
        protocol.Report("00" * 32, 1, -1, 2**64 - 1, 1, 1, 0.5, (written,), {"read": 0.1}, ("A note.",)),
        protocol.Report(
            "00" * 32, 1, -1, 1, 1, 1, 0.5, (written,), {}, (), 0.61, (Doubt.FRAME, Doubt.INSIDE)
        ),
        protocol.Known("00" * 32),
        protocol.OverBudget(1.0),
        protocol.Changed(),
        protocol.Refused(Reason.UNREADABLE, "The file ends early."),
        protocol.NotTaken(0, 28, "No space"),
    ]
    for answer in answers:
        assert from_json(protocol.Answer, loads(dumps(answer), trusted=False)) == answer


def test_a_job_travels_whole_with_names_that_are_no_text(tmp_path: Path) -> None:
    job = protocol.Job(
        photo=7,
        path=b"/in/\xff\xfe.jpg",
        name="\\xff.jpg",
        model="m",
        deliverables=(Deliverable(), Deliverable(label="b", format="webp", margin="10%")),
        outboxes=(b"/out\xff",) * 2,
        temporaries=(b"/out\xff/.a.part", b"/out\xff/.b.part"),
        matte=Matte(closed_form=True),
        limits=Limits(),
        allowance_mp=float("inf"),
        known={"00" * 32: 5},
        outbox_inode=(1, 2),
    )
    back = from_json(protocol.Job, loads(dumps(job), trusted=True), trusted=True)
    assert back == job
    assert [order.model_fields_set for order in back.deliverables] == [
        order.model_fields_set for order in job.deliverables
    ]
    odd = Path(os.fsdecode(b"/models/\xff"))
    made = engines.Engines((find_model(BUNDLED[0], tmp_path),), "auto", 2, odd)
    assert from_json(engines.Engines, loads(dumps(made), trusted=True), trusted=True) == made
