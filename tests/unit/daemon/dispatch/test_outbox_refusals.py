"""An outbox that does not take a cutout: what is at fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.simulation import Simulation, cutout_of
from tests.unit.daemon.dispatch.dishonest_workers import always, wait_for_a_failure

from cutoutd.config.errors import Reason
from cutoutd.daemon.delivery.outboxes import Outboxes
from cutoutd.daemon.dispatch import outbox_refusals
from cutoutd.daemon.dispatch.claims import MOST_CLAIMS
from cutoutd.daemon.dispatch.outbox_refusals import on_another_disk
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.workers import protocol

pytestmark = pytest.mark.slow

Make = Callable[..., Simulation]
ONE, TWO = b"frame one", b"frame two!"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ESTALE])
def test_an_outbox_that_only_a_worker_sees_full_ends_the_photo_and_not_its_inbox(
    sim: Make, code: int
) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    renewed: list[object] = []
    vars(one.workers)["recycle"] = renewed.append
    always(one, "evil.jpg", lambda: protocol.OutboxRefused(bytes(one.outbox), code, os.strerror(code)))
    wait_for_a_failure(one)
    one.finish()
    assert one.states() == {"evil.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.CRASHED]
    assert "its outbox was full or broken, and it was not so" in one.rows()[0]["detail"]
    assert renewed  # whoever said it has ended
    assert (one.inbox / "evil.jpg").exists()


def test_an_outbox_that_is_a_file_is_called_so_in_whole_sentences(sim: Make) -> None:
    one = sim()
    one.boot()
    one.run(1)
    one.outbox.rmdir()
    one.outbox.touch()
    one.put("a.jpg", ONE)
    one.until(lambda: any(text.startswith("Photos of") for text in one.heard.warnings))
    said = next(text for text in one.heard.warnings if text.startswith("Photos of"))
    assert f"{one.outbox} is not a folder." in said
    assert ".." not in said


def test_an_outbox_that_is_nearly_full_is_believed_to_be_full_however_often_it_is_said(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.boot()

    def nearly_full(_self: RealFileSystem, _path: bytes) -> int:
        return 50_000_000

    monkeypatch.setattr(RealFileSystem, "free_bytes", nearly_full)
    said: list[int] = []

    def full() -> protocol.Result:
        said.append(1)
        return protocol.OutboxRefused(bytes(one.outbox), errno.ENOSPC, "No space left on device")

    always(one, "a.jpg", full)
    for _ in range(2000):
        one.turn()
        if len(said) > 2 * MOST_CLAIMS:
            break
        one.pass_time(4.0)
    assert len(said) > 2 * MOST_CLAIMS
    one.run(8)
    assert one.states() == {"a.jpg": "pending"}
    del vars(one.workers)["work"]
    one.pass_time(400)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE)}
    assert one.heard.failures == []


def test_workers_bound_to_what_lay_beneath_a_mount_are_replaced_before_a_photo_is_blamed(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot()
    honest, recycle = one.workers.work, one.workers.recycle
    bound_beneath = [True]

    def work(job: protocol.Job) -> protocol.Result:
        if bound_beneath[0]:
            return protocol.OutboxRefused(bytes(one.outbox), errno.EACCES, os.strerror(errno.EACCES))
        return honest(job)

    def renewed(setups: Sequence[object]) -> None:
        bound_beneath[0] = False
        recycle(setups)

    vars(one.workers).update(work=work, recycle=renewed)
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(ONE), "b.png": cutout_of(TWO)}
    assert one.heard.failures == []


def test_what_new_workers_are_refused_too_is_that_photos_failure(sim: Make) -> None:
    one = sim()
    one.put("evil.jpg", ONE)
    one.put("good.jpg", TWO)
    one.boot()
    refused = protocol.OutboxRefused(bytes(one.outbox), errno.EACCES, os.strerror(errno.EACCES))
    always(one, "evil.jpg", lambda: refused)
    wait_for_a_failure(one)
    one.finish()
    assert one.states() == {"evil.jpg": "failed", "good.jpg": "done"}
    assert one.heard.failures == [Reason.CANNOT_RENDER]
    assert "though only for its worker" in one.rows()[0]["detail"]
    assert (one.inbox / "evil.jpg").exists()


def test_a_limit_on_the_size_of_files_is_that_photos_failure_and_not_the_outboxs(sim: Make) -> None:
    one = sim()
    one.put("large.jpg", ONE)
    one.put("small.jpg", TWO)
    one.boot()
    said = "The outbox cannot take a cutout (File too large)"
    always(one, "large.jpg", lambda: protocol.OutboxRefused(bytes(one.outbox), errno.EFBIG, said))
    wait_for_a_failure(one)
    one.finish()
    assert one.states() == {"large.jpg": "failed", "small.jpg": "done"}
    assert one.heard.failures == [Reason.CANNOT_RENDER]
    assert "ulimit -f" in one.rows()[0]["detail"]


def test_a_folder_of_the_outbox_that_is_a_full_disk_makes_its_photos_wait(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They failed, as if the outbox took all but them."""
    one = sim()
    (one.outbox / "sub").mkdir(parents=True)
    one.put("sub/a.jpg", ONE)
    one.put("b.jpg", TWO)
    one.boot()
    full = [True]

    def free(_self: RealFileSystem, path: bytes) -> int:
        return 0 if full and path.endswith(b"/sub") else 10**12

    async def full_too(_self: Outboxes, _outbox: object, inside: Sequence[bytes]) -> str:
        return "No space left on device" if full and any(one.endswith(b"/sub") for one in inside) else ""

    monkeypatch.setattr(RealFileSystem, "free_bytes", free)
    monkeypatch.setattr(Outboxes, "refusal", full_too)
    work = one.workers.work

    def refused(job: protocol.Job) -> protocol.Result:
        if full and b"/sub/" in job.temporaries[0]:
            said.append(1)
            return protocol.OutboxRefused(bytes(one.outbox), errno.ENOSPC, "No space left on device")
        return work(job)

    said: list[int] = []
    vars(one.workers)["work"] = refused
    for _ in range(2000):  # so often that a claim that nobody sees would have ended it; the pauses double
        if len(said) <= MOST_CLAIMS:
            one.turn()
    assert len(said) > MOST_CLAIMS
    assert one.states() == {"sub/a.jpg": "pending", "b.jpg": "done"}
    full.clear()
    one.finish(2000)
    assert one.states() == {"sub/a.jpg": "done", "b.jpg": "done"}
    assert one.heard.failures == []


def test_photos_that_go_elsewhere_do_not_wait_for_a_folder_that_is_a_full_disk(
    sim: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They shared its pauses, which grow; who looks at the status is told which folder is full."""
    one = sim()
    for number in range(20):
        one.put(f"sub/{number}.jpg", ONE + b"%d" % number)
    one.boot()
    full = [True]

    def below(outbox: bytes, inside: Sequence[bytes]) -> bytes:
        return next((one for one in inside if one != outbox), b"")

    def free(_self: RealFileSystem, path: bytes) -> int:
        return 0 if path.endswith(b"/sub") else 10**12

    monkeypatch.setattr(outbox_refusals, "on_another_disk", below)
    monkeypatch.setattr(RealFileSystem, "free_bytes", free)
    work = one.workers.work

    def refused(job: protocol.Job) -> protocol.Result:
        if full and b"/sub/" in job.temporaries[0]:
            return protocol.OutboxRefused(bytes(one.outbox), errno.ENOSPC, "No space left on device")
        return work(job)

    vars(one.workers)["work"] = refused
    one.put("b.jpg", TWO)
    for _ in range(200):
        one.turn()
        assert one.parts.dispatcher.paused == {}
    assert one.outputs() == {"b.png": cutout_of(TWO)}
    (inbox,) = one.daemon.status().inboxes
    assert "/sub, a disk of its own, wait: No space left on device" in inbox.trouble
    assert len([text for text in one.heard.warnings if "a disk of its own" in text]) == 1
    full.clear()
    one.finish(2000)
    assert set(one.states().values()) == {"done"}
    (inbox,) = one.daemon.status().inboxes
    assert inbox.trouble == ""


def test_a_folder_on_another_disk_is_known_by_what_is_there(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    assert on_another_disk(root, [root, root + b"/not/there", root + b"/too"]) == b""
    assert on_another_disk(b"/", [b"/", b"/proc/not/there"]) == b"/proc"
    assert on_another_disk(root + b"/gone", [root]) == b""
