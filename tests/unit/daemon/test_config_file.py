"""When a changed configuration is taken up."""

from __future__ import annotations

import os
from pathlib import Path

from cutoutd.daemon.config_file import REST_S, ConfigFile

NOW = 1_700_000_000


def _write(path: Path, at: float) -> None:
    path.write_text("")
    os.utime(path, ns=(0, int(at * 10**9)))


def test_one_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """An editor empties it first: an empty one gives up each inbox for the default one."""
    path, clock = tmp_path / "c.toml", [float(NOW)]
    _write(path, NOW - 60)
    one = ConfigFile(path, lambda: clock[0])
    assert not one.has_changed()
    _write(path, NOW)
    assert not one.has_changed()
    clock[0] += REST_S
    assert one.has_changed()
    one.take()
    assert not one.has_changed()


def test_a_clock_that_is_wrong_puts_it_off_by_no_more(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    _write(path, NOW - 60)
    one = ConfigFile(path, lambda: NOW)
    _write(path, NOW + 3600)
    assert one.has_changed()


def test_one_that_went_has_changed_and_none_never_does(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    _write(path, NOW - 60)
    one = ConfigFile(path, lambda: NOW)
    path.unlink()
    assert one.has_changed()
    assert not ConfigFile(None).has_changed()
