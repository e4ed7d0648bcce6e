"""One photo in a worker, here in this process: read once, temporaries whole and digested, every trouble an answer."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image
from tests.support.digests import cutout_digest_of, digest_of
from tests.support.photos import encoded

from cutoutd.config.errors import PhotoChangedError, Reason
from cutoutd.config.output import Deliverable
from cutoutd.daemon.delivery.outcomes import is_trouble_of_the_outbox
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.protocol import (
    Changed,
    Finished,
    Job,
    OutboxRefused,
    OverBudget,
    Refused,
    Unchanged,
)
from cutoutd.models import cutout as cutout_module
from cutoutd.models.cutout import Cutout
from cutoutd.models.networks.confidence import Confidence
from cutoutd.models.networks.doubt import Doubt


def answer_to(job: Job) -> protocol.Result:
    """The worker's answer as the supervisor reads it: names are its own, from the job."""
    return protocol.read_result(job, jobs.run_job(job))


def test_the_temporary_is_the_whole_cutout_and_its_digest_is_true(order: Job) -> None:
    result = answer_to(replace(order, manifest=True))
    assert isinstance(result, Finished)
    (draft,) = result.files
    data = Path(os.fsdecode(draft.temporary)).read_bytes()
    assert (len(data), cutout_digest_of(data)) == (draft.out_size, draft.out_digest)
    assert draft.sha256 == hashlib.sha256(data).hexdigest()
    assert (draft.width, draft.height, draft.extension) == (300, 200, ".png")
    source = Path(os.fsdecode(order.path))
    assert (result.size, result.digest) == (source.stat().st_size, digest_of(source.read_bytes()))
    assert result.inode == source.stat().st_ino
    with Image.open(os.fsdecode(draft.temporary)) as image:
        assert (image.mode, image.size) == ("RGBA", (300, 200))
    assert {"read", "write"} <= set(result.timings)


def test_the_doubt_of_the_network_comes_back_with_the_cutout(
    order: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = cutout_module.cut_out

    def doubting(*args: Any, **options: Any) -> Cutout:
        return replace(
            real(*args, **options), confidence=Confidence(0.61, review=True, reasons=(Doubt.FRAME,))
        )

    assert answered(order).confidence is None, "another network than ours says nothing"
    monkeypatch.setattr(cutout_module, "cut_out", doubting)
    result = answered(order)
    assert (result.confidence, result.doubts) == (0.61, (Doubt.FRAME,))


def answered(job: Job) -> Finished:
    result = answer_to(job)
    assert isinstance(result, Finished)
    return result


def test_one_decode_for_several_deliverables(order: Job) -> None:
    outbox = order.outboxes[0]
    white = Deliverable.model_validate(
        {"label": "white", "format": "jpeg", "background": "white", "max_size": 90}
    )
    result = answer_to(
        replace(
            order,
            deliverables=(Deliverable(), white),
            outboxes=(outbox, outbox),
            temporaries=(outbox + b"/.one.part", outbox + b"/sub/.two.part"),
        )
    )
    assert isinstance(result, Finished)
    assert [(one.label, one.extension) for one in result.files] == [("cutout", ".png"), ("white", ".jpg")]
    assert max(result.files[1].width, result.files[1].height) == 90
    assert os.path.exists(outbox + b"/sub/.two.part")


def test_a_known_content_is_no_work(order: Job) -> None:
    digest = digest_of(Path(os.fsdecode(order.path)).read_bytes())
    assert answer_to(replace(order, known={digest: 42})) == Unchanged(digest, 42)
    assert not os.path.exists(order.temporaries[0])


def test_a_photo_over_its_allowance_is_not_decoded(order: Job) -> None:
    assert answer_to(replace(order, allowance_mp=0.01)) == OverBudget(0.06)
    assert not os.path.exists(order.temporaries[0])


@pytest.mark.parametrize(
    "content",
    [lambda: b"", lambda: b"no photo at all", lambda: encoded()[:3000]],
    ids=["empty", "text", "cut off"],
)
def test_what_is_no_whole_photo_has_a_name(order: Job, content: Callable[[], bytes]) -> None:
    Path(os.fsdecode(order.path)).write_bytes(content())
    result = answer_to(order)
    assert isinstance(result, Refused)
    assert result.reason is Reason.UNREADABLE
    assert len(result.detail) > 10


def test_limits_are_said_with_their_setting(order: Job) -> None:
    small = order.limits.model_copy(update={"max_megapixels": 0.01})
    result = answer_to(replace(order, limits=small))
    assert isinstance(result, Refused)
    assert result.reason is Reason.TOO_LARGE
    assert "max_megapixels" in result.detail


def test_a_file_that_changes_under_the_reading_is_read_again(
    order: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: Any, **__: Any) -> None:
        raise PhotoChangedError("it was written to while it was read", order.path)

    monkeypatch.setattr("cutoutd.models.decoding.photo.read_bytes", changed)
    assert answer_to(order) == Changed()
    assert not os.path.exists(order.temporaries[0])


def test_no_memory_is_an_answer(order: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("cutoutd.models.cutout.cut_out", full)
    result = answer_to(order)
    assert isinstance(result, Refused)
    assert result.reason is Reason.OUT_OF_MEMORY
    assert "worker_memory" in result.detail


def test_an_outbox_that_is_gone_is_not_the_photos_fault(order: Job) -> None:
    os.rmdir(order.outboxes[0])
    result = answer_to(order)
    assert isinstance(result, OutboxRefused)
    assert result.outbox == order.outboxes[0]
    assert is_trouble_of_the_outbox(result.code)
    assert not os.path.exists(order.outboxes[0])  # never made: it may be an unmounted share


def test_another_folder_in_the_outboxs_place_is_not_written_to(order: Job, tmp_path: Path) -> None:
    facts = os.stat(order.outboxes[0])
    other = replace(order, outbox_inode=(facts.st_dev, facts.st_ino + 1))
    assert isinstance(answer_to(other), OutboxRefused)
    assert os.listdir(tmp_path / "out") == []
    assert isinstance(answer_to(replace(order, outbox_inode=(facts.st_dev, facts.st_ino))), Finished)
