"""`cutoutd doctor`: one screen, or JSON."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cutoutd.config.errors import ExitCode
from cutoutd.service.cli.doctor import doctor as command

pytestmark = pytest.mark.slow


def test_one_screen(folders: Path) -> None:
    config = folders / "c.toml"
    config.write_text(f'[[inbox]]\npath = "{folders}/in"\noutbox = "{folders}/out"\n')
    result = CliRunner().invoke(command, ["-c", str(config)])
    assert result.exit_code == 0, result.output
    for area in (
        "config",
        "folders",
        "events",
        "disk space",
        "ledger",
        "decoders",
        "models",
        "engine",
        "sandbox",
    ):
        assert area in result.output
    assert len(result.output.splitlines()) < 40
    found = json.loads(CliRunner().invoke(command, ["-c", str(config), "--json"]).output)
    assert {"area", "level", "what", "fix", "code"} == set(found[0])
    assert all(finding["fix"] for finding in found if finding["level"] in {"warning", "error"})


def test_a_broken_config_is_shown_with_its_lines_and_the_rest_goes_on(folders: Path) -> None:
    config = folders / "c.toml"
    config.write_text('[[inbox]]\npath = "/x"\nsettel = 1\n')
    result = CliRunner().invoke(command, ["-c", str(config)])
    assert result.exit_code == ExitCode.CONFIG
    assert f"{config}:3: inbox[1].settel" in result.output
    assert "decoders" in result.output
