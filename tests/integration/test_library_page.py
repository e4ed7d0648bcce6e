"""The examples of docs/LIBRARY.md, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import photos

PAGE = Path(__file__).parents[2] / "docs/LIBRARY.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Image.fromarray(photos.pixels("coffee")).save(tmp_path / "photo.jpg", quality=92)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(example: str) -> None:
    exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102 - our own page


def test_the_first_example_writes_a_cutout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(EXAMPLES[0])
    with Image.open(folder / "cutout.png") as cutout:
        alpha = np.asarray(cutout.getchannel("A"))
    height, width = photos.pixels("coffee").shape[:2]
    assert alpha.shape == (height, width)
    share = float(alpha.mean()) / 255
    assert 0.05 < share < 0.8
    assert capsys.readouterr().out == f"{width} × {height}, subject {share:.0%}\n"


def test_the_second_example_writes_both_files(folder: Path) -> None:
    run(EXAMPLES[1])
    with Image.open(folder / "shop.jpg") as shop, Image.open(folder / "thumbnail.webp") as thumbnail:
        assert (shop.format, shop.size, shop.getpixel((2, 2))) == ("JPEG", (1600, 1600), (255, 255, 255))
        assert (thumbnail.format, thumbnail.size, thumbnail.mode) == ("WEBP", (400, 400), "RGBA")


def test_the_third_example_says_that_there_is_no_subject(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(EXAMPLES[2])
    assert capsys.readouterr().out.startswith("no-subject - No subject stands out")
    assert [path.name for path in folder.iterdir()] == ["photo.jpg"]


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == 3
