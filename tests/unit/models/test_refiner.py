"""The bundled refiner: the file is what its card says, and a missing one is named."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from cutoutd.config.errors import ModelError
from cutoutd.models import refiner


def test_the_card_describes_the_file() -> None:
    card = tomllib.loads(refiner.REFINER_FILE.with_suffix(".toml").read_text("utf-8"))
    payload = refiner.REFINER_FILE.read_bytes()
    assert card["bytes"] == len(payload)
    assert card["sha256"] == hashlib.sha256(payload).hexdigest()


@pytest.mark.parametrize("content", [None, b"not a network"])
def test_a_missing_or_damaged_network_is_a_model_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "refiner.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="refiner"):
        refiner.session(1, path)


def test_any_tile_size_runs_and_stays_in_range() -> None:
    network = refiner.session(1)
    rng = np.random.default_rng(0)
    for h, w in ((4, 4), (5, 7), (37, 90)):
        pixels, told = rng.random((3, h, w), np.float32), rng.random((9, h, w), np.float32)
        alpha = refiner.run(network, pixels, told)
        assert alpha.shape == (h, w)
        assert alpha.min() >= 0.0
        assert alpha.max() <= 1.0
