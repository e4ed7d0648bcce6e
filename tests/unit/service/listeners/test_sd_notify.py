"""What really arrives at a socket like systemd's."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutoutd.daemon.live_status import Counts, DaemonState, LiveStatus
from cutoutd.service.listeners.sd_notify import Notifier
from cutoutd.service.listeners.systemd import SystemdListener

Listen = Callable[[], dict[str, str]]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[str, Listen]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.setblocking(False)

        def listen() -> dict[str, str]:
            lines = server.recv(4096).decode().split("\n")
            return dict(line.split("=", 1) for line in lines)

        yield address, listen


def test_each_message(manager: tuple[str, Listen]) -> None:
    address, listen = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.active
    assert notifier.ready("Waiting\nfor photos")
    assert listen() == {"READY": "1", "STATUS": "Waiting for photos"}
    assert notifier.status("x" * 1000)
    assert len(listen()["STATUS"]) == 300
    assert notifier.alive()
    assert listen() == {"WATCHDOG": "1"}
    assert notifier.reloading()
    said = listen()
    assert said["RELOADING"] == "1"
    assert int(said["MONOTONIC_USEC"]) > 0
    assert notifier.stopping("Finishing", 30)
    assert listen() == {"STOPPING": "1", "STATUS": "Finishing", "EXTEND_TIMEOUT_USEC": "30000000"}
    assert notifier.extend("Loading", 1.5)
    assert listen() == {"STATUS": "Loading", "EXTEND_TIMEOUT_USEC": "1500000"}


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="abstract sockets are Linux's")
def test_abstract_addresses() -> None:
    name = f"cutoutd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        assert Notifier({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert server.recv(100) == b"WATCHDOG=1"


def test_without_a_manager_nothing_is_sent() -> None:
    assert not Notifier({}).active
    assert not Notifier({}).ready("x")


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


@pytest.mark.parametrize(
    ("environ", "heartbeat_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_rhythm(environ: dict[str, str], heartbeat_s: float | None) -> None:
    assert Notifier(environ).heartbeat_s == heartbeat_s


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _counted(**counts: int) -> LiveStatus:
    return LiveStatus(state=DaemonState.IDLE, counts=Counts(**counts))


def test_the_listener_speaks_in_order(manager: tuple[str, Listen]) -> None:
    address, listen = manager
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"})
    listener = SystemdListener(notifier, grace_s=30, clock=clock)

    listener.starting("Loading the model")
    assert listen()["EXTEND_TIMEOUT_USEC"] == "90000000"
    listener.status(_counted(pending=3))  # before it is ready nobody cares
    listener.reloading()
    listener.reloaded()  # must not announce readiness
    listener.ready(_counted(pending=3))
    assert listen() == {"READY": "1", "STATUS": "3 waiting"}
    listener.status(_counted(pending=3))  # nothing new
    listener.status(_counted(running=1, delivering=1, pending=2, done=7, failed=1))
    assert listen() == {"STATUS": "2 in hand, 2 waiting, 7 done, 1 failed"}
    listener.healthy()  # fed a moment ago by READY
    clock.now += 15
    listener.healthy()
    assert listen() == {"WATCHDOG": "1"}
    listener.reloading()
    assert listen()["RELOADING"] == "1"
    listener.reloaded()
    assert listen()["READY"] == "1"
    listener.stopping()
    assert listen()["STOPPING"] == "1"
    with pytest.raises(BlockingIOError):
        listen()
