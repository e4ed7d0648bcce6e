"""A warmed-up worker's engines, here in this process, and one photo to be cut out with them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.models import tiny_spec
from tests.support.photos import encoded

from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.workers import engines as loaded
from cutoutd.daemon.workers.engines import Engines
from cutoutd.daemon.workers.protocol import Job


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    spec = tiny_spec(tmp_path_factory.mktemp("network") / "tiny.onnx", 64)
    made = Engines((spec,), ("cpu",), threads=1, cache_dir=None)
    facts = loaded.warm_up(made)
    assert facts["tiny"].provider == "cpu"
    yield made
    loaded._loaded.clear()
    loaded._engines = None


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
        deliverables=(Deliverable(),),
        outboxes=(outbox,),
        temporaries=(outbox + b"/.one.part",),
        matte=Matte(no_subject="pass"),
        limits=Limits(),
        allowance_mp=100.0,
    )
