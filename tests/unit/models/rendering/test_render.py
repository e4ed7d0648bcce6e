from __future__ import annotations

import hashlib
import io
import re
from typing import Any

import numpy as np
import pytest
import tifffile
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw
from tests.support import photos
from tests.support.metadata import read

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Output
from cutoutd.config.presets import builtin, expand
from cutoutd.models.decoding import icc
from cutoutd.models.rendering.render import Rendered, Subject, render

pytestmark = pytest.mark.slow

COFFEE: NDArray[np.uint8] = photos.pixels("coffee")  # 400 × 600


def disc(height: int, width: int, soft: float = 8.0) -> NDArray[np.uint8]:
    y, x = np.ogrid[:height, :width]
    radius = np.hypot((y - height / 2) / (0.35 * height), (x - width / 2) / (0.3 * width))
    return (np.clip((1.0 - radius) * soft, 0, 1) * 255).astype(np.uint8)


def subject(profile: bytes | None = None, rgb: NDArray[np.uint8] = COFFEE) -> Subject:
    alpha = disc(*rgb.shape[:2])
    return Subject(rgb * (alpha > 0)[..., np.newaxis], alpha, icc=profile)


def portrait(head: int) -> Subject:
    """Head, neck and shoulders in grey; the head is so many pixels high."""
    image = Image.new("L", (4 * head, 4 * head))
    draw = ImageDraw.Draw(image)
    k, x = head / 232, 2 * head
    draw.ellipse((x - 77.5 * k, 60 * k, x + 77.5 * k, 292 * k), fill=255)
    draw.rectangle((x - 57 * k, 240 * k, x + 57 * k, 380 * k), fill=255)
    draw.ellipse((x - 230 * k, 340 * k, x + 230 * k, 860 * k), fill=255)
    alpha = np.asarray(image)
    return Subject(np.full((*alpha.shape, 3), 90, np.uint8) * (alpha > 0)[..., np.newaxis], alpha)


def order(**options: Any) -> Output:
    return Output(**options)


def pixels(rendered: Rendered) -> NDArray[Any]:
    image = Image.open(io.BytesIO(rendered.data))
    got = np.asarray(image)
    assert (rendered.height, rendered.width) == got.shape[:2]
    return got


LOSSLESS: list[dict[str, Any]] = [
    {},
    {"compression": "small"},
    {"format": "tiff"},
    {"format": "webp", "lossless": True},
    {"format": "webp", "lossless": True, "compression": "small"},
]


@pytest.mark.parametrize("options", LOSSLESS)
def test_lossless_formats_keep_the_photos_pixels_bit_for_bit(options: dict[str, Any]) -> None:
    cut = subject()
    got = pixels(render(cut, order(**options)))
    assert np.array_equal(got[..., 3], cut.alpha)
    assert np.array_equal(got[..., :3], cut.colour)


@pytest.mark.parametrize("options", [*LOSSLESS, {"canvas": "300x300"}, {"trim": True, "shadow": "drop"}])
def test_a_background_left_under_alpha_0_is_erased(options: dict[str, Any]) -> None:
    leaky = Subject(COFFEE, disc(400, 600))
    got = pixels(render(leaky, order(**options)))
    assert not got[got[..., 3] == 0].any()


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_lossy_formats_show_nothing_of_the_background(kind: str) -> None:
    leaky = Subject(COFFEE, disc(400, 600))
    got = pixels(render(leaky, order(format=kind, quality=90)))
    # Away from the edge, where blocks mix the subject in, there must be one even tone.
    corner = got[:60, :60]
    assert corner[..., 3].max() == 0
    assert corner[..., :3].std() < 2


@pytest.mark.parametrize("side", [77, 290, 600])
def test_scaling_draws_no_dark_fringe(side: int) -> None:
    # One colour everywhere: whatever the scale, no visible pixel may become darker or lighter.
    colour = np.full((300, 300, 3), (200, 180, 160), np.uint8)
    alpha = disc(300, 300, soft=40)
    got = pixels(
        render(Subject(colour * (alpha > 0)[..., np.newaxis], alpha), order(canvas=f"{side}x{side}"))
    )
    seen = got[got[..., 3] > 0][:, :3].astype(int)
    assert len(seen) > 1000
    assert np.abs(seen - [200, 180, 160]).max() <= 1


def test_scaling_leaves_no_ring_outside_the_subject() -> None:
    alpha = np.zeros((400, 400), np.uint8)
    alpha[100:300, 100:300] = 255
    colour = np.full((400, 400, 3), 90, np.uint8) * (alpha > 0)[..., np.newaxis]
    got = pixels(render(Subject(colour, alpha), order(canvas="150x150", background="white", format="png")))
    assert (got[:34] == 255).all()
    assert (got[:, 117:] == 255).all()


def test_a_white_background_is_pure_and_opaque_pixels_are_untouched() -> None:
    cut = subject()
    got = pixels(render(cut, order(background="white")))
    assert got.shape == (400, 600, 3)
    assert (got[cut.alpha == 0] == 255).all()
    assert np.array_equal(got[cut.alpha == 255], cut.colour[cut.alpha == 255])
    band = (cut.alpha > 0) & (cut.alpha < 255)
    share = cut.alpha[band][:, np.newaxis] / 255
    expected = cut.colour[band] * share + 255 * (1 - share)
    assert np.abs(got[band] - expected).max() <= 0.51


def framed(**options: Any) -> Rendered:
    cut = subject()
    whole = Subject(cut.colour, cut.alpha, photo=COFFEE)
    return render(whole, order(background="photo", **options))


def test_the_photos_own_background_stays_and_the_mask_says_where_it_is_cut() -> None:
    assert np.array_equal(pixels(framed()), COFFEE)
    alpha = subject().alpha
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    got = framed(trim=True, margin=20)
    assert np.array_equal(pixels(got), COFFEE[top - 20 : bottom + 20, left - 20 : right + 20])
    assert not got.notes


@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "avif", "jpeg"])
def test_a_cut_through_the_photo_is_opaque_in_every_format(kind: str) -> None:
    got = pixels(framed(format=kind, canvas="300x300", scale=95))
    assert got.shape == (300, 300, 3)
    # What a resize of that cut of the photo alone gives.
    side = np.flatnonzero(subject().alpha.any(axis=0)).size / 0.95
    box = (300 - side / 2, 200 - side / 2, 300 + side / 2, 200 + side / 2)
    expected = np.asarray(Image.fromarray(COFFEE).resize((300, 300), Image.Resampling.BICUBIC, box=box))
    assert np.abs(got.astype(int) - expected).mean() < (1 if kind in ("png", "tiff") else 6)


def test_what_lies_beyond_the_photo_has_the_colour_of_its_edge_and_is_said() -> None:
    alpha = np.zeros((400, 600), np.uint8)
    alpha[150:250, 5:595] = 255
    photo = COFFEE.copy()
    photo[:3], photo[-3:] = (10, 20, 30), (10, 20, 30)
    got = render(Subject(photo, alpha, photo=photo), order(background="photo", aspect="1:1"))
    seen = pixels(got)
    assert seen.shape == (590, 590, 3)
    assert (seen[:90] == (10, 20, 30)).all()
    assert np.array_equal(seen[100:490], photo[5:395, 5:595])
    assert len(got.notes) == 1
    assert "colour of the photo's edge" in got.notes[0]


def test_sixteen_bits_of_the_photo_stay_in_a_cut_through_it() -> None:
    deep: NDArray[np.uint16] = COFFEE.astype(np.uint16) * np.uint16(256) + np.uint16(77)
    whole = Subject(subject().colour, subject().alpha, rgb16=deep, photo=deep)
    rendered = render(
        whole, order(format="tiff", bits=16, colour="keep-profile", background="photo", trim=True)
    )
    got = tifffile.imread(io.BytesIO(rendered.data))
    assert got.dtype == np.uint16
    assert (got & 255 == 77).all()


def test_a_photo_that_is_enlarged_or_has_too_little_room_says_so() -> None:
    assert not framed(canvas="300x300", scale=95).notes
    assert render(subject(), order(canvas="1200x800", background="white")).notes == (
        "Enlarged 2× to fill the order: a closer or larger photo would be sharper.",
    )
    assert any("less room around the subject" in note for note in framed(canvas="300x300", scale=40).notes)


def test_a_background_picture_lies_behind() -> None:
    cut = subject()
    sky = np.full((10, 10, 3), (10, 120, 230), np.uint8)
    options = Output.model_validate({"background": "./sky.png", "format": "png"})
    got = pixels(render(cut, options, background_image=sky))
    assert (got[cut.alpha == 0] == (10, 120, 230)).all()
    assert np.array_equal(got[cut.alpha == 255], cut.colour[cut.alpha == 255])


def test_the_mask_is_the_alpha() -> None:
    cut = subject()
    assert np.array_equal(pixels(render(cut, order(channels="alpha"))), cut.alpha)
    small = pixels(render(cut, order(channels="alpha", trim=True, canvas="100x100")))
    assert small.shape == (100, 100)
    assert small.max() == 255


def test_a_shadow_lies_under_the_subject_and_changes_no_opaque_pixel() -> None:
    cut = subject()
    got = pixels(render(cut, order(shadow="drop", shadow_strength=60)))
    assert np.array_equal(got[cut.alpha == 255], np.dstack([cut.colour, cut.alpha])[cut.alpha == 255])
    shaded = (cut.alpha == 0) & (got[..., 3] > 0)
    assert shaded.sum() > 1000
    assert not got[shaded][:, :3].any()  # black
    assert (got[..., 3] >= cut.alpha).all()


def test_a_trimmed_shadow_is_not_cut_off() -> None:
    got = pixels(render(subject(), order(shadow="drop", trim=True, shadow_strength=100)))
    for edge in (got[0], got[-1], got[:, 0], got[:, -1]):
        assert edge[..., 3].max() <= 6


def test_sixteen_bits_go_through_untouched() -> None:
    cut = subject(icc.display_p3_icc())
    deep = COFFEE.astype(np.uint16) * 256 + 77
    deep_cut = Subject(cut.colour, cut.alpha, deep, cut.icc)
    opaque = cut.alpha == 255
    for kind in ("tiff", "png"):
        rendered = render(deep_cut, order(format=kind, bits=16, colour="keep-profile"))
        assert read(rendered.data).extras == {"icc"}
        if kind == "tiff":
            got: Any = tifffile.imread(io.BytesIO(rendered.data))  # pyright: ignore[reportUnknownMemberType]
            assert got.dtype == np.uint16
            assert np.array_equal(got[..., 3], cut.alpha.astype(np.uint16) * 257)
            assert np.array_equal(got[opaque][:, :3], deep[opaque])
            assert not got[cut.alpha == 0].any()


def test_an_opaque_pixel_with_an_estimated_colour_keeps_it_in_sixteen_bits() -> None:
    # A crisp edge makes such pixels: the photo's own 16 bits still have the background in them.
    cut = subject(icc.display_p3_icc())
    deep = COFFEE.astype(np.uint16) * 256 + 77
    estimated = cut.colour.copy()
    estimated[200, 300] ^= 8
    assert cut.alpha[200, 300] == 255
    rendered = render(
        Subject(estimated, cut.alpha, deep, cut.icc), order(format="tiff", bits=16, colour="keep-profile")
    )
    got: Any = tifffile.imread(io.BytesIO(rendered.data))  # pyright: ignore[reportUnknownMemberType]
    assert got[200, 300, :3].tolist() == (estimated[200, 300] * np.uint16(257)).tolist()
    assert got[200, 301, :3].tolist() == deep[200, 301].tolist()


def test_sixteen_bits_can_be_scaled_and_flattened() -> None:
    cut = subject(icc.display_p3_icc())
    deep_cut = Subject(cut.colour, cut.alpha, COFFEE.astype(np.uint16) * 257, cut.icc)
    common: dict[str, Any] = {"format": "tiff", "bits": 16, "colour": "keep-profile", "canvas": "200x200"}
    got: Any = tifffile.imread(io.BytesIO(render(deep_cut, order(**common)).data))  # pyright: ignore[reportUnknownMemberType]
    eight = pixels(render(cut, order(canvas="200x200", colour="keep-profile"))).astype(int)
    solid = got[..., 3] == 65535
    assert np.abs(got[solid][:, :3] / 257 - eight[solid][:, :3]).max() <= 0.51
    flat: Any = tifffile.imread(  # pyright: ignore[reportUnknownMemberType]
        io.BytesIO(render(deep_cut, order(**common, background="white")).data)
    )
    assert (flat[0] == 65535).all()


def test_an_eight_bit_photo_stays_at_eight_bits() -> None:
    got: Any = tifffile.imread(  # pyright: ignore[reportUnknownMemberType]
        io.BytesIO(render(subject(), order(format="tiff", bits=16, colour="keep-profile")).data)
    )
    assert got.dtype == np.uint8


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "avif", "jpeg"])
def test_density_and_profile_are_written_only_when_ordered(kind: str) -> None:
    background = "white" if kind == "jpeg" else "transparent"
    plain = read(render(subject(), order(format=kind, background=background)).data)
    assert plain.extras == set()
    profile = icc.display_p3_icc()
    tagged = read(render(subject(profile), order(format=kind, background=background)).data)
    assert tagged.extras == {"icc"}
    assert tagged.icc == profile
    if kind in ("webp", "avif"):
        return
    dense = read(render(subject(), order(format=kind, background=background, dpi=300)).data)
    assert dense.extras == {"density"}
    assert dense.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("make", [icc.display_p3_icc, icc.adobe_rgb_icc])
def test_a_kept_wide_gamut_profile_shows_the_same_colours(make: Any) -> None:
    """Flat patches, read back by a colour-managed reader: a difference below 1 in Lab."""
    patches = np.array([[[250, 20, 20], [20, 240, 30], [30, 30, 250], [128, 128, 128]]], np.uint8)
    rgb = np.repeat(np.repeat(patches, 20, axis=0), 20, axis=1)
    cut = Subject(rgb, np.full(rgb.shape[:2], 255, np.uint8), icc=make())
    cms: Any = ImageCms
    lab = cms.createProfile("LAB")

    def seen(image: Image.Image, profile: bytes) -> NDArray[np.float64]:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        steps = cms.buildTransform(source, lab, "RGB", "LAB")
        got = np.asarray(steps.apply(image), np.uint8)[10, 10::20].astype(np.float64)
        got[:, 1:] = (got[:, 1:] + 128) % 256 - 128
        return got * [100 / 255, 1, 1]

    for kind, limit in (("png", 0.01), ("tiff", 0.01), ("jpeg", 2.0)):
        rendered = render(cut, order(format=kind, background="white", quality=100, colour="keep-profile"))
        image = Image.open(io.BytesIO(rendered.data)).convert("RGB")
        difference = seen(image, image.info["icc_profile"] if kind != "tiff" else make()) - seen(
            Image.fromarray(rgb), make()
        )
        assert np.linalg.norm(difference, axis=1).max() <= limit


@pytest.mark.parametrize(("kind", "side"), [("webp", 16_384)])
def test_what_a_format_cannot_hold_is_a_named_failure(kind: str, side: int) -> None:
    long = Subject(np.zeros((1, side, 3), np.uint8), np.zeros((1, side), np.uint8))
    with pytest.raises(PhotoError, match="16,383") as refused:
        render(long, order(format=kind))
    assert refused.value.reason is Reason.CANNOT_RENDER
    assert "max_size" in refused.value.fix


@pytest.mark.parametrize("name", builtin())
def test_every_preset_renders_what_it_says(name: str) -> None:
    options = order(**expand({"preset": name}))
    rendered = render(portrait(300) if options.fit == "head" else subject(), options)
    assert (
        rendered.extension == {"jpeg": ".jpg", "webp": ".webp", "png": ".png", "tiff": ".tif"}[options.format]
    )
    if options.canvas_pixels:
        assert (rendered.width, rendered.height) == options.canvas_pixels
    got = pixels(rendered)
    if options.background == "white":
        assert (got[0] == 255).all()


def test_product_white_fills_eighty_five_per_cent_of_a_pure_white_square() -> None:
    cut = Subject(np.full((300, 500, 3), 40, np.uint8), np.full((300, 500), 255, np.uint8))
    got = pixels(render(cut, order(**expand({"preset": "product-white", "format": "png"}))))
    columns = np.flatnonzero((got < 250).any(axis=(0, 2)))
    assert got.shape == (2000, 2000, 3)
    assert columns[-1] - columns[0] + 1 == 1700
    assert (got[:400] == 255).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"format": "webp"}, {"format": "tiff", "trim": True}, {"format": "avif"}, {"canvas": "99x77"}],
)
def test_the_same_order_gives_the_same_bytes_with_any_number_of_threads(options: dict[str, Any]) -> None:
    digests = {
        hashlib.sha256(render(subject(), order(**options), threads=threads).data).hexdigest()
        for threads in (1, 1, 2, 4)
    }
    assert len(digests) == 1


def test_the_subject_is_only_read() -> None:
    cut = subject()
    before = cut.colour.copy(), cut.alpha.copy()
    cut.colour.setflags(write=False)
    cut.alpha.setflags(write=False)
    for options in ({}, {"shadow": "drop"}, {"background": "white"}, {"format": "tiff"}, {"canvas": "50x50"}):
        render(cut, order(**options))
    assert np.array_equal(cut.colour, before[0])
    assert np.array_equal(cut.alpha, before[1])


def test_an_empty_alpha_still_gives_the_ordered_canvas() -> None:
    empty = Subject(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8))
    for options in ({}, {"trim": True}, {"canvas": "80x80", "scale": 90}, {"shadow": "contact"}):
        assert not pixels(render(empty, order(**options))).any()


@pytest.mark.parametrize(
    "options", [expand({"preset": "id-photo"}), {"fit": "head", "aspect": "4:5", "background": "photo"}]
)
def test_without_a_head_the_whole_subject_is_placed_and_said(options: dict[str, Any]) -> None:
    cut = replace(subject(), photo=subject().colour)
    made = render(cut, order(**options))
    assert made.headless
    assert "No head on shoulders" in made.notes[0]
    assert "the whole subject is placed" in made.notes[0]
    same = {key: value for key, value in options.items() if key != "fit"} | {"scale": 85}
    assert made.data == render(cut, order(**same)).data


@pytest.mark.parametrize(("height", "headless"), [(300, False), (60, True)])
def test_a_head_that_is_too_small_for_the_order_counts_as_none(height: int, headless: bool) -> None:
    made = render(portrait(height), order(**expand({"preset": "id-photo"})))
    assert (made.width, made.height) == (413, 531)
    assert made.headless == headless
    said = any(re.match(r"The head is only \d\d pixels high, .* enlarge it \d×", note) for note in made.notes)
    assert said == headless
