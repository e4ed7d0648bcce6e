"""Which photos have a mask, and how both are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutoutd.config.errors import UsageError
from cutoutd.models.evaluation.cases import find_cases, read_mask, resized


def test_photos_and_masks_in_one_folder(tmp_path: Path) -> None:
    for name in ("a.webp", "a.png", "b.webp", "b.png", "lonely.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    cases = find_cases(tmp_path, tmp_path)
    assert [(c.photo.name, c.mask.name, c.folder) for c in cases] == [
        ("a.webp", "a.png", ""),
        ("b.webp", "b.png", ""),
    ]


def test_a_mask_with_transparency_is_its_alpha(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 255, 255, 77)).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png") == 77).all()


def test_folders_without_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No photo"):
        find_cases(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_cases(tmp_path / "gone", tmp_path)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(b"not a picture")
    with pytest.raises(UsageError, match="cannot be read"):
        read_mask(tmp_path / "m.png")


def test_a_mask_is_brought_to_the_photos_size() -> None:
    alpha = np.zeros((4, 8), np.float32)
    alpha[:, 4:] = 1
    larger = resized(alpha, 8, 16)
    assert larger.shape == (8, 16)
    assert (larger[:, :6] == 0).all()
    assert (larger[:, 10:] == 1).all()
