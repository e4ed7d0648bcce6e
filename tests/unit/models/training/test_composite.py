from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.training import composite
from cutoutd.models.training.augment import Random
from cutoutd.models.training.dataset import Pair, Pixels

SIZE = 160
Edge = Callable[[Random, Pixels, composite.Plane], composite.Subject]


def disc(radius: float = 40, size: int = SIZE) -> composite.Plane:
    yy, xx = np.mgrid[0:size, 0:size]
    return ((yy - size / 2) ** 2 + (xx - size / 2) ** 2 < radius**2).astype(np.float32)


def red(size: int = SIZE) -> Pixels:
    return np.broadcast_to(np.array([20, 20, 220], np.uint8), (size, size, 3)).copy()


def pair(touching: bool = False) -> Pair:
    rng = np.random.default_rng(9)
    photo = rng.integers(0, 255, (200, 260, 3)).astype(np.uint8)
    mask = np.zeros((200, 260), np.uint8)
    mask[60 : 200 if touching else 150, 90:170] = 255
    return Pair("duts", "box", photo, mask)


@pytest.mark.parametrize("edge", [composite.hard_edge, composite.defocused_edge, composite.strands_edge])
def test_edges_are_premultiplied_exactly(edge: Edge) -> None:
    """A red subject over red ground must stay red at every alpha: the identity of a right composite."""
    rng = np.random.default_rng(1)
    subject = edge(rng, red(), disc())
    assert subject.alpha.min() >= 0
    assert subject.alpha.max() <= 1 + 1e-5
    assert (subject.colour <= 255 * 1.001 * subject.alpha[..., None] + 1e-3).all()
    if edge is not composite.strands_edge:  # strands vary in tone by design
        laid = composite.lay_over(subject, red().astype(np.float32))
        assert np.abs(laid.astype(int) - red()).max() <= 1


def test_strands_reach_out_of_the_subject_and_are_thin() -> None:
    rng = np.random.default_rng(2)
    reached = [composite.strands_edge(rng, red(), disc()).alpha for _ in range(6)]
    outside = disc(43) == 0
    assert max(float(alpha[outside].max()) for alpha in reached) > 0.2
    assert all(float(alpha[outside].mean()) < 0.2 for alpha in reached)
    assert all(alpha[SIZE // 2, SIZE // 2] > 0.99 for alpha in reached)


def test_fur_grows_outward_on_every_side() -> None:
    """The outline's normal must point away from the subject, or strands would grow into it."""
    total = np.zeros((SIZE, SIZE), np.float32)
    rng = np.random.default_rng(3)
    for _ in range(40):
        total += np.maximum(composite.strands_edge(rng, red(), disc()).alpha - disc(42), 0)
    ring = (disc(60) - disc(43)) > 0
    half = SIZE // 2
    up, down = total[:half][ring[:half]].sum(), total[half:][ring[half:]].sum()
    left, right = total[:, :half][ring[:, :half]].sum(), total[:, half:][ring[:, half:]].sum()
    assert min(up, down, left, right) > 0.1 * total[ring].sum()


def test_defocus_is_softer_than_hard() -> None:
    rng = np.random.default_rng(4)
    soft = [
        ((s := composite.defocused_edge(rng, red(), disc()).alpha) > 0.05).sum() - (s > 0.95).sum()
        for _ in range(8)
    ]
    hard = [
        ((s := composite.hard_edge(rng, red(), disc()).alpha) > 0.05).sum() - (s > 0.95).sum()
        for _ in range(8)
    ]
    assert np.mean(soft) > 1.5 * np.mean(hard)


def test_strands_without_an_outline_fall_back() -> None:
    subject = composite.strands_edge(np.random.default_rng(0), red(), np.zeros((SIZE, SIZE), np.float32))
    assert subject.alpha.max() == 0


def test_touched_sides() -> None:
    assert composite.touched_sides(pair().mask) == (False, False, False, False)
    assert composite.touched_sides(pair(touching=True).mask) == (False, False, False, True)


@pytest.mark.parametrize(
    "touched",
    [
        (True, False, False, False),
        (False, True, False, False),
        (False, False, True, False),
        (False, False, False, True),
        (True, False, True, False),
        (False, False, True, True),
    ],
)
def test_cut_off_sides_never_show_inside_the_frame(touched: tuple[bool, bool, bool, bool]) -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        scale, (x, y) = composite.placement(rng, SIZE, 80, 120, touched)
        left, top, right, bottom = x - 40 * scale, y - 60 * scale, x + 40 * scale, y + 60 * scale
        assert not touched[0] or left <= 1e-6
        assert not touched[1] or top <= 1e-6
        assert not touched[2] or right >= SIZE - 1e-6
        assert not touched[3] or bottom >= SIZE - 1e-6


def test_a_composite_is_its_own_truth() -> None:
    rng = np.random.default_rng(6)
    rooms = [rng.integers(0, 255, (180, 240, 3)).astype(np.uint8)]
    for k in range(25):
        made = composite.composite(rng, pair(touching=k % 2 == 0), SIZE, rooms, pair())
        if made is None:
            continue
        assert made.photo.shape == (SIZE, SIZE, 3)
        assert made.alpha.shape == made.valid.shape == (SIZE, SIZE)
        assert made.valid.all()
        assert made.alpha.mean() / 255 > composite.LEAST_COVER / 2


def test_a_pair_without_subject_makes_no_composite() -> None:
    empty = Pair("duts", "none", pair().photo, np.zeros((200, 260), np.uint8))
    assert composite.composite(np.random.default_rng(0), empty, SIZE, [], pair()) is None


def test_empty_scenes_are_empty() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        scene = composite.empty_scene(rng, SIZE, [], pair())
        assert scene.alpha.max() == 0
        assert scene.photo.shape == (SIZE, SIZE, 3)


def test_empty_patches_never_show_the_subject() -> None:
    rng = np.random.default_rng(8)
    photo = np.zeros((300, 400, 3), np.uint8)
    mask = np.zeros((300, 400), np.uint8)
    photo[:, 300:], mask[:, 300:] = 255, 255
    found = [composite.empty_patch(rng, Pair("duts", "half", photo, mask)) for _ in range(20)]
    assert any(patch is not None for patch in found)
    assert all(patch is None or patch.max() == 0 for patch in found)


def test_shadows_only_darken() -> None:
    ground = np.full((SIZE, SIZE, 3), 200, np.float32)
    shadowed = composite.shadowed(np.random.default_rng(9), ground, disc())
    assert shadowed.max() <= 200
    assert shadowed.min() < 190
