"""Who hears the daemon depends on the terminal, the service manager and the settings, and on nothing else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.service.listeners.everyone import listeners


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def settings(extra: str = "") -> Settings:
    return parse_settings(f'[[inbox]]\npath = "/in"\noutbox = "/out"\n{extra}')


def kinds(made: Any) -> set[str]:
    return {type(one).__name__ for one in object.__getattribute__(made, "_listeners")}


def test_without_a_terminal_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    everyone, finish = listeners(settings())
    assert kinds(everyone) == {"LogListener"}
    finish()


def test_on_a_terminal_there_is_the_live_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    everyone, finish = listeners(settings())
    assert kinds(everyone) == {"TerminalListener"}
    finish()


def test_a_terminal_that_only_prints_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a live view nothing was seen there but that the daemon is ready, and what it had done at the end."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    everyone, finish = listeners(settings())
    assert kinds(everyone) == {"LogListener"}
    finish()


def test_systemd_desktop_and_metrics_join_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    everyone, finish = listeners(
        settings(f'[notify]\nfailed = true\n[metrics]\ntextfile = "{tmp_path}/m.prom"\n')
    )
    assert kinds(everyone) == {"LogListener", "SystemdListener", "DesktopListener", "MetricsListener"}
    finish()


def test_a_talkative_log_does_not_name_files_through_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    listeners(settings('[log]\nlevel = "debug"\n'))
    assert logging.getLogger("watchdog").level == logging.INFO
