"""The usual order is encoded band by band; it must be what every other order is cut from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support import photos
from tests.support.profiles import one_way_icc

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable, Output
from cutoutd.config.presets import expand
from cutoutd.models.cutout import Cutout, controls_of, cut_out
from cutoutd.models.decoding import icc
from cutoutd.models.decoding.colour import Convert
from cutoutd.models.decoding.photo import PhotoLimits, read_header
from cutoutd.models.find_subject import Sees, region
from cutoutd.models.networks.catalog import STANDARD, catalogue
from cutoutd.models.networks.doubt import Doubt
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.subject import OF_BUNDLED, OF_OTHERS, Reading
from cutoutd.models.rendering.layout import Box
from cutoutd.models.rendering.render import is_plain

pytestmark = pytest.mark.slow


class Disc:
    """Sees a soft disc, whatever it is shown."""

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        y, x = np.ogrid[:320, :320]
        return np.clip((100 - np.hypot(y - 170, x - 150)) / 6, 0, 1).astype(np.float32)


class Witness(Disc):
    """Remembers the photos that it was shown."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def alpha(
        self, rgb: NDArray[np.uint8], *, to_srgb: Convert | None = None, **_: Any
    ) -> NDArray[np.float32]:
        self.seen.append(rgb if to_srgb is None else to_srgb(rgb))
        return super().alpha(rgb)


class Nothing:
    """Sees no subject anywhere."""

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        return np.zeros((320, 320), np.float32)


class Veiled(Disc):
    """Sees a disc of which a third is half there."""

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        alpha = super().alpha(rgb)
        alpha[:, 150:] = np.minimum(alpha[:, 150:], 0.6)
        return alpha


def jpeg(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photos.pixels("astronaut")).resize(size).save(out, "JPEG", quality=92)
    return out.getvalue()


def png(rgb: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return out.getvalue()


def cut(
    photo: bytes, *orders: Deliverable, threads: int = 1, sees: Sees | None = None, **matte: Any
) -> Cutout:
    header = read_header(photo, "photo", PhotoLimits(10**8, 50))
    seer = sees or Disc()
    return cut_out(
        photo, orders, Matte(**matte), header=header, segmenter=seer, lone=threads > 1, threads=threads
    )


def pixels(made: Cutout, number: int = 0) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(made.rendered[number].data)))


# Three bands of a photo that is matted at a smaller scale; one whole band; one and a row; less than a tile.
SIZES = ((1100, 530), (1024, 256), (300, 257), (40, 30))


@pytest.mark.parametrize(
    ("size", "edge"),
    [
        *((size, "natural") for size in SIZES),
        (SIZES[2], "soft"),
        *(pytest.param(size, "soft", marks=pytest.mark.thorough) for size in SIZES if size != SIZES[2]),
    ],
)
def test_band_by_band_gives_the_bytes_of_the_whole(size: tuple[int, int], edge: str) -> None:
    photo = jpeg(size)
    alone = cut(photo, Deliverable(), edge=edge)
    beside = cut(photo, Deliverable(), Deliverable(label="mask", channels="alpha"), edge=edge)
    assert alone.rendered[0].data == beside.rendered[0].data
    assert alone.coverage == pytest.approx(beside.coverage, rel=1e-12)
    got = pixels(alone)
    assert got.shape == (size[1], size[0], 4)
    assert got[..., 3].mean() / 255 == pytest.approx(alone.coverage, rel=1e-9)
    assert not got[got[..., 3] == 0].any()


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    photo = jpeg(SIZES[0])
    one, two = (cut(photo, Deliverable(), threads=threads) for threads in (1, 2))
    assert one.rendered == two.rendered


def test_networks_are_shown_the_copy_that_the_edge_engine_works_with() -> None:
    class Shown(Disc):
        def alpha(
            self, rgb: NDArray[np.uint8], *, reduced: NDArray[np.uint8] | None = None, **_: Any
        ) -> NDArray[np.float32]:
            copies.append(reduced)
            return super().alpha(rgb)

    copies: list[NDArray[np.uint8] | None] = []
    photo = jpeg((2500, 1300))
    for threads in (1, 2):
        cut(photo, Deliverable(), threads=threads, sees=Shown())
    first, second = copies
    assert first is not None
    assert np.array_equal(first, np.asarray(second)), "a lone photo's is the same"
    exact = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB").reduce(3), np.int16)
    assert np.abs(first - exact).max() <= 1
    others: list[tuple[bytes, dict[str, Any]]] = [
        (jpeg((900, 500)), {}),
        (photo, {"roi": "0,0,1000,1000"}),
        (photo, {"engine": "guided"}),
    ]
    for other, matte in others:
        cut(other, Deliverable(), sees=Shown(), **matte)
        assert copies[-1] is None


def test_the_photos_own_background_stays_beside_orders_that_remove_it() -> None:
    photo = np.asarray(Image.fromarray(photos.pixels("astronaut")).resize((300, 257)))
    keeping = Deliverable.model_validate(
        {"label": "lot", "background": "photo", "trim": True, "margin": "4px"}
    )
    made = cut(png(photo), Deliverable(), keeping, Deliverable(label="white", background="white"))
    alpha = pixels(made)[..., 3]
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    expected = photo[rows[0] - 4 : rows[-1] + 5, columns[0] - 4 : columns[-1] + 5]
    assert np.array_equal(pixels(made, 1), expected)
    assert (pixels(made, 2)[0, 0] == 255).all()


def test_what_was_transparent_in_a_photo_whose_background_stays_is_white() -> None:
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[..., :3] = 90
    rgba[:, 20:, 3] = 255
    got = pixels(cut(png(rgba), Deliverable(background="photo")))
    assert (got[:, :20] == 255).all()
    assert (got[:, 20:] == 90).all()


def test_notes_of_a_deliverable_name_it_where_there_are_several() -> None:
    photo = jpeg((300, 257))
    large = Deliverable(label="shop", background="white", canvas="900x771", format="jpeg")
    assert cut(photo, large).notes[-1].startswith("Enlarged 3×")
    assert cut(photo, Deliverable(), large).notes[-1].startswith("shop: Enlarged 3×")


def test_what_is_said_of_several_deliverables_is_said_once() -> None:
    photo = jpeg((300, 257))
    shops = [
        Deliverable(
            label=f"{times}x", background="white", canvas=f"{300 * times}x{257 * times}", format="jpeg"
        )
        for times in (4, 2, 3)
    ]
    said = [note for note in cut(photo, Deliverable(), *shops).notes if "Enlarged" in note]
    assert said == [
        "4x, 2x, 3x: Enlarged 2× to 4× to fill the order: a closer or larger photo would be sharper."
    ]
    alike = [note for note in cut(photo, shops[0], shops[0]).notes if "Enlarged" in note]
    assert alike[0].startswith("4x, 4x: Enlarged 4× to fill")


def test_transparency_that_the_photo_brought_is_kept() -> None:
    rgba = np.dstack([photos.pixels("astronaut"), np.full((512, 512), 255, np.uint8)])
    rgba[:, :200, 3] = 0
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG")
    alpha = pixels(cut(out.getvalue(), Deliverable()))[..., 3]
    assert not alpha[:, :200].any()
    assert alpha[272, 240] == 255


REGIONS = ("50 100 250 240", "97% 97% 100% 100%", "0 0 100% 40%")


@pytest.mark.parametrize(
    ("engine", "roi"),
    [
        *(("plain", roi) for roi in REGIONS),
        ("guided", REGIONS[0]),
        ("learned", REGIONS[0]),
        *(
            pytest.param(engine, roi, marks=pytest.mark.thorough)
            for engine in ("guided", "learned")
            for roi in REGIONS[1:]
        ),
    ],
)
def test_a_region_is_cut_out_as_a_photo_of_its_own(engine: str, roi: str) -> None:
    photo = np.asarray(Image.fromarray(photos.pixels("astronaut")).resize((500, 400)))
    box = region(roi, 500, 400)
    assert box is not None
    part = np.s_[box.top : box.bottom, box.left : box.right]
    made = cut(png(photo), Deliverable(), Deliverable(label="mask", channels="alpha"), engine=engine, roi=roi)
    alone = pixels(cut(png(photo[part]), Deliverable(), engine=engine))
    expected = np.zeros((400, 500, 4), np.uint8)
    expected[part] = alone
    assert alone[..., 3].any()
    assert np.array_equal(pixels(made), expected)
    assert np.array_equal(pixels(made, 1), expected[..., 3])
    assert made.coverage == pytest.approx(expected[..., 3].mean() / 255, rel=1e-9)


def test_a_region_without_a_subject_hands_on_the_whole_photo_if_asked_to() -> None:
    photo = photos.pixels("astronaut")
    got = pixels(cut(png(photo), Deliverable(), sees=Nothing(), roi="0 0 50% 50%", no_subject="pass"))
    assert np.array_equal(got[..., :3], photo)
    assert (got[..., 3] == 255).all()


def test_shares_are_of_the_whole_photo_whatever_part_is_matted() -> None:
    matte = Matte(min_island=0.5, fill_holes=2, edge="soft")
    whole = controls_of(matte, (1000, 2000))
    assert (whole.min_island, whole.fill_holes, whole.longer_side) == (0.5, 2, 2000)
    part = controls_of(matte, (1000, 2000), Box(100, 100, 600, 500))  # a tenth of it
    assert (part.min_island, part.fill_holes, part.longer_side) == (5, 20, 2000)
    assert controls_of(Matte(), (1000, 2000), Box(0, 0, 10, 10)).fill_holes is False


def tagged(profile: bytes) -> bytes:
    """The astronaut's own numbers, which mean other colours in the profile's space."""
    out = io.BytesIO()
    Image.fromarray(photos.pixels("astronaut")).resize((256, 256)).save(out, "PNG", icc_profile=profile)
    return out.getvalue()


PROFILES = (icc.adobe_rgb_icc(), icc.display_p3_icc(), one_way_icc())


@pytest.mark.parametrize(
    ("profile", "roi"),
    [
        *((profile, "") for profile in PROFILES),
        (PROFILES[0], "0 0 50% 50%"),
        *(pytest.param(one, "0 0 50% 50%", marks=pytest.mark.thorough) for one in PROFILES[1:]),
    ],
)
def test_the_network_is_shown_srgb_whatever_is_ordered(profile: bytes, roi: str) -> None:
    photo = tagged(profile)
    srgb, kept, p3, both = Witness(), Witness(), Witness(), Witness()
    cut(photo, Deliverable(), sees=srgb, roi=roi)
    cut(photo, Deliverable(colour="keep-profile"), sees=kept, roi=roi)
    cut(photo, Deliverable(colour="display-p3"), sees=p3, roi=roi)
    cut(photo, Deliverable(colour="keep-profile"), Deliverable(label="web"), sees=both, roi=roi)
    (expected,) = srgb.seen
    assert np.array_equal(kept.seen[0], expected)
    assert np.array_equal(both.seen[0], expected)
    assert len(both.seen) == 1
    # By way of Display P3 each number is rounded once more, which is a few levels where sRGB's curve is steep.
    assert np.abs(p3.seen[0].astype(int) - expected).mean() < 0.5


def test_the_order_of_the_deliverables_changes_no_byte() -> None:
    photo = tagged(icc.adobe_rgb_icc())
    orders = [
        Deliverable(label="print", colour="keep-profile"),
        Deliverable(label="web"),
        Deliverable(label="screen", colour="display-p3"),
    ]
    network = Segmenter(catalogue()[STANDARD], threads=1)
    one = cut(photo, *orders, sees=network)
    other = cut(photo, *reversed(orders), sees=network)
    assert one.rendered == tuple(reversed(other.rendered))


NOT_PLAIN: list[dict[str, Any]] = [
    {"format": "tiff"},
    {"format": "webp"},
    {"compression": "small"},
    {"compression": 6},
    {"channels": "alpha"},
    {"background": "white"},
    {"shadow": "drop"},
    {"trim": True},
    {"margin": "10px"},
    {"max_size": 100},
    {"canvas": "300x300"},
    {"bits": 16, "colour": "keep-profile"},
]


@pytest.mark.parametrize("options", NOT_PLAIN)
def test_orders_that_need_the_whole_picture(options: dict[str, Any]) -> None:
    assert not is_plain(Output(**options), (1200, 800))


@pytest.mark.parametrize("options", [{}, {"max_size": 5000}, {"compression": 3}, {"colour": "display-p3"}])
def test_orders_that_are_the_cutout_itself(options: dict[str, Any]) -> None:
    assert is_plain(Output(**options), (1200, 800))


@pytest.mark.parametrize("orientation", [pytest.param(1, marks=pytest.mark.thorough), 6])
def test_a_photo_is_decoded_smaller_where_all_orders_are(orientation: int) -> None:
    turned = Image.fromarray(photos.pixels("astronaut")).resize((2101, 2600))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(out, "JPEG", quality=92, exif=exif)
    witness = Witness()
    orders = (Deliverable(max_size=1200), Deliverable(format="webp", max_size=300, label="small"))
    made = cut(out.getvalue(), *orders, sees=witness)
    size = (2101, 2600) if orientation == 1 else (2600, 2101)
    assert (made.width, made.height) == size
    assert witness.seen[0].shape == (-(-size[1] // 2), -(-size[0] // 2), 3)
    whole = cut(out.getvalue(), *orders, Deliverable(label="whole"))
    assert made.coverage == pytest.approx(whole.coverage, abs=1e-3)
    for number in (0, 1):
        assert made.rendered[number].enlarged == whole.rendered[number].enlarged
        one, other = pixels(made, number).astype(int), pixels(whole, number).astype(int)
        assert one.shape == other.shape
        assert np.abs(one - other)[..., 3].mean() < 1
        opaque = (one[..., 3] == 255) & (other[..., 3] == 255)
        assert np.abs(one - other)[opaque].mean() < 3


def test_a_point_is_told_in_the_photos_pixels_whatever_is_ordered() -> None:
    photo, witness = jpeg((2400, 2400)), Witness()
    header = read_header(photo, "photo", PhotoLimits(10**8, 50))
    orders = (Deliverable(max_size=400),)
    cut_out(photo, orders, header=header, segmenter=witness, fixes=Fixes(keep=("1100,1300",)))
    assert witness.seen[0].shape == (2400, 2400, 3)


def test_a_subject_that_is_transparent_is_a_named_failure_and_no_empty_file() -> None:
    y, x = np.ogrid[:120, :160]
    hidden = np.where(np.hypot(y - 64, (x - 75) * 0.75) < 50, 0, 255).astype(np.uint8)  # where the disc is
    picture = Image.fromarray(photos.pixels("astronaut")[:120, :160])
    picture.putalpha(Image.fromarray(hidden))
    out = io.BytesIO()
    picture.save(out, "PNG")
    header = read_header(out.getvalue(), "a.png", PhotoLimits(10**9, 100))
    with pytest.raises(PhotoError, match="transparent") as caught:
        cut_out(out.getvalue(), header=header, segmenter=Disc())
    assert caught.value.reason is Reason.NO_SUBJECT


def test_a_doubtful_cutout_says_why_and_a_plain_one_nothing() -> None:
    doubtful = cut(jpeg((512, 512)), Deliverable(), sees=Veiled())
    assert doubtful.confidence is not None
    assert doubtful.confidence.review
    assert any("half-transparent inside" in note for note in doubtful.notes)
    plain = cut(jpeg((512, 512)), Deliverable(), sees=Disc())
    assert plain.confidence is not None
    assert (plain.confidence.iou or 0) > 0.9
    assert plain.notes == ()


def test_what_was_enlarged_twice_is_worth_a_look_and_what_fills_its_order_is_not() -> None:
    large = cut(jpeg((512, 512)), Deliverable(canvas="1300x1300", trim=True, background="white"), sees=Disc())
    assert large.confidence is not None
    assert large.confidence.review
    assert large.confidence.reasons == (Doubt.ENLARGED,)
    small = cut(jpeg((512, 512)), Deliverable(canvas="300x300", trim=True, background="white"), sees=Disc())
    assert small.confidence is not None
    assert not small.confidence.review


@pytest.mark.parametrize("reading", [OF_BUNDLED, OF_OTHERS])
def test_an_id_photo_without_a_head_is_made_and_worth_a_look_beside_what_else_was_ordered(
    reading: Reading,
) -> None:
    photo = jpeg((512, 512))
    header = read_header(photo, "photo.jpg", PhotoLimits(max_bytes=10**9, max_megapixels=100))
    orders = (Deliverable(label="master"), Deliverable(label="id", **expand({"preset": "id-photo"})))
    made = cut_out(photo, orders, header=header, segmenter=Disc(), reading=reading)
    assert [(one.width, one.height) for one in made.rendered] == [(512, 512), (413, 531)]
    assert made.confidence is not None
    assert made.confidence.review
    assert made.confidence.reasons == (Doubt.NO_HEAD,)
    assert (made.confidence.iou is None) == (reading == OF_OTHERS), (
        "of other networks nobody can say how sure"
    )
    assert any(note.startswith("id: No head on shoulders") for note in made.notes)


def test_chances_of_other_networks_are_not_read_as_ours() -> None:
    photo = jpeg((512, 512))
    header = read_header(photo, "photo.jpg", PhotoLimits(max_bytes=10**9, max_megapixels=100))
    made = cut_out(photo, header=header, segmenter=Veiled(), reading=OF_OTHERS)
    assert made.confidence is None
    assert made.notes == ()


class Companions(Disc):
    """Sees the disc, and a smaller thing to its right."""

    def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
        alpha = super().alpha(rgb)
        alpha[120:160, 280:310] = 1.0
        return alpha


def fixed(fixes: Fixes = NOTHING_FIXED, mask: bytes | None = None) -> Cutout:
    photo = jpeg((640, 640))
    header = read_header(photo, "photo", PhotoLimits(10**8, 50))
    return cut_out(photo, header=header, segmenter=Companions(), fixes=fixes, mask=mask, threads=1)


def test_a_point_takes_a_thing_away_and_its_colours_with_it() -> None:
    before, after = pixels(fixed()), pixels(fixed(Fixes(remove=("590,280",))))
    assert before[280, 590, 3] > 250
    assert not after[230:340, 545:640].any()
    assert np.abs(after[:, :450].astype(int) - before[:, :450]).mean() < 0.1, "the subject stays as it was"


def test_a_mask_of_ones_own_takes_the_networks_place_and_needs_no_look() -> None:
    grey = Image.new("L", (640, 640))
    grey.paste(255, (100, 100, 200, 200))
    out = io.BytesIO()
    grey.save(out, "PNG")
    made = fixed(mask=out.getvalue())
    shown = pixels(made)
    assert shown[150, 150, 3] == 255
    assert not shown[300:, 300:].any()
    assert made.confidence is None


def test_a_soft_mask_of_the_photos_size_is_kept_as_it_is_and_a_networks_answer_is_not() -> None:
    photo = jpeg((320, 320))
    seen = Disc().alpha(np.zeros((1, 1, 3), np.uint8))
    soft = np.rint(np.clip(seen, 0.1, 0.9) * 255).astype(np.uint8)  # as doubtful as a network may be

    class Soft(Disc):
        def alpha(self, rgb: NDArray[np.uint8], **_: Any) -> NDArray[np.float32]:
            return seen * np.float32(0.98) + np.float32(0.01)

    def made(**how: Any) -> NDArray[np.uint8]:
        header = read_header(photo, "photo", PhotoLimits(10**8, 50))
        return pixels(cut_out(photo, header=header, threads=1, **how))[..., 3]

    out = io.BytesIO()
    Image.fromarray(soft).save(out, "PNG")
    plain = Matte(engine="plain")
    by_hand = made(segmenter=Disc(), mask=out.getvalue())
    assert np.array_equal(by_hand, made(segmenter=Disc(), mask=out.getvalue(), matte=plain))
    assert not np.array_equal(made(segmenter=Soft()), made(segmenter=Soft(), matte=plain))
    other = made(segmenter=Soft(), reading=OF_OTHERS)
    assert np.array_equal(other, made(segmenter=Soft(), reading=OF_OTHERS, matte=plain)), (
        "nor another network's"
    )
