"""A short slice of the torture runs, each in a process of its own; the whole is `make torture`.

Every test run has one: a minute each, on a core.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.reliability.torture.daemon import Attacked

ROOT = Path(__file__).parents[3]

# Seeds that once failed come first; what was wrong stands beside them.
ONCE_FAILED = (
    110,  # and wrote there
    11,  # a worker that started while the outbox was unmounted stayed confined to the folder beneath it
)
SLICE = (3, 22)  # and every hundred with `make torture`


@pytest.mark.slow
@pytest.mark.timeout(1500)  # a run waits as long as something moves, which on a busy machine may be long
@pytest.mark.parametrize(
    "seed",
    [ONCE_FAILED[0], *(pytest.param(n, marks=pytest.mark.thorough) for n in (*ONCE_FAILED[1:], *SLICE))],
)
def test_a_seeded_run_loses_doubles_and_harms_nothing(seed: int) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.reliability.torture", "--seeds", str(seed)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1440,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_what_attacks_workers_finds_them(tmp_path: Path) -> None:
    """A change of how workers are started once left the runs without a single attack on one."""
    one = Attacked(tmp_path)
    try:
        one.start()
        assert one.a_worker(0) in one.workers()
        assert one.kill_worker(0)
    finally:
        one.kill()
