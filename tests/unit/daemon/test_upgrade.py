"""Another version over the one that runs is noticed once it is all there, and ends the daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.simulation import Simulation

from cutoutd.config.errors import ExitCode
from cutoutd.config.version import VERSION
from cutoutd.daemon.upgrade import STEADY_S, Installed

Make = Callable[..., Simulation]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As it was when the program started."""
    path = tmp_path / "version.py"
    write(path, VERSION)
    return path


def write(path: Path, version: str) -> None:
    """In another file's place, as installers do."""
    new = path.with_suffix(".new")
    new.write_text(f'"""The version."""\n\nVERSION = "{version}"\n')
    new.replace(path)


def test_the_same_version_is_nothing_even_when_written_anew(file: Path) -> None:
    clock = Clock()
    one = Installed(clock, file)
    assert not one.look()
    write(file, VERSION)
    assert not one.look()
    clock.now += STEADY_S
    assert not one.look()


def test_another_one_counts_once_nothing_changes_any_more(file: Path) -> None:
    clock = Clock()
    one = Installed(clock, file)
    file.unlink()
    assert not one.look()
    clock.now += STEADY_S - 1
    write(file, "9.9.9")
    assert not one.look()
    clock.now += STEADY_S - 1
    assert not one.look()
    clock.now += 1
    assert one.look()
    assert one.other == "9.9.9"
    said = one.must_end()
    assert said.exit_code == ExitCode.REPLACED
    assert f"cutoutd 9.9.9 was installed over {VERSION}" in str(said)


def test_one_that_was_removed_goes_on(file: Path) -> None:
    clock = Clock()
    one = Installed(clock, file)
    file.unlink()
    for _ in range(3):
        assert not one.look()
        clock.now += STEADY_S
    assert Installed(clock, file / "in an archive").look() is False


def test_the_daemon_finishes_what_is_in_hand_and_ends(sim: Make, file: Path) -> None:
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot()
    one.daemon.installed = Installed(lambda: one.now, file)
    one.workers.hang = True
    one.until_in_a_worker()
    write(file, "9.9.9")
    one.until(lambda: one.daemon.stopping)
    assert "cutoutd 9.9.9 was installed over this one" in " ".join(one.heard.warnings)
    assert not one.daemon.finished
    one.workers.hang = False
    one.until(lambda: one.daemon.finished)
    assert one.states() == {"a.jpg": "done"}
