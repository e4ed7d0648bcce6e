"""Every end-to-end test gets daemons that are certain to be gone when it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.daemon_process import Daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons below the test's own folder; call it with `config=` and `tables=`."""
    made: list[Daemon] = []

    def make(name: str = "d", **options: object) -> Daemon:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        made.append(Daemon(root, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.kill()


class Corner(Daemon):
    """A folder of its own in the inbox and the outbox of a daemon that other tests use as well.

    For what needs no settings, no empty ledger and no end of the daemon: each start costs two seconds of a core.
    """

    def __init__(self, whole: Daemon, name: str) -> None:
        super().__init__(whole.root, process=whole.process, starts=whole.starts)
        self._name = name
        self.inbox.mkdir()

    @property
    def inbox(self) -> Path:
        return super().inbox / self._name

    @property
    def outbox(self) -> Path:
        return super().outbox / self._name

    def rows(self, where: str = "1=1") -> list[dict[str, Any]]:
        """The rows of its own photos, with their paths in it."""
        before = os.fsencode(self._name) + b"/"
        found = [row for row in super().rows(where) if (row["path"] or b"").startswith(before)]
        return [{**row, "path": row["path"].removeprefix(before)} for row in found]


@pytest.fixture(scope="session")
def _shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    one = Daemon(tmp_path_factory.mktemp("shared-daemon"), config='quality = "fast"').start()
    yield one
    assert one.stop() == 0


@pytest.fixture
def corner(_shared_daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Such a folder, with a daemon that was running before and runs on."""
    # Another for each rerun.
    one = Corner(_shared_daemon, f"{request.node.originalname} {time.monotonic_ns()}")
    yield one
    assert _shared_daemon.process is not None
    assert _shared_daemon.process.poll() is None
    one.wait(lambda: one.leftovers() == [], "what was set aside to be gone")
