from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.models import tiny_spec

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.networks import bench
from cutoutd.models.networks.bench import made_up_photo, measure

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


def _die(*_arguments: Any) -> None:
    import os

    os._exit(9)


def test_a_process_that_dies_is_a_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(bench, "_measure_here", _die)
    with pytest.raises(EngineError, match="died, probably for want of memory"):
        measure(tiny_spec(tmp_path / "t.onnx"), threads=1, shape=(10, 10))


def test_the_made_up_photo_has_the_shape_asked_for() -> None:
    photo = made_up_photo((1500, 700))
    assert photo.shape == (1500, 700, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 10
