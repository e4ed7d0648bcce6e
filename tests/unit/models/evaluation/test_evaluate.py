from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import photos

from cutoutd.models.evaluation import evaluate
from cutoutd.models.evaluation.cases import find_cases, resized
from cutoutd.models.networks.catalog import FAST, STANDARD, catalogue
from cutoutd.models.networks.segmenter import Segmenter

pytestmark = pytest.mark.slow

# The first of the three, chelsea: enough where answers are told apart or shown.
ONE_PHOTO = ("--every", "3")


def told(capsys: pytest.CaptureFixture[str], model: str = FAST) -> dict[str, float]:
    """The figures of that one photo."""
    (figures,) = json.loads(capsys.readouterr().out)[model]["folders"].values()
    return figures


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three real photos; the masks are the bundled network's own answers, so its scores must be near
    perfect.
    """
    images, masks = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("masks")
    segmenter = Segmenter(catalogue()[FAST], providers=["cpu"], threads=1)
    for name in ("people/astronaut", "animals/chelsea", "animals/rocket"):
        rgb = photos.pixels(name.split("/")[1])[::2, ::2]
        alpha = resized(segmenter.alpha(rgb), *rgb.shape[:2])
        for folder in (images, masks):
            (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rgb).save(images / f"{name}.png")
        Image.fromarray((alpha > 0.5).astype(np.uint8) * 255).save(masks / f"{name}.png")
    return images, masks


def call(folders: tuple[Path, Path], *more: str) -> int:
    """Asks for the smaller network, unless another is named; a test of its own asks for none."""
    model = () if "--model" in more else ("--model", FAST)
    where = ("--images", str(folders[0]), "--masks", str(folders[1]))
    return evaluate.main([*where, "--threads", "1", *model, *more])


def test_the_table_has_a_line_per_folder_and_one_for_all(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--images", str(folders[0]), "--masks", str(folders[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["folder", "animals", "people", "all"]
    assert all(STANDARD in line for line in lines[1:])


def test_json_figures(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folders, "--json") == 0
    result = json.loads(capsys.readouterr().out)[FAST]
    assert result["folders"]["animals"]["photos"] == 2
    everything = result["folders"]["all"]
    assert everything["photos"] == 3
    assert everything["iou"] > 0.97
    assert everything["max_f"] > 0.97
    assert everything["mae"] < 0.05
    assert result["milliseconds"] > 0


def test_models_side_by_side_and_the_best_is_not_the_mirrored_one(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(catalogue()[FAST].path)
    assert call(folders, *ONE_PHOTO, "--json", "--model", FAST, "--model", file, "--like", FAST) == 0
    first, second = json.loads(capsys.readouterr().out).values()
    assert first["folders"] == second["folders"]


def test_one_model_asked_once_and_mirrored(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folders, *ONE_PHOTO, "--json", "--no-flip", "--model", FAST) == 0
    once = told(capsys)
    assert call(folders, *ONE_PHOTO, "--json", "--model", f"{FAST}@flip") == 0
    both = told(capsys, f"{FAST}@flip")
    assert call(folders, *ONE_PHOTO, "--json", "--model", f"{FAST}@high") == 0
    often = told(capsys, f"{FAST}@high")
    assert often["mae"] not in (once["mae"], both["mae"])
    assert once != both


def test_options_reach_the_network(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[float] = []
    for more in (("--no-flip",), ("--flip",), ("--size", "256"), ("--fit", "pad")):
        assert call(folders, *ONE_PHOTO, "--json", *more) == 0
        answers.append(told(capsys)["mae"])
    assert len(set(answers)) == 4


def test_haze_and_thin_parts_are_judged_if_asked_for(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folders, *ONE_PHOTO, "--json") == 0
    assert "skeleton" not in told(capsys)
    found: list[dict[str, float]] = []
    for more in ((), ("--engine", "plain"), ("--engine", "learned")):
        assert call(folders, *ONE_PHOTO, "--json", "--solid", *more) == 0
        found.append(told(capsys))
    for one in found:  # the masks are the network's own answers
        assert one["skeleton"] > 0.95
        assert one["half_tones"] < 0.2
        assert one["not_solid"] < 0.1
    assert found[1]["mae"] != found[0]["mae"]  # drawn at the photo's size, in eight bits
    assert call(folders, *ONE_PHOTO, "--solid") == 0
    assert "half-tones" in capsys.readouterr().out.splitlines()[0]


def test_sheet_shows_the_worst_first(folders: tuple[Path, Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert call(folders, "--sheet", str(sheet)) == 0
    with Image.open(sheet) as page:
        assert page.size == (evaluate.SHEET_SIDE * 3, evaluate.SHEET_SIDE * 3)
        assert len(page.getcolors(1 << 20) or [0]) > 1000


def test_names_and_every_choose_pairs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("animals/rocket\npeople/astronaut\nnobody/here\n")
    assert [c.name for c in find_cases(*folders, names)] == ["animals/rocket", "people/astronaut"]
    assert len(find_cases(*folders, every=2)) == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--model", "nothing.onnx"], "--like"),
        (["--model", "nothing.onnx", "--like", "u2netp"], "no such model file"),
        (["--model", "cutout-z"], "cutout-s"),
    ],
)
def test_mistakes_are_named(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    assert call(folders, *more) != 0
    assert says in capsys.readouterr().err.replace("\n", " ")
