"""The right service manager for the machine, and a sentence where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cutoutd.config.errors import ServiceError
from cutoutd.config.load import Loaded
from cutoutd.service.managers import choice
from cutoutd.service.managers.choice import any_settings, manager_for
from cutoutd.service.managers.launchd import LaunchAgent
from cutoutd.service.managers.manager import Role
from cutoutd.service.managers.systemd import SystemService, UserService


@pytest.fixture
def loaded() -> Loaded:
    return any_settings()


def on(monkeypatch: pytest.MonkeyPatch, platform: str, *, systemd: bool = False) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(choice, "systemd_runs", lambda: systemd)


def test_systemd_for_a_user_and_for_the_machine(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> None:
    on(monkeypatch, "linux", systemd=True)
    assert isinstance(manager_for(loaded, system=False), UserService)
    assert isinstance(manager_for(loaded, system=True, user="ann"), SystemService)


def test_without_systemd_it_can_still_be_printed(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> None:
    on(monkeypatch, "linux")
    with pytest.raises(ServiceError, match="systemd does not run this machine") as caught:
        manager_for(loaded, system=False)
    assert "cutoutd run" in caught.value.fix
    assert isinstance(manager_for(loaded, system=False, needed=False), UserService)


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.DAEMON, "run"),
        (Role.HOOKS, "hooks"),
        (Role.SCHEDULER, "fleet scheduler"),
        (Role.NODE, "fleet node --from DIR"),
    ],
)
def test_without_systemd_it_names_the_program_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, loaded: Loaded, role: Role, command: str
) -> None:
    on(monkeypatch, "linux")
    with pytest.raises(ServiceError) as caught:
        manager_for(loaded, system=True, role=role)
    assert f"`cutoutd {command}`" in caught.value.fix
    assert f"`cutoutd service install --system{role.option}" in caught.value.fix


def test_a_mac_has_agents_of_people_only(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> None:
    on(monkeypatch, "darwin")
    assert isinstance(manager_for(loaded, system=False), LaunchAgent)
    with pytest.raises(ServiceError, match="your own agent only"):
        manager_for(loaded, system=True)


def test_removing_works_with_a_broken_configuration(loaded: Loaded) -> None:
    assert loaded.settings.inbox[0].path == Path("/")
