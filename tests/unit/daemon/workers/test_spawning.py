"""A worker that is started ahead: taken once, replaced where it died, ended where nobody wanted it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon.piped import Piped
from cutoutd.daemon.workers import spawning
from cutoutd.daemon.workers.executor import WorkerExecutor

sys.path.insert(0, str(Path(__file__).parent))
import jobs_for_workers as jobs

pytestmark = pytest.mark.slow


@pytest.fixture
def taken() -> Iterator[list[Piped]]:
    """What a test took, ended afterwards; so is what it left."""
    some: list[Piped] = []
    yield some
    spawning.end_unused()
    for one in some:
        one.process.kill()
        one.process.wait()
        one.close()


def test_one_that_was_started_ahead_is_taken_and_the_next_is_new(
    taken: list[Piped], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Piped] = []
    start = spawning.piped.start

    def counted(name: str, boot: str, *words: str, quiet: bool, also: Mapping[str, str]) -> Piped:
        started.append(start(name, boot, *words, quiet=quiet, also=also))
        return started[-1]

    monkeypatch.setattr(spawning.piped, "start", counted)
    spawning.start_ahead()
    taken.append(spawning.spawned())
    assert taken == started
    taken.append(spawning.spawned())
    assert taken == started
    assert len(started) == 2


@pytest.mark.parametrize("ahead", [True, False])
def test_one_that_was_started_ahead_has_loaded_what_photos_need(ahead: bool) -> None:
    if ahead:
        spawning.start_ahead()
    executor = WorkerExecutor()
    try:
        assert executor.submit(jobs.LOADED, "numpy").result(60).result == int(ahead)
    finally:
        executor.shutdown(wait=False)
        executor.process.kill()
        executor.process.wait()


def test_a_worker_without_a_sandbox_inherits_what_this_process_has_given_up() -> None:
    spawning.start_ahead()
    [ahead] = spawning._ahead  # pyright: ignore[reportPrivateUsage]
    executor = WorkerExecutor(ahead=False)
    try:
        assert executor.process.pid != ahead.process.pid
    finally:
        executor.shutdown(wait=False)
        executor.process.kill()
        executor.process.wait()
        spawning.end_unused()


def test_one_that_died_meanwhile_is_not_handed_out(taken: list[Piped]) -> None:
    spawning.start_ahead()
    [dead] = spawning._ahead  # pyright: ignore[reportPrivateUsage] - it has to be killed before it is taken
    dead.process.kill()
    dead.process.wait()
    taken.append(spawning.spawned())
    assert taken[0].process.pid != dead.process.pid
    assert taken[0].process.poll() is None


def test_what_nobody_wanted_is_ended() -> None:
    spawning.start_ahead()
    [unused] = spawning._ahead  # pyright: ignore[reportPrivateUsage]
    spawning.end_unused()
    assert unused.process.returncode is not None
    spawning.end_unused()


def test_where_none_can_be_started_ahead_the_error_comes_when_one_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_words: object, **_options: object) -> Piped:
        raise OSError("no more processes")

    monkeypatch.setattr(spawning.piped, "start", refused)
    spawning.start_ahead()
    with pytest.raises(OSError, match="no more processes"):
        spawning.spawned()


def test_starting_ahead_loads_next_to_nothing() -> None:
    code = """
import sys
from cutoutd.daemon.workers.spawning import start_ahead
assert not {"click", "rich", "pydantic", "msgspec", "numpy"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_whose_maker_ends_without_a_word_ends_as_well() -> None:
    code = """
import os
from cutoutd.daemon.workers import spawning
spawning.start_ahead()
print(spawning._ahead[0].process.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    state = Path("/proc", done.stdout.strip(), "stat")

    def gone() -> bool:
        """Or dead and not yet waited for."""
        with contextlib.suppress(OSError):
            return state.read_text().rpartition(")")[2].split()[0] == "Z"
        return True

    wait_until(gone, "the worker's end", 30)


@pytest.mark.parametrize(
    ("ours", "its"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=1", "glibc.malloc.check=1:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_worker_asks_for_large_pages_unless_somebody_has_said_otherwise(
    ours: str | None, its: str, taken: list[Piped], monkeypatch: pytest.MonkeyPatch
) -> None:
    if ours is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", ours)
    taken.append(spawning.spawned())
    environ = Path(f"/proc/{taken[0].process.pid}/environ")
    if not environ.exists():
        pytest.skip("no /proc here")
    # The C library parts what it was told where the colons are, in place.
    assert f"GLIBC_TUNABLES={its}\0".replace(":", "\0").encode() in environ.read_bytes().replace(b":", b"\0")
