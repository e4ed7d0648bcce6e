"""Every end-to-end test gets daemons that are certain to be gone when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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
