"""Where the subject is looked for, what is shown to the network, and what it means that there is none."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import Fixes
from cutoutd.config.matte import Matte
from cutoutd.models.decoding.photo import Photo, PhotoLimits, decode, read_header
from cutoutd.models.find_subject import find_subject, region
from cutoutd.models.networks.subject import OF_BUNDLED, Reading, reading_of
from cutoutd.models.rendering.layout import Box


class Eye:
    """Sees what it is told to, and remembers the size of what it was shown."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self.shown: list[tuple[int, ...]] = []

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        self.shown.append(rgb.shape)
        seen = np.zeros((64, 64), np.float32)
        seen[16:48, 16:48] = self._alpha
        return seen


def photo(width: int, height: int) -> Photo:
    target = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 60)).save(target, "PNG")
    data = target.getvalue()
    return decode(data, read_header(data, "a.png", PhotoLimits(1 << 20, 10.0)))


def test_the_network_is_shown_the_region_alone() -> None:
    eye = Eye(1.0)
    found = find_subject(photo(200, 100), eye, Matte(roi="10% 20% 60% 80%"))
    assert eye.shown == [(60, 100, 3)]
    assert found.box == Box(20, 20, 120, 80)
    assert found.alpha[32, 32] == 1.0


def test_nothing_seen_is_a_named_failure_or_all_of_the_photo() -> None:
    with pytest.raises(PhotoError, match="No subject") as error:
        find_subject(photo(200, 100), Eye(0.0), Matte())
    assert error.value.reason is Reason.NO_SUBJECT
    passed = find_subject(photo(200, 100), Eye(0.0), Matte(no_subject="pass"))
    assert (passed.box, float(passed.alpha.min()), passed.confidence) == (None, 1.0, None)


def test_a_crumb_around_a_point_is_no_subject_and_gets_advice_of_its_own() -> None:
    """A photo that was pointed at was refused with the advice to point at it."""
    noise = np.random.default_rng(1).integers(0, 255, (100, 200, 3)).astype(np.uint8)
    pointed = replace(photo(200, 100), rgb=noise)
    with pytest.raises(PhotoError, match="Around the points") as error:
        find_subject(pointed, EyeForNothing(), Matte(), fixes=Fixes(keep=("50%,50%",)))
    assert error.value.reason is Reason.NO_SUBJECT
    assert "Set more points" in error.value.fix


class EyeForNothing(Eye):
    """Sees nothing, at the scale of our networks."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        return np.zeros((320, 320), np.float32)


class EyeForCrumbs(Eye):
    """Sees a crumb far from the subject as well."""

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        seen = np.zeros((128, 128), np.float32)
        seen[48:112, 48:112] = self._alpha
        seen[4:8, 4:8] = 0.8
        return seen


@pytest.mark.parametrize(
    ("matte", "fixes", "reading", "stays"),
    [
        (Matte(), Fixes(), OF_BUNDLED, False),
        (Matte(keep="all"), Fixes(), OF_BUNDLED, True),
        (Matte(), Fixes(keep=("5%,5%",)), OF_BUNDLED, True),
        (Matte(), Fixes(keep=("50%,50%",)), OF_BUNDLED, False),
        (Matte(), Fixes(), reading_of("somebody-elses"), True),
    ],
)
def test_crumbs_go_unless_the_user_keeps_them_or_the_network_is_not_ours(
    matte: Matte, fixes: Fixes, reading: Reading, stays: bool
) -> None:
    found = find_subject(photo(200, 100), EyeForCrumbs(1.0), matte, fixes=fixes, reading=reading)
    assert bool(found.alpha[4:8, 4:8].all()) == bool(found.alpha[4:8, 4:8].any()) == stays
    assert found.alpha[80, 80] == 1.0


@pytest.mark.parametrize(
    ("roi", "box"),
    [
        ("", None),
        ("10% 20% 50% 60%", Box(20, 20, 100, 60)),
        ("10 20px 50% 60%", Box(10, 20, 100, 60)),
        ("-50 -50% 500 300%", Box(0, 0, 200, 100)),
        ("100 50 101 51", Box(100, 50, 108, 58)),
        ("300 300 400 400", Box(192, 92, 200, 100)),
    ],
)
def test_a_region_lies_in_the_photo_and_is_not_too_small_to_look_at(roi: str, box: Box | None) -> None:
    assert region(roi, 200, 100) == box
