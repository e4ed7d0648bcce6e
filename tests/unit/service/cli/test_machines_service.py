"""Whoever asks beside the machine's service is told of it."""

from __future__ import annotations

import getpass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cutoutd.config import places
from cutoutd.service.cli.review import review
from cutoutd.service.cli.status import failures, status


@pytest.mark.parametrize("asked", [status, failures, review])
def test_whoever_asks_beside_the_machines_service_is_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: click.Command
) -> None:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(places, "SYSTEM_STATE", tmp_path / "system")
    assert "sudo" not in CliRunner().invoke(asked).output
    (tmp_path / "system").mkdir()
    assert f"`sudo -u {getpass.getuser()} cutoutd {asked.name}`" in CliRunner().invoke(asked).output
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "system"))
    assert "sudo" not in CliRunner().invoke(asked).output
