"""AVIF and HEIC show what their properties say: the crop, the turn, the mirror, in that order."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import functools
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support.boxes import box, clap, imir, irot, with_properties
from tests.support.format_cases import saved

from cutoutd.config.errors import PhotoError
from cutoutd.models.decoding import isobmff
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
SEEDS = Path(__file__).parents[3] / "reliability" / "fuzz" / "seeds"
LEFT, TOP = 10, 20
Pixels = NDArray[np.uint8]


@functools.cache
def stored(kind: str) -> bytes:
    if kind == "AVIF":
        small = Image.open(SEEDS.parents[2] / "data" / "photos" / "motion_free_box.jpg").resize((160, 120))
        return saved("AVIF", small, quality=90, speed=10)
    return (SEEDS / ("alpha.heic" if kind == "HEIC with alpha" else "astronaut.heic")).read_bytes()


def pixels(data: bytes) -> Pixels:
    header = read_header(data, "photo", LIMITS)
    photo = decode(data, header)
    assert photo.rgb.shape[:2] == (header.height, header.width)
    if photo.alpha is None:
        return photo.rgb
    return np.dstack([photo.rgb, photo.alpha])


def crop(size: tuple[int, int]) -> bytes:
    """Half of either side, from LEFT and TOP on."""
    width, height = size[0] // 2, size[1] // 2
    return clap(width, height, LEFT + (width - size[0]) / 2, TOP + (height - size[1]) / 2)


def shown(whole: Pixels, *, cropped: bool, quarters: int, mirror: int | None) -> Pixels:
    height, width = whole.shape[:2]
    part = whole[TOP : TOP + height // 2, LEFT : LEFT + width // 2] if cropped else whole
    part = np.rot90(part, quarters)
    return part if mirror is None else (part[::-1], part[:, ::-1])[mirror]


@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("kind", ["AVIF", "HEIC", "HEIC with alpha"])
def test_crop_turn_and_mirror(kind: str, cropped: bool, quarters: int, mirror: int | None) -> None:
    data = stored(kind)
    whole = pixels(data)
    added = [crop((whole.shape[1], whole.shape[0]))] if cropped else []
    added += [irot(quarters)] if quarters else []
    added += [] if mirror is None else [imir(mirror)]
    seen = pixels(with_properties(data, *added))
    wanted = shown(whole, cropped=cropped, quarters=quarters, mirror=mirror)
    assert seen.shape == wanted.shape
    assert (seen == wanted).all()


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_an_orientation_in_the_camera_data_does_not_count(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind == "HEIC":
        data = (SEEDS / "turned.heic").read_bytes()
        assert b"Exif" in data
        assert pixels(data).shape == (120, 160, 3)
        return
    # Pillow moves it into the file's own turn; without that, what is left in the EXIF data is not believed.
    data = saved("AVIF", Image.new("RGB", (40, 30), "red"), exif=exif)
    assert pixels(data).shape == (40, 30, 3)
    assert pixels(data.replace(b"irot\x03", b"irot\0")).shape == (30, 40, 3)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize(
    "wrong", [clap(999, 999), clap(10, 10, 500, 0), box(b"clap", bytes(32)), box(b"clap", b"")]
)
def test_a_crop_that_makes_no_sense_fails(kind: str, wrong: bytes) -> None:
    with pytest.raises(PhotoError, match=r"crop|parsing"):
        pixels(with_properties(stored(kind), wrong))


def test_what_lies_outside_the_items_is_not_asked() -> None:
    data = stored("HEIC")
    places = isobmff.items(data, (b"hvc1",))
    assert len(places) == 1
    assert data[places[0][1] :] == b""
    assert pixels(data + box(b"free", bytes(5000))).shape == (120, 160, 3)
    assert isobmff.items(data, (b"Exif",)) == []
    assert isobmff.items(data[:80], (b"hvc1",)) == []


def test_colours_are_those_of_the_picture_that_is_shown_wherever_others_stand() -> None:
    def nclx(primaries: int, transfer: int) -> bytes:
        return box(b"colr", b"nclx" + struct.pack(">3HB", primaries, transfer, 6, 128))

    data = stored("AVIF")
    plain = pixels(data)
    assert isobmff.code_points(data) == (1, 13)
    # The first in the file is another item's now: of a map of brightness, in BT.2020 and PQ.
    data = data.replace(nclx(1, 13), nclx(9, 16))
    assert isobmff.code_points(data) == (9, 16)
    assert np.abs(pixels(data).astype(int) - plain).mean() > 5
    own = with_properties(data, nclx(1, 13))
    at = own.index(b"ipma") + 15  # behind its name, version, count, and the first item's number and count
    number = 1 + [one.kind for one in _listed(own)].index(b"colr")
    place = next(place for place in range(at, at + 8) if own[place] & 127 == number)
    own = own[:place] + b"\x01" + own[place + 1 :]
    assert isobmff.code_points(own) == (1, 13)
    assert (pixels(own) == plain).all()


def _listed(data: bytes) -> list[isobmff.Box]:
    start, end = 0, len(data)
    for kind, head in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        found = isobmff.inside(data, start, end, kind)
        assert found is not None
        start, end = found.start + head, found.end
    return list(isobmff.boxes(data, start, end))
