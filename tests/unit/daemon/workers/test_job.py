"""One photo in a worker, here in this process: read once, temporaries whole and digested, every trouble an answer."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.models import tiny_spec
from tests.support.photos import encoded

from cutoutd.config.errors import PhotoChangedError, Reason
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Limits, Matte
from cutoutd.daemon.files.digest import digest_of
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers.codec import SchemaError, from_json, to_json
from cutoutd.daemon.workers.job import (
    Changed,
    Engines,
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


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    spec = tiny_spec(tmp_path_factory.mktemp("network") / "tiny.onnx", 64)
    made = Engines((spec,), ("cpu",), threads=1, cache_dir=None)
    facts = jobs.warm_up(made)
    assert facts["tiny"].provider == "cpu"
    yield made
    jobs._loaded.clear()
    jobs._engines = None


@pytest.fixture
def order(engines: Engines, tmp_path: Path) -> Job:
    photo = tmp_path / "in" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(encoded("astronaut", size=(300, 200)))
    (tmp_path / "out").mkdir()
    outbox = os.fsencode(tmp_path / "out")
    return Job(
        photo=1,
        path=os.fsencode(photo),
        name="a.jpg",
        model="tiny",
        orders=(Deliverable(),),
        outboxes=(outbox,),
        temporaries=(outbox + b"/.one.part",),
        matte=Matte(no_subject="pass"),
        limits=Limits(),
        allowance_mp=100.0,
    )


def answer_to(job: Job) -> jobs.Result:
    """The worker's answer as the supervisor reads it: names are its own, from the job."""
    return jobs.read_result(job, jobs.run_job(job))


def test_the_temporary_is_the_whole_cutout_and_its_digest_is_true(order: Job) -> None:
    result = answer_to(replace(order, manifest=True))
    assert isinstance(result, Finished)
    (draft,) = result.drafts
    data = Path(os.fsdecode(draft.temporary)).read_bytes()
    assert (len(data), digest_of(data)) == (draft.out_size, draft.out_digest)
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


@pytest.mark.parametrize(
    "lie",
    [
        {"confidence": 1.5},
        {"confidence": -0.1},
        {"confidence": "0.5"},
        {"confidence": True},
        {"confidence": None, "doubts": ["touches the frame"]},
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
    report = jobs.run_job(order)
    assert isinstance(report, jobs.Report)
    answer: dict[str, Any] = {**to_json(replace(report, confidence=0.5)), **lie}
    with pytest.raises(SchemaError, match=r"confidence|doubts"):
        jobs.read_result(order, from_json(jobs.Answer, answer))


def test_one_decode_for_several_deliverables(order: Job) -> None:
    outbox = order.outboxes[0]
    white = Deliverable.model_validate(
        {"label": "white", "format": "jpeg", "background": "white", "max_size": 90}
    )
    result = answer_to(
        replace(
            order,
            orders=(Deliverable(), white),
            outboxes=(outbox, outbox),
            temporaries=(outbox + b"/.one.part", outbox + b"/sub/.two.part"),
        )
    )
    assert isinstance(result, Finished)
    assert [(one.label, one.extension) for one in result.drafts] == [("cutout", ".png"), ("white", ".jpg")]
    assert max(result.drafts[1].width, result.drafts[1].height) == 90
    assert os.path.exists(outbox + b"/sub/.two.part")


def test_a_known_content_is_no_work(order: Job) -> None:
    digest = digest_of(Path(os.fsdecode(order.path)).read_bytes())
    assert answer_to(replace(order, known={digest: 42})) == Unchanged(digest, 42)
    assert not os.path.exists(order.temporaries[0])


def test_a_photo_over_its_allowance_is_not_decoded(order: Job) -> None:
    assert answer_to(replace(order, allowance_mp=0.01)) == OverBudget(0.06)
    assert not os.path.exists(order.temporaries[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.UNREADABLE),
        (b"no photo at all", Reason.UNREADABLE),
        (encoded()[:3000], Reason.UNREADABLE),
    ],
    ids=["empty", "text", "cut off"],
)
def test_what_is_no_whole_photo_has_a_name(order: Job, content: bytes, reason: Reason) -> None:
    Path(os.fsdecode(order.path)).write_bytes(content)
    result = answer_to(order)
    assert isinstance(result, Refused)
    assert result.reason is reason
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
    assert jobs.is_trouble_of_the_outbox(result.code)
    assert not os.path.exists(order.outboxes[0])  # never made: it may be an unmounted share


def test_another_folder_in_the_outboxs_place_is_not_written_to(order: Job, tmp_path: Path) -> None:
    facts = os.stat(order.outboxes[0])
    other = replace(order, outbox_inode=(facts.st_dev, facts.st_ino + 1))
    assert isinstance(answer_to(other), OutboxRefused)
    assert os.listdir(tmp_path / "out") == []
    assert isinstance(answer_to(replace(order, outbox_inode=(facts.st_dev, facts.st_ino))), Finished)


def test_the_built_in_photo_passes_and_leaves_nothing(engines: Engines, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert jobs.run_self_test(engines)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("code", "outbox"), [(errno.ENOSPC, True), (errno.EROFS, True), (errno.EINVAL, False)]
)
def test_which_errors_are_the_folders(code: int, outbox: bool) -> None:
    assert jobs.is_trouble_of_the_outbox(code) is outbox
