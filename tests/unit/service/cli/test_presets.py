"""`cutoutd presets`: what it lists is what the options really become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cutoutd.config.errors import UsageError
from cutoutd.config.output import Deliverable
from cutoutd.config.presets import builtin, packs
from cutoutd.service.cli.presets import presets


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n'
        '[preset.shop]\npreset = "product-white"\nscale = 70\n'
        '[preset.web]\npreset = "web"\nmax_size = 800\n'
    )
    return path


def run(*arguments: str) -> Result:
    return CliRunner(env={"CUTOUTD_CONFIG": "", "COLUMNS": "100"}).invoke(presets, arguments)


def listed(path: Path, *names: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(run(*names, "-c", str(path), "--json").output)}


def test_everything_is_listed_with_its_rule(own: Path) -> None:
    rows = listed(own)
    assert set(rows) == {*builtin(), *packs(), "shop"}
    assert rows["amazon"]["rule"] == builtin()["amazon"].rule
    assert rows["amazon"]["source"].startswith("https://")
    assert "each of the large marketplaces" in rows["marketplaces"]["about"]
    assert rows["marketplaces"]["presets"] == list(packs()["marketplaces"])


def test_what_is_shown_is_what_an_output_becomes(own: Path) -> None:
    for name, row in listed(own).items():
        if row["kind"] == "preset":
            shown = Deliverable.model_validate(row["options"])
            meant = Deliverable.model_validate(builtin()[name].options)
            assert shown == meant, name


def test_own_presets_win_and_are_worked_out(own: Path) -> None:
    rows = listed(own)
    assert rows["shop"]["kind"] == "yours"
    assert rows["shop"]["options"]["scale"] == 70
    assert rows["shop"]["options"]["background"] == "white"
    assert rows["web"]["kind"] == "yours"
    assert rows["web"]["options"]["max_size"] == 800
    assert rows["web"]["options"]["format"] == "webp"


def test_the_table_and_one_preset_for_people(own: Path) -> None:
    whole = run("-c", str(own)).output
    for name in (*builtin(), *packs()):
        assert name in whole
    one = run("etsy", "-c", str(own)).output
    assert builtin()["etsy"].source in one
    assert "amazon" not in one


def test_a_mistyped_name_gets_its_neighbour(own: Path) -> None:
    result = run("amazom", "-c", str(own))
    assert isinstance(result.exception, UsageError)
    assert "'amazon'" in str(result.exception)
