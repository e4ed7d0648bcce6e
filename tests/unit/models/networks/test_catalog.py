from __future__ import annotations

import hashlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.models import in_catalogue, spec_for
from tests.support.tiny_onnx import tiny_network

from cutoutd.config.errors import ModelError
from cutoutd.models.networks import catalog
from cutoutd.models.networks.catalog import (
    BUNDLED,
    FAST,
    HIGH_LOOKS,
    STANDARD,
    ModelSpec,
    catalogue,
    decider_spec,
    find_model,
    installed,
    known_model,
    resolve,
)
from cutoutd.models.networks.store import add

NOWHERE = Path("/nowhere/models")


def test_importing_the_catalogue_loads_no_numbers_and_no_engine() -> None:
    code = (
        "import sys; from cutoutd.models.networks.catalog import resolve; from pathlib import Path;"
        "resolve('fast', Path('/nowhere'));"
        "print([m for m in ('numpy', 'PIL', 'onnxruntime', 'urllib.request', 'http.client') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_entry_is_complete_enough_to_be_trusted(name: str) -> None:
    spec = catalogue()[name]
    assert catalog.NAME_PATTERN.fullmatch(spec.name)
    assert re.fullmatch(r"[0-9a-f]{64}|", spec.sha256)
    assert re.fullmatch(r"[0-9a-f]{32}|", spec.md5)
    assert spec.sha256 or spec.md5
    assert spec.licence
    assert spec.recommended
    assert spec.input_size % 32 == 0
    assert all(0 < std <= 1.01 for std in spec.std)
    assert spec.normalise == "255"
    assert not spec.stretch
    assert spec.sources or name in BUNDLED
    for source in spec.sources:
        assert (
            source.url.startswith("https://") if source.kind == "url" else source.version and source.members
        )
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301  # our own object


def test_the_families_are_fed_as_they_were_trained() -> None:
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for spec in catalogue().values():
        if spec.family in ("u2net", "birefnet"):
            assert (spec.mean, spec.std) == imagenet, spec.name
            assert spec.activation == ("sigmoid" if spec.name.startswith("birefnet") else "none")
    imgly = catalogue()["isnet-imgly"]
    for value in (0, 77, 255):  # (x - 128) / 256 is how its publisher feeds it
        assert (value / 255 - imgly.mean[0]) / imgly.std[0] == pytest.approx((value - 128) / 256)
    assert catalogue()["isnet-general-use"].mean == (0.5, 0.5, 0.5)
    assert catalogue()["isnet-anime"].std == (1.0, 1.0, 1.0)


def test_only_one_entry_forbids_commercial_use_and_none_is_accepted_by_default() -> None:
    assert [spec.name for spec in catalogue().values() if not spec.commercial] == ["bria-rmbg"]
    assert not catalogue()["bria-rmbg"].accepted


def test_pieces_of_the_npm_models_are_whole_and_distinct() -> None:
    for name, count in (("isnet-imgly", 22), ("isnet-imgly-small", 11)):
        (source,) = catalogue()[name].sources
        assert source.kind == "npm"
        assert len(set(source.members)) == len(source.members) == count


def test_the_bundled_models_are_there_without_a_store() -> None:
    for quality, name in (("standard", STANDARD), ("fast", FAST), ("best", STANDARD)):
        spec = resolve(quality, NOWHERE)
        assert spec.name == name
        assert spec.path is not None
        assert hashlib.sha256(spec.path.read_bytes()).hexdigest() == spec.sha256
    assert list(installed(NOWHERE)) == [*BUNDLED]
    assert resolve("", NOWHERE) == resolve("standard", NOWHERE)


def test_high_effort_looks_more_often() -> None:
    # The bundled network answers at any size.
    for quality in ("fast", "standard"):
        normal, high = resolve(quality, NOWHERE), resolve(quality, NOWHERE, "high")
        assert (normal.flip, normal.closer, normal.more_looks) == (False, False, ())
        assert (high.flip, high.more_looks) == (True, HIGH_LOOKS)
        assert high.closer == (quality == "standard")
        assert all(side % 32 == 0 and side != high.input_size for side, _ in HIGH_LOOKS)


def test_all_but_drafts_are_decided_by_the_network_whose_digest_is_said() -> None:
    decider = decider_spec()
    assert decider.path is not None
    assert hashlib.sha256(decider.path.read_bytes()).hexdigest() == decider.sha256
    assert decider.name not in catalogue()
    for effort in ("normal", "high"):
        assert resolve("standard", NOWHERE, effort).decider == decider.sha256
        assert not resolve("fast", NOWHERE, effort).decider


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("u2net-p", "u2netp"),
        ("isnet_general_use", "isnet-general-use"),
        ("BiRefNet-general", "birefnet-general"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(ModelError, match=f"Did you mean '{meant}'"):
        find_model(typed, NOWHERE)


def test_a_model_that_is_not_installed_names_the_command() -> None:
    with pytest.raises(ModelError, match=r"not installed. Run `cutoutd models pull u2netp`;"):
        find_model("u2netp", NOWHERE)
    with pytest.raises(ModelError, match="models pull bria-rmbg --accept-license`"):
        resolve("bria-rmbg", NOWHERE)


def test_nonsense_gets_no_suggestion() -> None:
    with pytest.raises(ModelError) as caught:
        known_model("zzzzzzzz")
    assert "Did you mean" not in str(caught.value)


def _record(models_dir: Path, spec: ModelSpec, **changed: object) -> None:
    models_dir.mkdir(exist_ok=True)
    (models_dir / f"{spec.name}-x.onnx").write_bytes(b"weights")
    record = {"name": spec.name, "file": f"{spec.name}-x.onnx", "bytes": 7, "sha256": "0" * 64, "like": ""}
    (models_dir / f"{spec.name}.json").write_text(json.dumps(record | changed))


def test_best_is_the_highest_rank_that_is_installed(tmp_path: Path) -> None:
    _record(tmp_path, catalogue()["u2netp"])
    assert resolve("best", tmp_path).name == STANDARD
    _record(tmp_path, catalogue()["isnet-imgly"])
    assert resolve("best", tmp_path).name == "isnet-imgly"
    _record(tmp_path, catalogue()["isnet-anime"])
    _record(tmp_path, catalogue()["birefnet-general"])
    assert resolve("best", tmp_path).name == "birefnet-general"


def test_best_leaves_out_a_model_whose_terms_were_not_accepted(tmp_path: Path) -> None:
    _record(tmp_path, catalogue()["bria-rmbg"], accepted=False)
    assert resolve("best", tmp_path).name == STANDARD
    with pytest.raises(ModelError, match="forbids commercial use and was not accepted"):
        find_model("bria-rmbg", tmp_path)
    _record(tmp_path, catalogue()["bria-rmbg"], accepted=True)
    assert resolve("best", tmp_path).name == "bria-rmbg"


def test_of_equals_the_users_own_file_is_best(tmp_path: Path) -> None:
    _record(tmp_path, catalogue()["isnet-general-use"])
    _record(tmp_path, replace(catalogue()["isnet-general-use"], name="aaa"), like="isnet-general-use")
    spec = resolve("best", tmp_path)
    assert (spec.name, spec.like, spec.licence) == ("aaa", "isnet-general-use", "your own")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"name": "u2netp"}',
        '{"name": "u2netp", "file": "gone.onnx", "bytes": 1, "sha256": "", "like": ""}',
    ],
)
def test_a_damaged_record_is_no_model_and_no_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "u2netp.json").write_text(text)
    assert list(installed(tmp_path)) == [*BUNDLED]


def test_a_record_cannot_point_outside_the_store(tmp_path: Path) -> None:
    (tmp_path / "outside.onnx").write_bytes(b"x")
    store = tmp_path / "store"
    _record(store, catalogue()["u2netp"], file="../outside.onnx")
    assert list(installed(store)) == [*BUNDLED]


def test_an_own_file_keeps_what_was_changed(tmp_path: Path) -> None:
    content = tiny_network(256)
    file = tmp_path / "mine.onnx"
    file.write_bytes(content)
    add(
        file,
        tmp_path / "store",
        like="u2netp",
        changed={"input_size": 256, "mean": (0.1, 0.2, 0.3), "rank": 99},
    )
    spec = find_model("mine", tmp_path / "store")
    assert (spec.input_size, spec.mean, spec.rank) == (256, (0.1, 0.2, 0.3), catalogue()["u2netp"].rank)


def test_rembg_arithmetic_is_a_suffix(tmp_path: Path) -> None:
    content = tiny_network()
    with in_catalogue(spec_for(content)) as entry:
        _record(tmp_path, entry)
        spec = find_model("tiny@rembg", tmp_path)
    assert (spec.normalise, spec.stretch, spec.resample) == ("max", True, "lanczos")
    assert resolve("cutout-s@rembg", tmp_path).normalise == "max"


def test_large_inputs_are_loaded_once_per_machine() -> None:
    assert catalogue()["isnet-imgly"].once_per_machine
    assert not catalogue()[STANDARD].once_per_machine


def test_the_page_about_networks_knows_every_one_of_them() -> None:
    page = (Path(__file__).parents[4] / "docs" / "MODELS.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    listed = {cells[1].strip(" *"): cells for cells in rows if len(cells) == 8}
    for spec in catalogue().values():
        if spec.name.startswith("birefnet") and spec.name not in listed:
            assert "-" + spec.name.rpartition("-")[2] in listed["birefnet-portrait, -dis, -hrsod, -cod"][1]
            assert spec.rank == 0
            continue
        cells = [cell.strip(" *") for cell in listed[spec.name]]
        assert cells[3] == str(spec.input_size)
        assert cells[5] == (str(spec.rank) if spec.rank else "by name")
        if spec.bytes is not None:
            assert cells[2] == str(round(spec.bytes / 1e6))


def test_only_the_pull_can_open_a_connection() -> None:
    room = Path(catalog.__file__).parents[1]
    opener = re.compile(
        r"^\s*(?:import|from)\s+(socket|ssl|http|urllib\.request|asyncio|ftplib|requests|httpx)\b",
        re.MULTILINE,
    )
    found = {path.name for path in room.rglob("*.py") if opener.search(path.read_text(encoding="utf-8"))}
    assert found == {"pull.py"}


def test_a_store_that_may_not_be_read_is_said_and_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(tmp_path, catalogue()["u2netp"])
    denied = PermissionError(13, "Permission denied")

    def refuse(*_: object, **__: object) -> str:
        raise denied

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuse)
        with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\)"):
            installed(tmp_path)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\)"):
        installed(tmp_path)
