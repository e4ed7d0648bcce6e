"""A network is tried before it sees a photo: what does not answer with an alpha is named, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from tests.support.models import tiny_spec

from cutoutd.config.errors import ModelError
from cutoutd.models.networks.catalog import STANDARD, find_model
from cutoutd.models.networks.probe import made_up_picture, probe


@pytest.mark.slow
def test_the_bundled_network_passes(tmp_path: Path) -> None:
    probe(find_model(STANDARD, tmp_path))


def test_an_alpha_passes_and_logits_do_not(tmp_path: Path) -> None:
    probe(tiny_spec(tmp_path / "fits.onnx", 64))
    with pytest.raises(ModelError, match="look like logits") as caught:
        probe(tiny_spec(tmp_path / "logits.onnx", 64, network={"bias": 7.0, "sigmoid": False}))
    assert "--activation sigmoid" in caught.value.fix


def test_a_description_that_asks_for_logits_is_compared_with_the_answer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="described as answering with logits") as caught:
        probe(replace(tiny_spec(tmp_path / "t.onnx", 64), activation="sigmoid"))
    assert "--activation none" in caught.value.fix
    probe(
        replace(
            tiny_spec(tmp_path / "l.onnx", 64, network={"bias": 7.0, "sigmoid": False}), activation="sigmoid"
        )
    )


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", 64)
    (tmp_path / "t.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError) as caught:
        probe(spec)
    assert "t.onnx" in str(caught.value)


def test_the_picture_is_always_the_same_and_has_something_to_see() -> None:
    one, other = made_up_picture(64), made_up_picture(64)
    assert (one == other).all()
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert one[32, 32].mean() > one[2, 2].mean() + 50
