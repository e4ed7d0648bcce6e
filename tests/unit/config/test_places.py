"""Where cutoutd keeps its own things, and what moves them."""

# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config import places
from cutoutd.config.errors import ConfigError


def test_variables_move_every_place() -> None:
    environ = {
        "CUTOUTD_STATE_DIR": "/s",
        "CUTOUTD_CACHE_DIR": "/c",
        "CUTOUTD_MODELS_DIR": "/m",
        "CUTOUTD_CONFIG": "/x.toml",
    }
    assert places.state_dir(environ) == Path("/s")
    assert places.cache_dir(environ) == Path("/c")
    assert places.models_dir(environ) == Path("/m")
    assert places.config_path(environ) == Path("/x.toml")
    assert places.config_candidates(environ) == (Path("/x.toml"),)


def test_systemds_folders_are_used_when_they_are_ours() -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/other:/var/lib/cutoutd", "CACHE_DIRECTORY": "/var/cache/cutoutd"}
    assert places.state_dir(environ) == Path("/var/lib/cutoutd")
    assert places.cache_dir(environ) == Path("/var/cache/cutoutd")
    assert places.models_dir(environ) == Path("/var/lib/cutoutd/models")


def test_another_services_folder_does_not_move_our_ledger() -> None:
    assert places.state_dir({"STATE_DIRECTORY": "/var/lib/terminal"}) != Path("/var/lib/terminal")


def test_the_system_services_state_answers_for_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    personal, system = tmp_path / "personal", tmp_path / "system"
    monkeypatch.setattr("platformdirs.user_state_path", lambda _app: personal)
    monkeypatch.setattr(places, "SYSTEM_STATE", system)
    assert places.state_dir({}) == personal
    system.mkdir()
    assert places.state_dir({}) == system
    personal.mkdir()
    assert places.state_dir({}) == personal


def test_places_without_variables_are_this_users() -> None:
    assert places.cache_dir({}).name == "cutoutd"
    assert places.models_dir({}).name == "models"
    assert places.SYSTEM_CONFIG in places.config_candidates({})


def test_without_a_home_folder_nothing_is_put_into_one_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError("no such user")))
    for ask in (places.state_dir, places.cache_dir, places.models_dir, places.config_path):
        with pytest.raises(ConfigError, match="no home folder"):
            ask({})
    assert places.models_dir({"CUTOUTD_MODELS_DIR": "/m"}) == Path("/m")


def test_folders_that_need_no_config_lie_among_the_pictures() -> None:
    assert places.default_folders(Path("/p")) == (Path("/p/Cutouts/Inbox"), Path("/p/Cutouts/Outbox"))
