"""What holds for all unit tests: each leaves the process as it found it, and some may be tried again."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Threads, processes and inotify, which a busy machine may keep waiting too long.
WAITING = (HERE / "daemon", HERE / "service")
# Tables there, which wait for nothing: what fails there has failed.
TABLES = (HERE / "daemon/files", HERE / "daemon/ledger", HERE / "daemon/sandbox", HERE / "service/managers")

# A file with this line has slow tests only.
ALL_SLOW = "\npytestmark = pytest.mark.slow\n"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Imports no file for `make fast` whose tests are all slow: some of them load Dask."""
    if "not slow" not in str(config.getoption("markexpr")) or collection_path.suffix != ".py":
        return None
    return ALL_SLOW in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets tests that wait be tried again, at most twice; the report says so."""
    for item in items:
        if item.path.is_relative_to(HERE) and _waits(item.path):
            item.add_marker(pytest.mark.flaky(reruns=2))


@functools.cache
def _waits(path: Path) -> bool:
    return any(map(path.is_relative_to, WAITING)) and not any(map(path.is_relative_to, TABLES))


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Commands that are run within this process make what they write private, for good."""
    before = os.umask(0o022)
    yield
    os.umask(before)
