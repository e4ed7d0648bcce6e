"""Networks tried and measured in a sandboxed worker of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.models import tiny_spec

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.daemon.workers import trial
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.trial import Trial, measure, probe
from cutoutd.models.networks import providers
from cutoutd.models.onnx_runtime import runtime

pytestmark = pytest.mark.slow


def test_figures_come_from_a_process_of_their_own(tmp_path: Path) -> None:
    figures = measure(tiny_spec(tmp_path / "t.onnx", 64), threads=1, runs=2, shape=(300, 400))
    assert (figures.model, figures.provider, figures.threads) == ("tiny", "cpu", 1)
    assert figures.load_ms > 0
    assert figures.first_ms > 0
    assert figures.photo_ms > 0
    assert figures.cpu_ms > 0
    assert figures.peak_mb >= figures.resting_mb > 0


def test_an_error_in_the_process_is_the_same_error_here(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    (tmp_path / "t.onnx").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        measure(spec, threads=1, shape=(10, 10))
    with pytest.raises(ModelError, match="cannot be read"):
        probe(spec)


def _die(_trial: Trial) -> None:
    import os

    os._exit(9)


def test_a_process_that_dies_is_a_sentence(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    with pytest.raises(EngineError, match="tried the model 'tiny' died"):
        trial.run_alone(Task(_die), Trial(spec, ("cpu",), 1, 0, None, (10, 10)))


def test_a_network_that_fits_passes_and_the_process_can_reach_nothing(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", 64)
    probe(spec)
    (tmp_path / "other").write_text("")
    with pytest.raises(ModelError, match="ermission"):
        trial.run_alone(Task(_read), Trial(spec, str(tmp_path / "other"), 1, 0, None, (10, 10)))


def test_a_cache_is_prepared_by_a_process_that_writes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "CACHE_FROM_BYTES", 0)
    spec, cache = tiny_spec(tmp_path / "t.onnx", 64), tmp_path / "cache"

    def nothing_here(*_arguments: object, **_options: object) -> None:
        raise AssertionError("an untrusted file was loaded by this very process")

    monkeypatch.setattr(runtime(), "InferenceSession", nothing_here)
    assert providers.warm_cache(spec, ("cpu",), 1, cache, trial.prepare)
    assert not providers.warm_cache(spec, ("cpu",), 1, cache, trial.prepare)
    (graph,) = cache.glob("graph-*.onnx")
    assert graph.stat().st_size > 100
    assert not list(cache.glob(".warm-*"))
    given = Trial(spec, str(cache / "other"), 1, 0, None, (10, 10))
    with pytest.raises(ModelError, match="ermission"):
        trial.run_alone(Task(_write), given, write=(tmp_path / "elsewhere",))


def _write(trial_: Trial) -> None:
    Path(str(trial_.providers)).write_bytes(b"")


def test_a_network_that_cannot_be_prepared_leaves_no_half_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "CACHE_FROM_BYTES", 0)
    spec, cache = tiny_spec(tmp_path / "t.onnx", 64), tmp_path / "cache"
    (tmp_path / "t.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError):
        providers.warm_cache(spec, ("cpu",), 1, cache, trial.prepare)
    assert list(cache.iterdir()) == []


def _read(trial_: Trial) -> None:
    Path(str(trial_.providers)).read_bytes()
