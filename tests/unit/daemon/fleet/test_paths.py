from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.fleet import SharedFolder
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.fleet.paths import NotSharedError, PathMap
from cutoutd.daemon.workers.protocol import Job

MAP = PathMap.of(
    [
        SharedFolder(head="/srv/in", here=Path("/mnt/in")),
        SharedFolder(head="/srv/out/", here=Path("/mnt/out"), write=True),
        SharedFolder(head="/srv/in/deep", here=Path("/other")),
    ]
)


@pytest.mark.parametrize(
    ("head", "here"),
    [
        (b"/srv/in", b"/mnt/in"),
        (b"/srv/in/a/b.jpg", b"/mnt/in/a/b.jpg"),
        (b"/srv/out/x.part", b"/mnt/out/x.part"),
        (b"/srv/in/deep/c.jpg", b"/other/c.jpg"),
        (b"/srv/in/\xff.jpg", b"/mnt/in/\xff.jpg"),
    ],
)
def test_a_path_is_found_below_the_longest_folder(head: bytes, here: bytes) -> None:
    assert MAP.here(head) == here


@pytest.mark.parametrize(
    "path", [b"/srv", b"/srv/inner/a.jpg", b"/etc/passwd", b"/srv/in/../../etc/passwd", b""]
)
def test_nothing_else_is_reached(path: bytes) -> None:
    with pytest.raises(NotSharedError):
        MAP.here(path)


def job(outbox: bytes = b"/srv/out", background: str = "transparent") -> Job:
    return Job(
        photo=1,
        path=b"/srv/in/a.jpg",
        name="a.jpg",
        model="cutout-s",
        deliverables=(Deliverable(background=background),),
        outboxes=(outbox,),
        temporaries=(outbox + b"/sub/.x.part",),
        matte=Matte(),
        limits=Limits(),
        allowance_mp=10,
        outbox_inode=(1, 2),
        root=b"/srv/in",
    )


def test_a_whole_job_is_moved() -> None:
    moved = MAP.job(job(background="/srv/in/wall.jpg"), (7, 8))
    assert (moved.path, moved.root) == (b"/mnt/in/a.jpg", b"/mnt/in")
    assert (moved.outboxes, moved.temporaries) == ((b"/mnt/out",), (b"/mnt/out/sub/.x.part",))
    assert moved.outbox_inode == (7, 8)
    assert moved.deliverables[0].background_path == Path("/mnt/in/wall.jpg")
    assert MAP.job(job(), None).deliverables[0].background == "transparent"


def test_a_node_writes_only_where_its_file_says_so() -> None:
    with pytest.raises(NotSharedError):
        MAP.job(job(outbox=b"/srv/in"), None)
