"""Small pictures: their size, their transparency, plain files by the quick way and others by the careful one."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.conditions import wait_until
from tests.support.photos import encoded

from cutoutd.models.decoding.icc import display_p3_icc
from cutoutd.service.gallery import thumbnails
from cutoutd.service.gallery.thumbnails import PictureJob, Small, make_picture, studio

pytestmark = pytest.mark.slow


def photo(path: Path, size: tuple[int, int] = (900, 600), **options: Any) -> Path:
    Image.new("RGB", size, (200, 30, 30)).save(path, **options)
    return path


def job(path: Path, longest: int = 300) -> PictureJob:
    return PictureJob(os.fsencode(path), longest)


def _never(*_: object) -> None:
    """No picture is plain enough."""


def opened(small: object) -> Image.Image:
    assert isinstance(small, Small)
    return Image.open(io.BytesIO(small.data))


@pytest.mark.parametrize("size", [(900, 600), (300, 200), (60, 40), (2600, 20)])
def test_a_picture_is_made_small_and_never_larger(tmp_path: Path, size: tuple[int, int]) -> None:
    made = make_picture(job(photo(tmp_path / "a.jpg", size)))
    assert isinstance(made, Small)
    assert made.whole == size
    assert max(made.size) == min(300, max(size))
    assert opened(made).size == made.size


def test_it_keeps_its_transparency_and_no_edge_darkens(tmp_path: Path) -> None:
    pixels = np.zeros((600, 900, 4), np.uint8)
    pixels[100:300, 100:300] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    small = np.asarray(opened(make_picture(job(tmp_path / "a.png"))))
    assert (small[60, 60, 3], small[190, 290, 3]) == (255, 0)
    edge = small[60, 30:37]
    partly = edge[(edge[:, 3] > 40) & (edge[:, 3] < 215)]
    assert (np.abs(partly[:, :3].astype(int) - (200, 30, 30)) < 60).all()


def test_the_quick_way_gives_what_the_careful_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encoded("coffee", "PNG"))
    quick = make_picture(job(tmp_path / "a.png"))
    monkeypatch.setattr(thumbnails, "_quick", _never)
    careful = make_picture(job(tmp_path / "a.png"))
    one, other = (np.asarray(opened(made).convert("RGB"), int) for made in (quick, careful))
    assert np.abs(one - other).mean() < 3


def test_turned_and_coloured_ones_take_the_careful_way(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = make_picture(job(photo(tmp_path / "turned.jpg", exif=exif)))
    assert isinstance(made, Small)
    assert (made.whole, made.size) == ((600, 900), (200, 300))
    p3 = photo(tmp_path / "p3.jpg", icc_profile=display_p3_icc(), quality=95, subsampling=0)
    red = np.asarray(opened(make_picture(job(p3))).convert("RGB"), int)[50, 50]
    assert red[0] > 210  # the same numbers are a stronger red there


def test_what_is_gone_or_damaged_is_a_sentence(tmp_path: Path) -> None:
    assert "gone" in str(make_picture(job(tmp_path / "none.jpg")))
    (tmp_path / "cut.png").write_bytes(encoded("coffee", "PNG")[:3000])
    assert not isinstance(make_picture(job(tmp_path / "cut.png")), Small)


def test_one_worker_makes_them_and_learns_new_folders(tmp_path: Path) -> None:
    for name in ("scratch", "one", "two"):
        (tmp_path / name).mkdir()
    jobs = [
        job(photo(tmp_path / "one" / "a.jpg")),
        job(tmp_path / "one" / "none.jpg"),
        job(photo(tmp_path / "two" / os.fsdecode(b"caf\xe9.jpg"))),
    ]
    made: list[tuple[int, Small | str]] = []
    with studio(tmp_path / "scratch") as one:
        assert not one.submit(0, jobs[0])
        for number, wanted in enumerate(jobs):
            one.may_read(frozenset({Path(os.fsdecode(wanted.path)).parent, tmp_path / "missing"}))

            def asked(number: int = number, wanted: PictureJob = wanted) -> bool:
                return one.submit(number, wanted) or (one.wait(0.05) is not None)

            wait_until(asked, "a free worker")
            wait_until(lambda: (done := one.wait(0.05)) and (made.append(done) or True), "the picture")
    assert [number for number, _ in made] == [0, 1, 2]
    assert [isinstance(result, Small) for _, result in made] == [True, False, True]
