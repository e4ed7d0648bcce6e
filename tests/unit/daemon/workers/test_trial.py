"""Networks tried and measured in a sandboxed worker of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.models import tiny_spec

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.daemon.workers import trial
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.trial import Trial, measure, probe


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


def _read(trial_: Trial) -> None:
    Path(str(trial_.providers)).read_bytes()
