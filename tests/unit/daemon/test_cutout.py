"""The usual order is encoded band by band; it must be what every other order is cut from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from cutoutd.config.output import Deliverable, Output
from cutoutd.config.settings import Matte
from cutoutd.daemon.cutout import Cutout, cut_out
from cutoutd.daemon.render import is_plain
from cutoutd.models.photo import PhotoLimits, read_header

pictures: Any = data  # the package comes without types


class Disc:
    """Sees a soft disc, whatever it is shown."""

    def alpha(self, rgb: NDArray[np.uint8], *, lone: bool = True) -> NDArray[np.float32]:
        y, x = np.ogrid[:320, :320]
        return np.clip((100 - np.hypot(y - 170, x - 150)) / 6, 0, 1).astype(np.float32)


def jpeg(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pictures.astronaut()).resize(size).save(out, "JPEG", quality=92)
    return out.getvalue()


def cut(photo: bytes, *orders: Deliverable, threads: int = 1, **matte: Any) -> Cutout:
    header = read_header(photo, "photo", PhotoLimits(10**8, 50))
    return cut_out(photo, header, Disc(), orders, Matte(**matte), lone=threads > 1, threads=threads)


@pytest.mark.parametrize("size", [(1300, 1100), (1024, 256), (300, 257), (40, 30)])
@pytest.mark.parametrize("edge", ["natural", "soft"])
def test_band_by_band_gives_the_bytes_of_the_whole(size: tuple[int, int], edge: str) -> None:
    photo = jpeg(size)
    alone = cut(photo, Deliverable(), edge=edge)
    beside = cut(photo, Deliverable(), Deliverable(label="mask", channels="alpha"), edge=edge)
    assert alone.rendered[0].data == beside.rendered[0].data
    assert alone.coverage == pytest.approx(beside.coverage, rel=1e-12)
    pixels = np.asarray(Image.open(io.BytesIO(alone.rendered[0].data)))
    assert pixels.shape == (size[1], size[0], 4)
    assert pixels[..., 3].mean() / 255 == pytest.approx(alone.coverage, rel=1e-9)
    assert not pixels[pixels[..., 3] == 0].any()


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    photo = jpeg((1300, 1100))
    one, two = (cut(photo, Deliverable(), threads=threads) for threads in (1, 2))
    assert one.rendered == two.rendered


def test_transparency_that_the_photo_brought_is_kept() -> None:
    rgba = np.dstack([pictures.astronaut(), np.full((512, 512), 255, np.uint8)])
    rgba[:, :200, 3] = 0
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG")
    (rendered,) = cut(out.getvalue(), Deliverable()).rendered
    alpha = np.asarray(Image.open(io.BytesIO(rendered.data)))[..., 3]
    assert not alpha[:, :200].any()
    assert alpha[272, 240] == 255


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
