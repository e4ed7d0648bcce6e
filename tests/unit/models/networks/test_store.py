from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.models import in_catalogue, spec_for
from tests.support.tiny_onnx import tiny_network

from cutoutd.config.errors import ModelError, UsageError
from cutoutd.models.networks import store
from cutoutd.models.networks.catalog import BUNDLED, STANDARD, catalogue, find_model, installed
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.store import Digests, add, adopt, digest_file, install, locked, mismatch, remove


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "My Fine-Tune.onnx"
    file.write_bytes(tiny_network())
    return file


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_an_added_file_runs_and_the_original_stays(mine: Path, models: Path) -> None:
    spec = add(mine, models, like="u2netp")
    assert spec.name == "my-fine-tune"
    assert mine.is_file()
    assert spec == find_model("my-fine-tune", models)
    Segmenter(spec, threads=1)
    record = json.loads((models / "my-fine-tune.json").read_text())
    assert record["sha256"] == digest_file(mine).sha256
    assert record["source"] == "file My Fine-Tune.onnx"
    assert [path.name for path in models.glob(".*") if path.suffix != ".lock"] == []


def test_the_store_can_be_read_by_the_service(mine: Path, models: Path) -> None:
    spec = add(mine, models, like="u2netp")
    assert spec.path is not None
    assert stat.S_IMODE(spec.path.stat().st_mode) & stat.S_IRUSR


def test_adding_again_replaces_and_leaves_no_old_file(mine: Path, models: Path) -> None:
    old = add(mine, models, like="u2netp", name="own")
    mine.write_bytes(tiny_network(bias=0.3))
    new = add(mine, models, like="u2netp", name="own")
    assert new.sha256 != old.sha256
    assert [path.name for path in models.glob("*.onnx")] == [Path(str(new.path)).name]


def test_names_that_begin_alike_do_not_touch_each_other(mine: Path, models: Path) -> None:
    add(mine, models, like="u2netp", name="own")
    add(mine, models, like="u2netp", name="own-2")
    remove("own", models)
    assert list(installed(models)) == [*BUNDLED, "own-2"]
    Segmenter(find_model("own-2", models), threads=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "like", "reason"),
    [
        ({"size": 256}, "u2netp", "takes 1 x 3 x 256 x 256; 1 x 3 x 320 x 320 is expected"),
        ({"planes": 3}, "u2netp", "one plane of float numbers"),
        ({"extra_inputs": 1}, "u2netp", "2 inputs"),
        ({"sigmoid": False, "weights": (9.0, -9.0, 5.0)}, "u2netp", "look like logits.*--activation sigmoid"),
        ({"size": 1024}, "birefnet-general", "described as answering with logits.*--activation none"),
        ({"not_numbers": True}, "u2netp", "not numbers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    mine: Path, models: Path, network: dict[str, Any], like: str, reason: str
) -> None:
    mine.write_bytes(tiny_network(**network))
    with pytest.raises(ModelError, match=reason):
        add(mine, models, like=like)
    assert list(installed(models)) == [*BUNDLED]
    assert not list(models.glob("*.onnx"))
    assert not list(models.glob(".*pull*"))


def test_logits_are_accepted_when_said_to_be_logits(mine: Path, models: Path) -> None:
    mine.write_bytes(tiny_network(sigmoid=False, weights=(9.0, -9.0, 5.0)))
    spec = add(mine, models, like="u2netp", changed={"activation": "sigmoid"})
    assert spec.activation == "sigmoid"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a network", b"\x08\x08"])
def test_a_file_that_is_no_network_is_refused(mine: Path, models: Path, content: bytes) -> None:
    mine.write_bytes(content)
    with pytest.raises(ModelError):
        add(mine, models, like="u2netp")
    assert list(installed(models)) == [*BUNDLED]


def test_an_unknown_file_needs_to_be_like_something(mine: Path, models: Path) -> None:
    with pytest.raises(UsageError, match="--like NAME"):
        add(mine, models)
    with pytest.raises(ModelError, match="Did you mean 'u2netp'"):
        add(mine, models, like="u2net-p")


@pytest.mark.parametrize("name", ["../escape", ".hidden", "UPPER", "a/b", "x" * 65, "ü"])
def test_a_name_that_is_no_file_name_is_refused(mine: Path, models: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model's name"):
        add(mine, models, like="u2netp", name=name)


def test_the_catalogues_names_are_kept_for_its_files(mine: Path, models: Path) -> None:
    with pytest.raises(UsageError, match="catalogue's name for another file"):
        add(mine, models, like="u2netp", name="isnet-general-use")


def test_a_missing_file_is_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read") as caught:
        add(tmp_path / "gone.onnx", models, like="u2netp")
    assert caught.value.path == tmp_path / "gone.onnx"


@pytest.mark.parametrize(
    "numbers", [("std", 0.0), ("std", -1.0), ("std", float("nan")), ("mean", float("inf"))]
)
def test_numbers_that_leave_nothing_of_a_photo_are_refused(
    mine: Path, models: Path, numbers: tuple[str, float]
) -> None:
    name, value = numbers
    with pytest.raises(UsageError, match=f"cannot be a number of --{name}"):
        add(mine, models, like="u2netp", name="mine", changed={name: (0.5, 0.5, value)})
    assert not list(models.glob("mine*"))


def test_what_has_no_end_is_not_read(models: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for endless in (tmp_path / "pipe.onnx", Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelError, match="no ordinary file"):
            add(endless, models, like="u2netp", name="mine")


def test_a_file_of_the_catalogue_is_recognised_by_its_digest(mine: Path, models: Path) -> None:
    with in_catalogue(spec_for(mine.read_bytes())):
        spec = add(mine, models)
        assert (spec.name, spec.like) == ("tiny", "")
        assert find_model("tiny", models).licence == catalogue()["tiny"].licence


@pytest.mark.slow
def test_terms_are_accepted_before_anything_is_copied(mine: Path, models: Path) -> None:
    mine.write_bytes(tiny_network(1024))
    with pytest.raises(ModelError, match=r"CC BY-NC 4.0: commercial work is forbidden .* --accept-license"):
        add(mine, models, like="bria-rmbg", name="own")
    assert not models.exists()
    spec = add(mine, models, like="bria-rmbg", name="own", accept_license=True)
    assert (spec.licence, spec.commercial, spec.accepted) == ("CC BY-NC 4.0", False, True)
    assert json.loads((models / "own.json").read_text())["accepted_at"]


def test_mismatch_names_the_first_fact_that_differs() -> None:
    spec = replace(catalogue()["u2netp"])
    right = Digests(spec.bytes or 0, spec.sha256, spec.md5)
    assert mismatch(right, spec) == ""
    assert "1 bytes instead of 4,574,861" in mismatch(replace(right, bytes=1), spec)
    assert "SHA-256" in mismatch(replace(right, sha256="f" * 64), spec)
    assert "MD5" in mismatch(replace(right, md5="f" * 32), spec)
    assert mismatch(replace(right, sha256="f" * 64), replace(spec, sha256="")) == ""  # then the md5 decides


def test_a_wrong_file_is_removed_and_nothing_installed(models: Path) -> None:
    models.mkdir()
    with in_catalogue(spec_for(tiny_network())) as entry:
        fresh = models / ".tiny.pull.url"
        fresh.write_bytes(b"something else")
        with pytest.raises(ModelError, match=r"not the model 'tiny': it has 14 bytes"):
            install(fresh, entry, models, source="http://example.invalid")
        assert not fresh.exists()
        assert list(installed(models)) == [*BUNDLED]


def test_a_crash_between_the_two_renames_costs_no_second_download(models: Path, monkeypatch: Any) -> None:
    models.mkdir()
    content = tiny_network()
    with in_catalogue(spec_for(content)) as entry:
        fresh = models / ".tiny.pull.url"
        fresh.write_bytes(content)

        def power_cut(*_args: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(store, "_write_record", power_cut)
            with pytest.raises(KeyboardInterrupt):
                install(fresh, entry, models, source="x")
        assert list(installed(models)) == [*BUNDLED]
        assert adopt(entry, models, accepted=False) == find_model("tiny", models)


def test_remove_frees_everything_and_refuses_the_bundled(mine: Path, models: Path) -> None:
    add(mine, models, like="u2netp", name="own")
    (models / ".own.pull.url").write_bytes(b"12345")
    (models / ".own.pull.npm.d").mkdir()
    assert remove("own", models) == mine.stat().st_size + 5
    assert [path.name for path in models.iterdir()] == [".own.lock"]
    with pytest.raises(ModelError, match="not installed"):
        remove("u2netp", models)
    with pytest.raises(ModelError, match="no model called"):
        remove("own", models)
    with pytest.raises(ModelError, match="part of cutoutd"):
        remove(STANDARD, models)


def test_the_lock_tells_that_it_waits(models: Path) -> None:
    said: list[str] = []
    with locked("a", models), locked("b", models, waiting=lambda: said.append("b")):
        assert said == []


def test_a_full_disk_is_named_before_anything_is_copied(mine: Path, models: Path, monkeypatch: Any) -> None:
    usage = store.shutil.disk_usage(mine.parent)

    def nearly_full(_path: Any) -> Any:
        return usage._replace(free=10)

    monkeypatch.setattr(store.shutil, "disk_usage", nearly_full)
    with pytest.raises(ModelError, match="disk is too full"):
        add(mine, models, like="u2netp")
    assert not list(models.glob("*.onnx"))
