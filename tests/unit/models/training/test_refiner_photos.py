"""Whole photos become scenes of their own size where the answer has the mask's shape; held-out ones never do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.training import refiner_photos  # noqa: E402
from cutoutd.models.training.dataset import held_out, listing  # noqa: E402
from cutoutd.models.training.refiner_photos import SIDE, scene  # noqa: E402

MASK = cv2.circle(np.zeros((240, 320), np.uint8), (150, 120), 80, 255, -1, cv2.LINE_AA)
PHOTO = np.where(MASK[..., None] > 127, (200, 40, 40), (90, 120, 90)).astype(np.uint8)


def see(photo: np.ndarray) -> np.ndarray:
    """As a network answers: at its own size, blurred, a little aside."""
    assert photo.shape == PHOTO.shape
    answer = cv2.resize(np.roll(MASK, 2, 1), (320, 320), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(answer, (0, 0), 3).astype(np.float32) / 255


def test_a_scene_is_a_photo_with_its_answer_and_its_mask() -> None:
    found = scene(PHOTO, MASK, see)
    assert found is not None
    photo, truth, hints = found
    assert (photo.shape, truth.shape, hints.shape) == ((SIDE, SIDE, 3), (SIDE, SIDE), (9, SIDE, SIDE))
    assert {each.dtype for each in found} == {np.dtype(np.uint8)}
    away = np.abs(hints[0].astype(int) - truth)
    assert 1 < away.mean() < 12, "the answer is blurred and lies aside"
    assert photo[truth == 255].mean(0) == pytest.approx((200, 40, 40), abs=3)


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_an_answer_of_another_shape_teaches_no_outline(answer: float) -> None:
    assert scene(PHOTO, MASK, lambda _: np.full((320, 320), answer, np.float32)) is None
    assert scene(PHOTO, np.zeros_like(MASK), see) is None


def test_held_out_photos_and_other_sources_are_left_out(tmp_path: Path) -> None:
    for source in ("duts", "human", "caltech"):
        folder = tmp_path / "segmentation" / source
        folder.mkdir(parents=True)
        for number in range(60):
            (folder / f"{number:02}.png").touch()
    entries = refiner_photos.entries_of(tmp_path)
    assert {source for source, _, _ in entries} == {"duts", "human"}
    kept_back = [one for k, one in enumerate(listing(tmp_path)) if held_out(k) and one[0] != "caltech"]
    assert kept_back
    assert len(entries) == 120 - len(kept_back)
    assert not set(entries) & set(kept_back)
    assert entries == refiner_photos.entries_of(tmp_path) != sorted(entries)
