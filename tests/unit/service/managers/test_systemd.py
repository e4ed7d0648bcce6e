"""Orders to systemctl in the right sequence, and what is refused before any is given.

systemctl itself is replaced by a recorder here; real systemd is booted in tests/endtoend.
"""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from cutoutd.config.errors import ConfigError, ServiceError
from cutoutd.config.load import Loaded, load_settings, parse_settings
from cutoutd.service.managers import systemd
from cutoutd.service.managers.manager import Runner
from cutoutd.service.managers.systemd import (
    SystemService,
    UserService,
    trash_folders,
    unreachable_for,
)
from cutoutd.service.managers.systemd_unit import check_unit_allows

SHOWN = """\
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
StatusText=2 in hand, 14 waiting
MainPID=4711
NRestarts=1
ActiveEnterTimestamp=Sat 2026-11-21 14:00:00 UTC
"""


class Recorder(Runner):
    def __init__(self, shown: str = SHOWN) -> None:
        super().__init__({})
        self.orders: list[str] = []
        self.shown = shown

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        self.orders.append(" ".join(command))
        return subprocess.CompletedProcess(command, 0, self.shown if "show" in command else "", "")

    def show(self, *command: str) -> int:
        self.orders.append(" ".join(command))
        return 0


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "config.toml"
    path.write_text(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n')
    return load_settings(path)


def user_service(loaded: Loaded, tmp_path: Path, recorder: Recorder) -> UserService:
    return UserService(loaded, ("/x/cutoutd",), recorder, {"XDG_CONFIG_HOME": str(tmp_path / "config")})


def orders(recorder: Recorder) -> list[str]:
    return [order for order in recorder.orders if order.startswith("systemctl")]


def test_install_twice_writes_once(loaded: Loaded, tmp_path: Path) -> None:
    recorder = Recorder()
    service = user_service(loaded, tmp_path, recorder)
    first = service.install(start=True)
    assert service.installed_path == tmp_path / "config/systemd/user/cutoutd.service"
    assert f"wrote {service.installed_path}" in first
    assert (tmp_path / "in").is_dir()
    assert orders(recorder) == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --quiet cutoutd.service",
        "systemctl --user restart cutoutd.service",
    ]
    recorder.orders.clear()
    assert "the unit was up to date" in service.install(start=True)
    assert orders(recorder)[-1] == "systemctl --user start cutoutd.service"  # no needless restart


def test_uninstall_leaves_photos_and_config(loaded: Loaded, tmp_path: Path) -> None:
    recorder = Recorder()
    service = user_service(loaded, tmp_path, recorder)
    service.install(start=False)
    (tmp_path / "in/photo.jpg").touch()
    later = user_service(loaded, tmp_path, recorder)
    later.program = ()  # removing needs to know nothing of what was installed
    assert later.uninstall()[0] == f"removed {service.installed_path}"
    assert orders(recorder)[2] == "systemctl --user disable --now --quiet cutoutd.service"
    assert (tmp_path / "in/photo.jpg").exists()
    assert loaded.path is not None
    assert loaded.path.exists()
    assert service.uninstall() == [f"{service.installed_path} is not there: nothing to remove"]


def test_orders_before_installation_are_refused(loaded: Loaded, tmp_path: Path) -> None:
    recorder = Recorder()
    service = user_service(loaded, tmp_path, recorder)
    for order in (service.start, service.stop, service.restart):
        with pytest.raises(ServiceError, match=r"Run `cutoutd service install`\."):
            order()
    assert recorder.orders == []


def test_orders_after_installation(loaded: Loaded, tmp_path: Path) -> None:
    recorder = Recorder()
    service = user_service(loaded, tmp_path, recorder)
    service.install(start=False)
    recorder.orders.clear()
    service.start()
    service.stop()
    service.restart()
    service.logs(20, follow=True)
    assert recorder.orders == [
        "systemctl --user start cutoutd.service",
        "systemctl --user stop cutoutd.service",
        "systemctl --user restart cutoutd.service",
        "journalctl --quiet --user-unit=cutoutd.service --lines=20 --follow",
    ]


def test_state(loaded: Loaded, tmp_path: Path) -> None:
    state = user_service(loaded, tmp_path, Recorder()).state()
    assert (state.installed, state.enabled, state.running) == (True, True, True)
    assert (state.state, state.text) == ("active (running)", "2 in hand, 14 waiting")
    assert (state.pid, state.restarts) == (4711, 1)
    missing = user_service(loaded, tmp_path, Recorder("LoadState=not-found\nActiveState=inactive\n")).state()
    assert (missing.installed, missing.running, missing.pid) == (False, False, 0)


@pytest.mark.parametrize(("shown", "advised"), [("yes\n", False), ("no\n", True)])
def test_lingering_is_advised_where_it_is_off(
    loaded: Loaded, tmp_path: Path, shown: str, advised: bool
) -> None:
    class Loginctl(Recorder):
        def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(command, 0, shown, "")

    told = user_service(loaded, tmp_path, Loginctl()).install(start=False)
    assert any("enable-linger" in line for line in told) == advised


# The system service


def test_a_system_service_needs_a_config(loaded: Loaded) -> None:
    service = SystemService(Loaded(loaded.settings, None, ""), ("/x",), Recorder())
    with pytest.raises(ConfigError, match=r"/etc/cutoutd/config\.toml"):
        service.files()


def test_files_of_a_system_service(loaded: Loaded, tmp_path: Path) -> None:
    own = SystemService(loaded, ("/x",), Recorder()).files()
    assert [file.path.name for file in own] == ["cutoutd.conf", "cutoutd.service"]
    assert 'u cutoutd - "cutoutd' in own[0].text
    assert f"ReadWritePaths=-{tmp_path}/out\n" in own[1].text
    (unit,) = SystemService(loaded, ("/x",), Recorder(), user="nobody").files()
    assert "\nUser=nobody\n" in unit.text
    with pytest.raises(ServiceError, match="there is no user not-a-user"):
        SystemService(loaded, ("/x",), Recorder(), user="not-a-user").files()


def test_a_system_service_is_installed_by_root(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServiceError, match="Try again with sudo"):
        SystemService(loaded, ("/x",), Recorder()).install(start=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="folders are handed to another user, which needs root")
def test_new_folders_belong_to_the_services_user(
    tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setattr(systemd, "unreachable_for", lambda _path, _account: None)
    (tmp_path / "in").mkdir()
    service = SystemService(loaded, ("/bin/true",), Recorder(), user="nobody")
    service.install(start=False)
    nobody = pwd.getpwnam("nobody").pw_uid
    assert (tmp_path / "out").stat().st_uid == nobody
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o2750
    assert (tmp_path / "in").stat().st_uid == os.getuid()  # it was there: nobody's to change
    assert (tmp_path / "units/cutoutd.service").exists()
    monkeypatch.setattr(systemd, "SYSUSERS", tmp_path / "none.conf")
    assert SystemService(loaded, (), Recorder()).uninstall()[0] == f"removed {tmp_path}/units/cutoutd.service"
    assert (tmp_path / "out").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="closing a folder against another user needs root")
def test_a_program_the_user_cannot_reach_is_refused(
    tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", tmp_path / "units")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "cutoutd").write_text("")
    account = pwd.getpwnam("nobody")
    barrier = unreachable_for(closed / "cutoutd", account)
    assert barrier is not None
    assert barrier in {closed, *closed.parents}
    assert unreachable_for(Path("/bin/sh"), account) is None
    service = SystemService(loaded, (str(closed / "cutoutd"),), Recorder(), user="nobody")
    with pytest.raises(ServiceError, match="the user nobody may not read"):
        service.install(start=False)


def test_trash_folders(tmp_path: Path) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    keep = parse_settings(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n')
    assert trash_folders(keep, name) == ()
    trash = parse_settings(
        f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\nafter = {{ action = "trash" }}\n'
    )
    (folder,) = trash_folders(trash, name)
    home = Path(pwd.getpwnam(name).pw_dir)
    same_disk = home.stat().st_dev == tmp_path.stat().st_dev
    assert folder == home / ".local/share/Trash" or (not same_disk and folder.name.startswith(".Trash-"))


# Reload


@pytest.mark.parametrize(
    ("allowed", "outside"),
    [(None, False), ("{tmp}/out", False), ("{tmp}", False), ("{tmp}/other", True), ("", True)],
)
def test_a_reload_beyond_the_unit_is_refused(
    loaded: Loaded, tmp_path: Path, allowed: str | None, outside: bool
) -> None:
    environ = {} if allowed is None else {"CUTOUTD_WRITABLE_PATHS": allowed.replace("{tmp}", str(tmp_path))}
    if not outside:
        check_unit_allows(loaded.settings, environ)
        return
    with pytest.raises(ConfigError) as caught:
        check_unit_allows(loaded.settings, environ)
    assert str(tmp_path / "out") in str(caught.value)
    assert "sudo cutoutd service install --system" in str(caught.value)
