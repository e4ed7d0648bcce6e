# pyright: reportPrivateUsage=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.models import tiny_spec

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.networks import providers
from cutoutd.models.networks.catalog import catalogue, resolve
from cutoutd.models.networks.providers import (
    PROVIDERS,
    available,
    choose,
    choose_for,
    engine_cache,
    read_verified,
    warm_cache,
)
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.onnx_runtime import runtime

PHOTO = np.random.default_rng(2).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_the_processor_is_always_there_and_comes_last() -> None:
    assert available()[-1] == "cpu"


def test_every_provider_is_accounted_for() -> None:
    tried, why_not = choose("auto")
    assert sorted([*tried, *(reason.partition(":")[0] for reason in why_not)]) == sorted(PROVIDERS)


def test_a_network_in_eight_bits_goes_past_what_is_less_exact_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(providers, "available", lambda: ("cuda", "openvino", "cpu"))
    bundled, other = resolve("standard", Path("/nowhere")), catalogue()["u2netp"]
    tried, why_not = choose_for(bundled, "auto")
    assert tried == ("cuda", "cpu")
    assert "openvino: only used when named, because it is less exact in eight bits" in why_not
    assert choose_for(other, "auto")[0] == ("cuda", "openvino", "cpu")
    assert choose_for(bundled, ("openvino", "cpu"))[0] == ("openvino", "cpu")


@pytest.mark.slow
def test_auto_says_what_runs_and_why_not_the_others() -> None:
    segmenter = Segmenter(resolve("fast", Path("/nowhere")), threads=1)
    said = {reason.partition(":")[0] for reason in segmenter.why_not}
    assert segmenter.provider in PROVIDERS
    assert said == set(PROVIDERS) - {segmenter.provider}


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name not in available()])
def test_a_named_provider_that_is_missing_is_an_error_not_a_fallback(name: str) -> None:
    with pytest.raises(EngineError, match=f"'{name}' was asked for, but .* was built without it"):
        Segmenter(resolve("fast", Path("/nowhere")), providers=(name, "cpu"), threads=1)


def test_an_unknown_or_empty_choice_is_an_error() -> None:
    with pytest.raises(EngineError, match="no provider called 'gpu'"):
        choose(("gpu",))
    with pytest.raises(EngineError, match="No provider is named"):
        choose(())


class _Session:
    """An inference session whose accelerator's libraries did not load: ONNX Runtime only logs that."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def _broken_session(*_args: Any, **_options: Any) -> _Session:
    return _Session()


def test_a_provider_whose_libraries_do_not_load_is_noticed(tmp_path: Path, monkeypatch: Any) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    ort = runtime()
    monkeypatch.setattr(
        ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(ort, "InferenceSession", _broken_session)
    with pytest.raises(EngineError, match="'cuda' does not start: its driver or libraries did not load"):
        Segmenter(spec, providers=("cuda",), threads=1)


def test_auto_goes_on_to_the_processor_and_says_why(tmp_path: Path, monkeypatch: Any) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    ort = runtime()
    real = ort.InferenceSession
    monkeypatch.setattr(
        ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )

    def session(model: Any, options: Any, providers: list[Any], **kw: Any) -> Any:
        return _Session() if len(providers) > 1 else real(model, options, providers=providers, **kw)

    monkeypatch.setattr(ort, "InferenceSession", session)
    segmenter = Segmenter(spec, threads=1)
    assert segmenter.provider == "cpu"
    assert any(reason.startswith("cuda: The provider 'cuda' does not start") for reason in segmenter.why_not)


def test_memory_that_runs_out_while_loading_is_no_damaged_file(tmp_path: Path, monkeypatch: Any) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")

    def session(*_args: Any, **_options: Any) -> Any:
        raise RuntimeError("Exception during initialization: std::bad_alloc")

    monkeypatch.setattr(runtime(), "InferenceSession", session)
    with pytest.raises(MemoryError, match="to load the model 'tiny'"):
        Segmenter(spec, providers=("cpu",), threads=1)
    with pytest.raises(MemoryError, match="to load the model 'tiny'"):
        Segmenter(spec, threads=1)


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    from tests.support.models import spec_for

    junk = spec_for(b"this is no network" * 100, tmp_path / "junk.onnx")
    with pytest.raises(ModelError, match="does not load"):
        Segmenter(junk, threads=1)
    assert read_verified(spec) == (tmp_path / "t.onnx").read_bytes()


def test_a_file_too_large_to_hold_twice_is_digested_in_pieces(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(providers, "LOAD_BYTES_UP_TO", 100)
    spec = tiny_spec(tmp_path / "t.onnx")
    assert read_verified(spec) == str(spec.path)
    assert Segmenter(spec, threads=1).alpha(PHOTO).shape == (320, 320)
    (tmp_path / "t.onnx").write_bytes(b"x" * 200)
    with pytest.raises(ModelError, match="damaged or exchanged"):
        Segmenter(spec, threads=1)


@pytest.mark.slow
def test_a_prepared_graph_changes_no_bit_and_a_damaged_one_is_not_used(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(providers, "CACHE_FROM_BYTES", 0)
    spec, cache = resolve("fast", Path("/nowhere")), tmp_path / "cache"
    plain = Segmenter(spec, providers=("cpu",), threads=1).alpha(PHOTO)
    assert warm_cache(spec, ("cpu",), 1, cache)
    assert not warm_cache(spec, ("cpu",), 1, cache)
    (graph,) = cache.glob("graph-*.onnx")
    assert not list(cache.glob(".warm-*"))
    assert np.array_equal(Segmenter(spec, providers=("cpu",), threads=1, cache_dir=cache).alpha(PHOTO), plain)
    graph.write_bytes(b"damaged")
    assert np.array_equal(Segmenter(spec, providers=("cpu",), threads=1, cache_dir=cache).alpha(PHOTO), plain)
    assert warm_cache(spec, ("cpu",), 1, cache)


def test_small_models_are_not_prepared(tmp_path: Path) -> None:
    assert not warm_cache(resolve("fast", Path("/nowhere")), ("cpu",), 1, tmp_path)
    assert engine_cache(resolve("fast", Path("/nowhere")), "openvino", tmp_path) is None


def test_threads_do_not_spin_and_number_what_was_asked(tmp_path: Path) -> None:
    options = providers._session_options(tiny_spec(tmp_path / "t.onnx"), 3)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
