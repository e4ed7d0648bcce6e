from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.training import augment
from cutoutd.models.training.dataset import Pair


def ball(source: str = "duts", centre: tuple[int, int] = (120, 150), radius: int = 60) -> Pair:
    """A red ball, mask and colour agreeing pixel by pixel, on grey noise."""
    rng = np.random.default_rng(5)
    yy, xx = np.mgrid[0:240, 0:320]
    inside = (yy - centre[0]) ** 2 + (xx - centre[1]) ** 2 < radius**2
    photo = rng.integers(90, 110, (240, 320, 3)).astype(np.uint8)
    photo[inside] = (10, 10, 230)
    return Pair(source, "ball", photo, np.where(inside, 255, 0).astype(np.uint8))


def test_about_carries_the_point() -> None:
    matrix = augment.about(augment.turn(0.3, 2.0, -1.5), (17.0, 40.0), (100.0, 90.0))
    assert np.allclose(matrix @ np.array([17.0, 40.0, 1.0]), [100.0, 90.0])


def test_turn_keeps_areas_scaled() -> None:
    assert np.isclose(abs(np.linalg.det(augment.turn(1.1, -2.0, 3.0))), 6.0)


def test_bounding_box_is_exclusive_at_the_end() -> None:
    mask = np.zeros((50, 60), np.uint8)
    mask[10:30, 20:45] = 255
    assert augment.bounding_box(mask) == (20, 10, 45, 30)
    assert augment.bounding_box(np.zeros((50, 60), np.uint8)) is None


def test_inside_keeps_the_window_on_the_photo() -> None:
    zoomed = augment.turn(0.0, 2.0, 2.0)  # a window of 160 x 160 photo pixels for 320
    assert augment.inside(np.array([0.0, 500.0]), zoomed, (240, 320), 320) == (80.0, 160.0)
    wide = augment.turn(0.0, 0.5, 0.5)  # larger than the photo: the photo's middle
    assert augment.inside(np.array([0.0, 0.0]), wide, (240, 320), 320) == (160.0, 120.0)


@pytest.mark.parametrize("close_up", [False, True])
def test_photo_and_mask_move_together(close_up: bool) -> None:
    rng = np.random.default_rng(1)
    pair = ball()
    for _ in range(20):
        matrix = augment.close_up_matrix(rng, pair, 160) if close_up else augment.plain_matrix(rng, pair, 160)
        assert matrix is not None
        photo, mask = augment.warp(pair.photo, matrix, 160), augment.warp(pair.mask, matrix, 160)
        red = (photo[..., 2].astype(int) - photo[..., 0]) > 110
        assert (red != (mask > 127)).mean() < 0.01


def test_close_ups_are_filled_but_not_full() -> None:
    rng = np.random.default_rng(2)
    low, high = augment.CLOSE_UP_COVER
    plain, close = [], []
    for _ in range(30):
        close.append((augment.view(rng, ball(), 128, close_up=True).alpha > 127).mean())
        plain.append((augment.view(rng, ball(), 128).alpha > 127).mean())
    assert all(low - 0.02 < cover < high + 0.02 for cover in close)
    assert np.mean(close) > 2 * np.mean(plain)


def test_a_mask_without_subject_gives_a_plain_view() -> None:
    pair = ball()
    empty = Pair("duts", "empty", pair.photo, np.zeros_like(pair.mask))
    assert augment.close_up_matrix(np.random.default_rng(0), empty, 64) is None
    assert augment.view(np.random.default_rng(0), empty, 64, close_up=True).alpha.max() == 0


def test_trimap_borders_are_not_judged_and_never_become_half_alpha() -> None:
    pair = ball("pets")
    border = pair.mask.copy()
    border[:, 148:152] = 128
    trimap = Pair("pets", "ball", pair.photo, border)
    sample = augment.view(np.random.default_rng(3), trimap, 160)
    assert set(np.unique(sample.alpha)) <= {0, 255}
    assert 0 < (sample.valid == 0).sum() < sample.valid.size * 0.2


def test_equal_seeds_give_equal_samples() -> None:
    first, again, other = (augment.view(np.random.default_rng(s), ball(), 96) for s in (7, 7, 8))
    assert np.array_equal(first.photo, again.photo)
    assert not np.array_equal(first.photo, other.photo)


def test_photometric_keeps_shape_and_type() -> None:
    rng = np.random.default_rng(4)
    image = ball().photo
    for _ in range(40):
        changed = augment.photometric(rng, image)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
