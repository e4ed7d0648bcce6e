"""Crops for comparing networks: filled by their subject, with the mask that belongs to them, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.training.close_ups import SIDE, cut  # noqa: E402


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Bright subjects on a dark ground in two sources, one of which has trimaps."""
    for source in ("duts", "pets"):
        folder = tmp_path / "data" / "segmentation" / source
        folder.mkdir(parents=True)
        for k in range(6):
            mask = np.zeros((150, 210), np.uint8)
            mask[30:120, 60:150] = 255
            photo = np.repeat(mask[..., None] // 2 + 40, 3, axis=2)
            cv2.imwrite(str(folder / f"{k}.png"), mask)
            cv2.imwrite(str(folder / f"{k}.webp"), photo, [cv2.IMWRITE_WEBP_QUALITY, 101])
    return tmp_path / "data"


def test_crops_are_filled_by_their_subject_and_their_masks_fit(data: Path, tmp_path: Path) -> None:
    names = [f"{source}/{k}" for source in ("duts", "pets") for k in range(6)]
    count = cut(data, names, tmp_path / "a")
    crops = sorted((tmp_path / "a").glob("*/*.jpg"))
    assert 0 < len(crops) == count <= 6, "trimaps are left out"
    for path in crops:
        photo, mask = (
            cv2.imread(str(path), cv2.IMREAD_GRAYSCALE),
            cv2.imread(str(path.with_suffix(".png")), 0),
        )
        assert photo.shape == mask.shape == (SIDE, SIDE)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.mean() / 255 > 0.3
        assert np.mean((photo > 100) == (mask > 127)) > 0.98


def test_the_same_crops_come_out_again(data: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        cut(data, ["duts/1", "duts/4"], tmp_path / folder)
    for path in (tmp_path / "a").glob("*/*"):
        assert path.read_bytes() == (tmp_path / "b" / path.parent.name / path.name).read_bytes()
