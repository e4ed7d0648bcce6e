"""A worker reads a photo of its inbox and nothing else, and waits for no pipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cutoutd.config.errors import Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers.job import run_job
from cutoutd.daemon.workers.protocol import Job, Refused

Act = Callable[[Path, Path], object]

SWAPS: dict[str, Act] = {
    "its folder for a link": lambda inbox, outside: (
        shutil.move(inbox / "sub", inbox / "away"),
        (inbox / "sub").symlink_to(outside),
    ),
    "the photo for a link": lambda inbox, outside: (
        (inbox / "sub" / "a.jpg").unlink(),
        (inbox / "sub" / "a.jpg").symlink_to(outside / "a.jpg"),
    ),
    "the photo for a pipe": lambda inbox, _outside: (
        (inbox / "sub" / "a.jpg").unlink(),
        os.mkfifo(inbox / "sub" / "a.jpg"),
    ),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_what_was_swapped_in_is_refused_by_name(swap: str, tmp_path: Path) -> None:
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    for folder in (inbox / "sub", outside):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"secret")
    SWAPS[swap](inbox, outside)
    job = Job(
        photo=1, path=os.fsencode(inbox / "sub" / "a.jpg"), root=os.fsencode(inbox), name="a.jpg", model="m",
        deliverables=(Deliverable(),), outboxes=(b"/out",), temporaries=(b"/out/t",), matte=Matte(), limits=Limits(),
        allowance_mp=100.0,
    )  # fmt: skip
    result = run_job(job)
    assert isinstance(result, Refused)
    assert result.reason is Reason.NOT_A_REGULAR_FILE
