from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.models import tiny_spec

from cutoutd.models.networks.bench import made_up_photo, measure

pytestmark = pytest.mark.slow


def test_figures_are_measured_in_the_process_that_asks(tmp_path: Path) -> None:
    figures = measure(tiny_spec(tmp_path / "t.onnx", 64), threads=1, runs=1, shape=(300, 400))
    assert (figures.model, figures.provider, figures.threads) == ("tiny", "cpu", 1)
    assert figures.first_ms > 0


def test_the_made_up_photo_has_the_shape_asked_for() -> None:
    photo = made_up_photo((1500, 700))
    assert photo.shape == (1500, 700, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 10
