"""What systemd is told, read from a real notification socket, and how often the watchdog is fed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.daemon.live_status import Counts, DaemonState, LiveStatus
from cutoutd.service.listeners.sd_notify import Notifier
from cutoutd.service.listeners.systemd import SystemdListener

STATUS = LiveStatus(state=DaemonState.IDLE, counts=Counts(done=3), workers=1)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.setblocking(False)
        yield one


def lines(told: socket.socket) -> list[str]:
    found: list[str] = []
    while True:
        try:
            found += told.recv(4096).decode().splitlines()
        except BlockingIOError:
            return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener(tmp_path: Path, told: socket.socket, clock: Clock) -> SystemdListener:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "40000000"}
    return SystemdListener(Notifier(environment), 30.0, clock)


def test_start_up_asks_for_time_and_ends_with_ready(listener: SystemdListener, told: socket.socket) -> None:
    listener.starting("Loading the model")
    said = lines(told)
    assert "STATUS=Loading the model" in said
    assert "EXTEND_TIMEOUT_USEC=90000000" in said
    assert "READY=1" not in said
    listener.ready(STATUS)
    assert "READY=1" in lines(told)


def test_the_line_is_sent_when_it_reads_differently(listener: SystemdListener, told: socket.socket) -> None:
    listener.status(STATUS)
    assert lines(told) == []  # not ready yet
    listener.ready(STATUS)
    lines(told)
    listener.status(STATUS)
    assert lines(told) == []
    listener.status(replace(STATUS, counts=Counts(done=4)))
    assert any(line.startswith("STATUS=") and "4" in line for line in lines(told))


def test_the_watchdog_is_fed_in_time_and_not_more_often(
    listener: SystemdListener, told: socket.socket, clock: Clock
) -> None:
    listener.ready(STATUS)
    lines(told)
    fed = 0
    for _ in range(400):  # 40 s, looked at ten times a second
        clock.now += 0.1
        listener.healthy()
        fed += "WATCHDOG=1" in lines(told)
    assert 2 <= fed <= 8  # at least twice per limit of 40 s


def test_a_reload_is_told_only_after_ready(listener: SystemdListener, told: socket.socket) -> None:
    listener.reloading()
    assert lines(told) == []
    listener.ready(STATUS)
    lines(told)
    listener.reloading()
    listener.reloaded()
    said = lines(told)
    assert said.index("RELOADING=1") < said.index("READY=1")


def test_stopping_says_how_long_it_may_take(listener: SystemdListener, told: socket.socket) -> None:
    listener.stopping()
    said = lines(told)
    assert "STOPPING=1" in said
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in said)
