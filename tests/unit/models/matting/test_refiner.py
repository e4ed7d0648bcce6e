"""The bundled refiner: the file is what its card says, and a missing one is named."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.config.errors import ModelError
from cutoutd.models.matting import refiner


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


def test_the_network_is_asked_for_less_where_the_edge_is_thin() -> None:
    y, x = np.mgrid[:200, :300]
    thin = np.abs(np.hypot(y - 100, x - 150) - 80) < 4
    wide = np.ones_like(thin)
    shape = (400, 600)

    def asked_for(band: NDArray[np.bool_]) -> int:
        """Work pixels that the network is run on."""
        return refiner.asked_for(refiner.asked_boxes(band, 2, shape), shape)

    assert asked_for(thin) < 0.6 * asked_for(wide)
    assert asked_for(wide) < 1.5 * 400 * 600
    assert asked_for(np.zeros_like(thin)) == 0


def test_an_alpha_is_carried_only_near_its_edge() -> None:
    rng = np.random.default_rng(5)
    work = rng.random((3, 200, 260), np.float32)
    settled = np.zeros((200, 260), np.float32)
    settled[60:120, 80:150] = 1.0
    planes, band = refiner.carried(work, settled, 6)
    assert (planes[3][~band] == settled[~band]).all()
    assert not planes[:3, ~band].any()
    assert band[60, 80]
    assert not band[90, 110]
    same, _ = refiner.carried(work, settled, 1)
    assert (same[3] == settled).all()
    assert not same[:3].any()
