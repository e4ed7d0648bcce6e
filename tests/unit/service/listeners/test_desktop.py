"""Notifications: gathered, rate-limited, and none without a desktop."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from cutoutd.config.reporting import Notify
from cutoutd.config.settings import Settings
from cutoutd.daemon.events import PhotoEvent
from cutoutd.service.listeners.desktop import (
    DesktopListener,
    notification,
    notifier_command,
    notifier_warnings,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Shown:
    """Stands for the notifier's processes."""

    def __init__(self, code: int | None = 0) -> None:
        self.commands: list[Sequence[str]] = []
        self.code = code

    def __call__(self, command: Sequence[str]) -> Shown:
        self.commands.append(command)
        return self

    def poll(self) -> int | None:
        return self.code


def event(name: str, reason: str = "") -> PhotoEvent:
    return PhotoEvent(photo=1, inbox="studio", name=name, reason=reason)


def listener(shown: Shown, clock: Clock, *, done: bool = True, failed: bool = True) -> DesktopListener:
    return DesktopListener(Notify(done=done, failed=failed), ("notify",), shown, clock)


def test_a_burst_becomes_two_notifications() -> None:
    shown, clock = Shown(), Clock()
    desktop = listener(shown, clock)
    for number in range(5):
        desktop.photo_done(event(f"DSC_{number}.jpg"))
    desktop.photo_failed(event("bad.jpg", "unreadable"))
    assert [command[1] for command in shown.commands] == ["1 cutout ready"]
    clock.now = 29.9
    desktop.healthy()
    assert len(shown.commands) == 1
    clock.now = 30
    desktop.healthy()
    assert shown.commands[1][1:] == ("4 cutouts ready, 1 photo failed", "bad.jpg: unreadable")
    desktop.healthy()
    assert len(shown.commands) == 2


@pytest.mark.parametrize(("done", "failed", "count"), [(True, False, 1), (False, True, 1), (False, False, 0)])
def test_only_what_is_wanted(done: bool, failed: bool, count: int) -> None:
    shown = Shown()
    desktop = listener(shown, Clock(), done=done, failed=failed)
    desktop.photo_done(event("a.jpg"))
    desktop.photo_failed(event("b.jpg", "busy"))
    assert len(shown.commands) == count
    assert desktop.active == (done or failed)


def test_what_waits_is_told_at_the_end() -> None:
    shown = Shown()
    desktop = listener(shown, Clock())
    desktop.photo_done(event("a.jpg"))
    desktop.photo_done(event("b.jpg"))
    desktop.stopping()
    assert [command[2] for command in shown.commands] == ["a.jpg", "b.jpg"]


def test_markup_in_names_stays_text() -> None:
    shown = Shown()
    listener(shown, Clock()).photo_done(event("<b>&.jpg"))
    assert shown.commands[0][2] == "&lt;b&gt;&amp;.jpg"


def test_a_desktop_that_refuses_is_left_alone() -> None:
    shown, clock = Shown(code=1), Clock()
    desktop = listener(shown, clock)
    for number in range(10):
        clock.now += 100
        desktop.photo_done(event(f"{number}.jpg"))
    assert len(shown.commands) == 3
    assert not desktop.active


def test_texts() -> None:
    many = [event(f"{n}.jpg") for n in range(5)]
    assert notification(many, []) == ("5 cutouts ready", "2.jpg, 3.jpg, 4.jpg and others")
    title, text = notification([], [event(f"{n}.jpg", "busy") for n in range(5)])
    assert title == "5 photos failed"
    assert text.splitlines() == ["2.jpg: busy", "3.jpg: busy", "4.jpg: busy", "`cutoutd failures` lists all"]


# Which program


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_no_desktop_no_notifier(tmp_path: Path) -> None:
    found = program(tmp_path, "notify-send")
    path = {"PATH": str(tmp_path)}
    assert notifier_command(path, "linux") is None
    assert notifier_command({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x", "PATH": "/nowhere"}, "linux") is None
    with_bus = notifier_command({**path, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}, "linux")
    assert with_bus is not None
    assert with_bus[0] == str(found)
    assert with_bus[-1] == "--"
    runtime = tmp_path / "run"
    runtime.mkdir()
    assert notifier_command({**path, "XDG_RUNTIME_DIR": str(runtime)}, "linux") is None
    (runtime / "bus").touch()
    assert notifier_command({**path, "XDG_RUNTIME_DIR": str(runtime)}, "linux") is not None


def test_macos_gets_names_as_arguments(tmp_path: Path) -> None:
    found = program(tmp_path, "osascript")
    command = notifier_command({"PATH": str(tmp_path)}, "darwin")
    assert command is not None
    assert command[0] == str(found)
    assert command[1::2] == ("-e",) * 3
    assert "argv" in command[4]


def test_a_real_program_is_started_with_the_texts(tmp_path: Path) -> None:
    out = tmp_path / "said"
    os.mkfifo(out)
    notifier = program(tmp_path, "notify-send", f'printf "%s|%s" "$1" "$2" > {out}')
    desktop = DesktopListener(Notify(done=True), (str(notifier),))
    desktop.photo_done(event("DSC_1.jpg"))
    assert out.read_text() == "1 cutout ready|DSC_1.jpg"
    for process in desktop._running:  # pyright: ignore[reportPrivateUsage]
        assert isinstance(process, subprocess.Popen)
        process.wait(10)


def test_a_notifier_that_is_not_there_is_said_where_notifications_are_wanted(tmp_path: Path) -> None:
    def wanted(**notify: bool) -> Settings:
        return Settings.model_validate(
            {"inbox": [{"path": tmp_path / "in", "outbox": tmp_path / "out"}], "notify": notify}
        )

    empty = {"PATH": str(tmp_path)}
    assert notifier_warnings(wanted(), empty, "linux") == []
    assert "there is no notify-send" in notifier_warnings(wanted(done=True), empty, "linux")[0]
    assert "osascript" in notifier_warnings(wanted(failed=True), empty, "darwin")[0]
    program = tmp_path / "notify-send"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert "no desktop session" in notifier_warnings(wanted(failed=True), empty, "linux")[0]
    session = {**empty, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}
    assert notifier_warnings(wanted(failed=True), session, "linux") == []
