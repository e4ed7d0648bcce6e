"""How the supervisor reads a worker's answer: in the job's own names, or not at all."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from msgspec.structs import replace

from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.codec import SchemaError, from_json, to_json
from cutoutd.daemon.workers.job import run_job
from cutoutd.daemon.workers.protocol import (
    Changed,
    Finished,
    Job,
    Known,
    NotTaken,
    OutboxRefused,
    OverBudget,
    Report,
    Unchanged,
    read_result,
)


def report_of(job: Job) -> Report:
    report = run_job(job)
    assert isinstance(report, Report)
    return report


def test_names_and_folders_come_from_the_job(order: Job) -> None:
    result = read_result(order, report_of(order))
    assert isinstance(result, Finished)
    assert [(one.label, one.temporary, one.extension) for one in result.files] == [
        ("cutout", order.temporaries[0], ".png")
    ]


@pytest.mark.parametrize(
    "lie",
    [
        {"written": ()},
        {"doubts": (protocol.Doubt.FRAME,) * 2, "confidence": 0.5},
    ],
    ids=["a deliverable is missing", "a doubt twice"],
)
def test_a_report_that_does_not_fit_its_job_is_not_believed(order: Job, lie: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        read_result(order, replace(report_of(order), **lie))


def test_a_digest_comes_exactly_where_it_was_asked_for(order: Job) -> None:
    report = report_of(order)
    with pytest.raises(SchemaError, match="another digest"):
        read_result(replace(order, manifest=True), report)


def test_known_content_and_budget_are_held_against_the_job(order: Job) -> None:
    digest = "ab" * 32
    assert read_result(replace(order, known={digest: 7}), Known(digest)) == Unchanged(digest, 7)
    with pytest.raises(SchemaError, match="not one that was called known"):
        read_result(order, Known(digest))
    assert read_result(order, OverBudget(order.allowance_mp + 1)) == OverBudget(order.allowance_mp + 1)
    with pytest.raises(SchemaError, match="within the allowance"):
        read_result(order, OverBudget(order.allowance_mp))


def test_which_outbox_refused_is_told_by_number(order: Job) -> None:
    refused = read_result(order, NotTaken(0, errno.ENOSPC, "full"))
    assert refused == OutboxRefused(order.outboxes[0], errno.ENOSPC, "full")
    with pytest.raises(SchemaError, match="no such deliverable"):
        read_result(order, NotTaken(1, errno.ENOSPC, "full"))
    assert read_result(order, Changed()) == Changed()


@pytest.mark.parametrize(
    "lie",
    [
        {"confidence": 1.5},
        {"confidence": -0.1},
        {"confidence": "0.5"},
        {"confidence": True},
        {"doubts": ["touches the frame", "touches the frame"]},
        {"doubts": ["touches the frame"] * 50},
        {"doubts": ["\x1b[2Jgone"]},
        {"doubts": "touches the frame"},
        {"doubts": [None]},
    ],
    ids=str,
)
def test_of_doubt_only_a_number_in_its_range_and_our_own_words_are_taken(
    order: Job, lie: dict[str, Any]
) -> None:
    report = report_of(order)
    answer: dict[str, Any] = {**to_json(replace(report, confidence=0.5)), **lie}
    with pytest.raises(SchemaError, match=r"confidence|doubts"):
        protocol.read_result(order, from_json(protocol.Answer, answer))
