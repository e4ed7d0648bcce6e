"""What the privacy self-test says of this installation: each fault is seen and named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.models.networks.catalog import BUNDLED, STANDARD, ModelSpec, find_model
from cutoutd.service.verify import installation as module
from cutoutd.service.verify.installation import installation
from cutoutd.service.verify.judge import Verdict


def _settings(tmp_path: Path, extra: str = "") -> Settings:
    return parse_settings(f'[[inbox]]\npath="{tmp_path}/in"\noutbox="{tmp_path}/out"\n{extra}')


def test_the_model_is_as_shipped_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(installation(_settings(tmp_path), tmp_path, tmp_path / "state", None))
    assert all(row.passes for row in rows)
    assert [row.tried.split()[-1] for row in rows] == [*BUNDLED]
    real = find_model(STANDARD, tmp_path)
    assert real.path is not None
    forged = tmp_path / "forged.onnx"
    forged.write_bytes(real.path.read_bytes()[:-1] + b"\0")
    other = replace(real, path=forged)

    def resolve(_wanted: str, _folder: Path, _effort: str) -> ModelSpec:
        return other

    monkeypatch.setattr(module, "resolve", resolve)
    (row,) = installation(_settings(tmp_path), tmp_path, tmp_path / "state", None)
    assert not row.passes
    assert "SHA-256" in row.answer


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    rows = list(installation(_settings(tmp_path, 'model="nonesuch"\n'), tmp_path, tmp_path, None))
    assert [row.passes for row in rows] == [True, True, False]


def test_the_users_own_state_folder_is_looked_at(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (state / "ledger.sqlite").touch(0o600)
    rows = list(installation(_settings(tmp_path), tmp_path, state, None))
    assert [(row.area, row.passes) for row in rows] == [*[("model", True)] * len(BUNDLED), ("modes", False)]
    assert "state 0755" in rows[-1].answer


def test_a_daemon_without_a_filter_is_seen(tmp_path: Path) -> None:
    row = list(installation(_settings(tmp_path), tmp_path, tmp_path, os.getpid()))[-1]
    if row.verdict is Verdict.NOT_ENFORCED:
        pytest.skip("this system does not tell")
    assert str(os.getpid()) in row.answer
    assert not row.passes
