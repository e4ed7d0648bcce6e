"""A point changes what it lies in and what looks like it around; a mask is read whatever its size and kind."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import Fixes
from cutoutd.models.decoding.pixels import TURNS
from cutoutd.models.networks.fixups import MASK_SIDE, Look, corrected, read_mask
from cutoutd.models.planes import Plane

WHOLE = (600, 800)  # height and width of the photo


def answer() -> Plane:
    """A subject on the left, a faint thing on the right, a bridge of haze between, and a hole in the subject."""
    alpha = np.zeros((60, 80), np.float32)
    alpha[10:50, 5:40] = 1.0
    alpha[25:35, 15:25] = 0.0  # the hole
    alpha[20:40, 60:75] = 0.7
    alpha[29:31, 40:60] = 0.15
    return alpha


def photo_of(alpha: Plane) -> NDArray[np.uint8]:
    """A photo in which what is seen at all is red on grey, and holes are grey."""
    rgb = np.full((*alpha.shape, 3), 120, np.uint8)
    rgb[alpha > 0] = (200, 30, 30)
    return rgb.repeat(10, axis=0).repeat(10, axis=1)


def blind(rgb: NDArray[np.uint8]) -> Plane:
    """A network that sees nothing, however closely it looks."""
    return np.zeros((8, 8), np.float32)


def fixed(
    alpha: Plane | None = None,
    part: tuple[int, int, int, int] = (0, 0, 800, 600),
    look: Look = blind,
    **points: tuple[str, ...],
) -> Plane:
    seen = answer() if alpha is None else alpha
    return corrected(seen, Fixes(**points), WHOLE, part, photo_of(seen), look)


def test_nothing_said_changes_nothing() -> None:
    assert np.array_equal(fixed(), answer())


def test_what_hangs_on_by_haze_is_removed_and_the_subject_stays() -> None:
    left = fixed(remove=("670,300",))
    assert not left[18:42, 58:77].any()
    assert np.array_equal(left[:, :38], answer()[:, :38])
    assert np.array_equal(left, fixed(remove=("83.75%,50%",)))


def test_the_faint_thing_is_kept_whole_and_the_background_is_not() -> None:
    left = fixed(keep=("670,300",))
    assert (left[20:40, 60:75] == 1.0).all()
    assert not left[:8].any()


def test_fainter_places_within_what_is_kept_come_with_it_and_a_real_hole_does_not() -> None:
    alpha = answer()
    alpha[22:38, 62:73] = 0.1
    alpha[28:32, 73:75] = 0.1  # open to the outside
    alpha[33:36, 64:67] = 0.0
    left = fixed(alpha, keep=("615,210",))
    within = np.ones((20, 13), np.bool_)
    within[13:16, 4:7] = False
    assert (left[20:40, 60:73][within] == 1.0).all()
    assert not left[33:36, 64:67].any()
    assert np.array_equal(left[:, :58], alpha[:, :58])
    assert not left[:18].any() or (left[:18] == alpha[:18]).all()


def test_a_hole_is_filled_and_the_open_background_is_never_taken_for_one() -> None:
    assert (fixed(keep=("200,300",))[10:50, 5:40] == 1.0).all()
    flat = np.full((*WHOLE, 3), 120, np.uint8)
    with pytest.raises(PhotoError, match="sees nothing") as caught:
        corrected(answer(), Fixes(keep=("450,30",)), WHOLE, (0, 0, 800, 600), flat, blind)
    assert caught.value.reason is Reason.CANNOT_RENDER


def test_what_is_removed_already_stays_so() -> None:
    assert np.array_equal(fixed(remove=("450,30",)) >= 0.5, answer() >= 0.5)


def test_points_count_in_the_whole_photo_also_where_a_part_is_looked_at() -> None:
    whole, part, rgb = (1200, 1600), (400, 200, 800, 600), photo_of(answer())
    left = corrected(answer(), Fixes(remove=("1070,500",)), whole, part, rgb, blind)
    assert np.array_equal(left, fixed(remove=("670,300",)))
    with pytest.raises(PhotoError, match="outside"):
        corrected(answer(), Fixes(remove=("100,100",)), whole, part, rgb, blind)
    with pytest.raises(PhotoError, match="outside"):
        fixed(keep=("801,20",))


def test_what_no_answer_shows_is_found_by_a_closer_look() -> None:
    """A ball on a table of any colours, which the network did not take for a subject."""
    rgb = np.random.default_rng(1).integers(0, 255, (*WHOLE, 3)).astype(np.uint8)
    rgb[400:500, 600:700] = (0, 0, 250)
    shown: list[tuple[int, ...]] = []

    def look(seen: NDArray[np.uint8]) -> Plane:
        """Sees the ball where it fills enough of what is shown."""
        shown.append(seen.shape)
        ball: NDArray[np.bool_] = (seen == np.array((0, 0, 250), np.uint8)).all(axis=2)
        return ball.astype(np.float32) if ball.mean() > 0.2 else np.zeros(ball.shape, np.float32)

    left = corrected(answer(), Fixes(keep=("650,450",)), WHOLE, (0, 0, 800, 600), rgb, look)
    assert shown == [(200, 200, 3)]
    assert (left[41:49, 61:69] == 1.0).all()
    assert np.array_equal(left[:, :55], answer()[:, :55])


def test_a_look_is_at_a_square_within_the_photo_the_closest_that_sees_something() -> None:
    shown: list[tuple[int, ...]] = []

    def look(seen: NDArray[np.uint8]) -> Plane:
        """Sees all of what is shown once it is large enough."""
        shown.append(seen.shape)
        return np.full((4, 4), 0.95 if seen.shape[1] > 400 else 0.0, np.float32)

    left = fixed(look=look, keep=("795,5",))
    assert shown == [(200, 200, 3), (320, 320, 3), (480, 480, 3)]
    assert (left[:40, 45:] >= 0.9).all()


def test_what_network_and_answer_do_not_part_goes_as_far_as_its_colours_reach() -> None:
    """A hill on a car's roof, as sure as the car: the one point said nothing about that."""
    alpha, rgb = np.zeros((60, 80), np.float32), np.full((*WHOLE, 3), 240, np.uint8)
    alpha[10:50, 5:70] = 1.0
    rgb[150:500, 50:700], rgb[100:150, 50:700] = 20, 120
    left = corrected(alpha, Fixes(remove=("350,120",)), WHOLE, (0, 0, 800, 600), rgb, blind)
    assert left[10:15, 15:55].max() < 0.5
    assert left[17:50, 6:69].min() > 0.5  # a point is a disc of three samples


def test_a_point_takes_away_the_part_that_is_less_sure_and_leaves_the_rest() -> None:
    rgb = np.random.default_rng(2).integers(0, 255, (*WHOLE, 3)).astype(np.uint8)
    alpha = np.zeros((60, 80), np.float32)
    alpha[10:50, 5:40], alpha[10:50, 40:70] = 1.0, 0.7
    left = corrected(alpha, Fixes(remove=("550,300",)), WHOLE, (0, 0, 800, 600), rgb, blind)
    assert left[30, 55] == 0
    assert left.sum() > 0.7 * alpha.sum()


def joined() -> tuple[Plane, NDArray[np.uint8]]:
    """A grey subject that holds a red box against itself, equally sure of both; the photo that belongs to it."""
    alpha = np.zeros((60, 80), np.float32)
    alpha[10:50, 5:70] = 1.0
    photo = np.full((*WHOLE, 3), 120, np.uint8)
    photo[100:500, 450:700] = (200, 30, 30)
    return alpha, photo


def test_what_is_held_close_goes_alone_once_it_is_said_what_stays() -> None:
    alpha, photo = joined()
    left = corrected(
        alpha, Fixes(keep=("200,300",), remove=("600,300",)), WHOLE, (0, 0, 800, 600), photo, blind
    )
    assert (left[10:50, 5:44] >= 0.9).all()
    assert left[:, 46:].max() < 0.1


def test_two_things_that_touch_part_at_their_neck_without_a_word() -> None:
    alpha, photo = joined()
    alpha[10:27, 45:55] = alpha[33:50, 45:55] = 0.0
    left = corrected(alpha, Fixes(remove=("650,300",)), WHOLE, (0, 0, 800, 600), photo, blind)
    assert (left[10:50, 5:40] >= 0.9).all()
    assert left[10:50, 56:].max() < 0.1


def test_a_thing_that_was_narrowly_missed_is_meant() -> None:
    assert not fixed(remove=("670,180",))[18:42, 58:77].any()


def picture(mode: str, size: tuple[int, int] = (400, 300), kind: str = "PNG") -> bytes:
    grey = Image.new("L", size)
    grey.paste(255, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    made: Any = grey
    if mode == "RGBA":
        made = Image.new("RGB", size, "red")
        made.putalpha(grey)
    elif mode == "I;16":
        made = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    elif mode != "L":
        made = grey.convert(mode)
    out = io.BytesIO()
    made.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGBA", "RGB", "I;16", "1", "LA", "P"])
def test_masks_of_every_kind_say_the_same(mode: str) -> None:
    alpha = read_mask(picture(mode), (1500, 2000))
    assert alpha.shape == (300, 400)
    assert (alpha[80:145, 105:195] == 1.0).all()
    assert not alpha[:70].any()
    assert not alpha[:, 210:].any()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_counts_as_it_is_seen(kind: str, orientation: int) -> None:
    upright = Image.open(io.BytesIO(picture("L")))
    facts = Image.Exif()
    facts[0x0112] = orientation
    back = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright if orientation == 1 else upright.transpose(TURNS[back])
    out = io.BytesIO()
    stored.save(out, kind, exif=facts, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.abs(read_mask(out.getvalue(), (1500, 2000)) - read_mask(picture("L"), (1500, 2000))).max() < 0.1


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_a_mask_of_floats_is_read(white: float) -> None:
    grey = np.asarray(Image.open(io.BytesIO(picture("L"))), np.float32) / 255 * white
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "TIFF")
    assert (read_mask(out.getvalue(), (1500, 2000)) == read_mask(picture("L"), (1500, 2000))).all()


def test_a_mask_of_the_photos_own_size_comes_down_to_what_the_edge_engine_takes() -> None:
    assert max(read_mask(picture("L", (4000, 3000)), (3000, 4000)).shape) == MASK_SIDE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no picture", "cannot be read"),
        (picture("L")[:200], "cannot be read"),
        (b"", "cannot be read"),
        (picture("L", (300, 400)), "another shape"),
    ],
    ids=["text", "torn", "empty", "upright"],
)
def test_what_is_no_mask_of_this_photo_is_said(data: bytes, why: str) -> None:
    with pytest.raises(PhotoError, match=why) as caught:
        read_mask(data, (1500, 2000))
    assert caught.value.reason is Reason.CANNOT_RENDER


def test_an_empty_mask_is_no_subject() -> None:
    out = io.BytesIO()
    Image.new("L", (40, 30)).save(out, "PNG")
    with pytest.raises(PhotoError, match="shows no subject"):
        read_mask(out.getvalue(), (300, 400))
