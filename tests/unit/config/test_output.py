from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cutoutd.config.output import Deliverable, Output, extension
from cutoutd.config.units import BASE_FOLDER


def test_the_default_order_is_a_transparent_png_of_the_photos_size() -> None:
    order = Output()
    assert (order.format, order.background, order.channels, order.name) == (
        "png",
        "transparent",
        "rgba",
        "{stem}",
    )
    assert order.canvas_pixels is None
    assert order.density == 0
    assert order.background_path is None
    assert extension(order) == ".png"


# Each pair of options that excludes the other, and a word of the advice that the sentence must give.
CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"format": "jpeg"}, 'background = "white"'),
    ({"format": "jpg", "channels": "alpha"}, 'format = "png"'),
    ({"format": "jpeg", "background": "white", "lossless": True}, "webp"),
    ({"format": "avif", "lossless": True}, "webp"),
    ({"channels": "alpha", "background": "white"}, "leave background out"),
    ({"channels": "alpha", "background": "photo"}, "leave background out"),
    ({"background": "photo", "shadow": "contact"}, 'background = "white"'),
    ({"background": "photo", "margin": "5%"}, "trim = true"),
    ({"background": "photo", "canvas": "20x20", "margin": 2}, "trim = true"),
    ({"channels": "alpha", "shadow": "drop"}, "leave shadow out"),
    ({"channels": "alpha", "colour": "display-p3"}, "leave colour out"),
    ({"canvas": "20x20", "size": "2x2in"}, "keep canvas"),
    ({"canvas": "20x20", "aspect": "1:1"}, "leave aspect out"),
    ({"size": "2x2in", "aspect": "1:1"}, "leave aspect out"),
    ({"size": "2x2in", "max_size": 100}, "leave max_size out"),
    ({"format": "webp", "dpi": 300}, "leave dpi out"),
    ({"format": "avif", "dpi": 300}, "leave dpi out"),
    ({"fit": "head"}, "size ="),
    ({"fit": "head", "size": "2x2in", "scale": 50}, "head_height"),
    ({"fit": "head", "size": "2x2in", "trim": True}, "head_height"),
    ({"fit": "head", "size": "2x2in", "margin": "5%"}, "head_height"),
    ({"head_height": 70}, 'fit = "head"'),
    ({"format": "webp", "bits": 16, "colour": "keep-profile"}, 'format = "tiff"'),
    ({"format": "tiff", "bits": 16}, 'colour = "keep-profile"'),
    ({"channels": "alpha", "bits": 16}, "leave bits out"),
    ({"canvas": "100x100", "margin": "50%"}, "smaller margin"),
    ({"canvas": "100x100", "margin": "0 60px"}, "smaller margin"),
    ({"max_size": 100, "margin": 50}, "smaller margin"),
]


@pytest.mark.parametrize(("options", "advice"), CONTRADICTIONS)
def test_a_contradiction_is_refused_and_says_what_to_write(options: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Output(**options)
    assert advice in str(refused.value)


def test_several_contradictions_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        Output(format="jpeg", lossless=True, canvas="9x9", aspect="1:1")
    for advice in ("transparency", "lossless", "aspect"):
        assert advice in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "{stem}.png",
        "{stem}.JPEG",
        "{who}",
        "{stem",
        "{stem:>9}",
        "a\0b",
    ],
)
def test_a_name_that_leaves_its_folder_or_says_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Output(name=name)


@pytest.mark.parametrize(
    "name", ["{stem}", "{stem}-{deliverable}", "{date}_{counter}", "{hash}", "cut {stem}"]
)
def test_names_with_the_known_placeholders(name: str) -> None:
    assert Output(name=name).name == name


@pytest.mark.parametrize(
    "folder", ["/abs", "../up", "a/../b", "a//b", "~/x", ".hid", "a/.b", "{stem}", "a\\b"]
)
def test_a_folder_outside_the_outbox_is_refused(folder: str) -> None:
    with pytest.raises(ValidationError):
        Output(folder=folder)


@pytest.mark.parametrize("folder", ["", "web", "web/large", "{deliverable}", "{date}/x"])
def test_folders_inside_the_outbox(folder: str) -> None:
    assert Output(folder=folder).folder == folder


def test_a_bare_number_is_pixels_and_a_percent_sign_is_welcome() -> None:
    order = Output.model_validate({"margin": 40, "scale": "85%", "shadow_strength": "30 %"})
    assert order.margin == "40px"
    assert (order.scale, order.shadow_strength) == (85, 30)


def test_physical_size_sets_canvas_and_density() -> None:
    order = Output(size="35x45mm", dpi=600)
    assert order.canvas_pixels == (827, 1063)
    assert order.density == 600
    assert Output(size="2x2in").canvas_pixels == (600, 600)
    assert Output(size="2x2in").density == 300
    assert Output(size="2x2in", format="webp").density == 0  # WebP has no field for it


def test_a_background_may_be_a_path_with_home_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("SETS", "/srv/sets")
    assert str(Output(background="~/sky.jpg").background_path) == "/home/someone/sky.jpg"
    assert str(Output(background="$SETS/sky").background_path) == "/srv/sets/sky"
    for colour in ("white", "#fff", "transparent", "photo"):
        assert Output(background=colour).background_path is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"format": "jpeg"},
        {"format": "avif", "trim": True, "margin": "5%"},
        {"preset": "product-white", "scale": 85, "canvas": "200x200", "format": "jpeg"},
        {"fit": "head", "size": "35x45mm"},
        {"format": "tiff", "bits": 16, "colour": "keep-profile"},
    ],
)
def test_the_photos_own_background_goes_with_every_format_and_cut(options: dict[str, Any]) -> None:
    order = Output(background="photo", **options)
    assert order.keeps_background


def test_a_background_path_starts_at_the_folder_of_the_config_file(tmp_path: Path) -> None:
    given = {"background": "sets/sky.jpg"}
    order = Output.model_validate(given, context={BASE_FOLDER: tmp_path})
    assert order.background_path == tmp_path / "sets" / "sky.jpg"
    assert Output.model_validate(given).background_path == Path.cwd() / "sets" / "sky.jpg"
    colour = Output.model_validate({"background": "white"}, context={BASE_FOLDER: tmp_path})
    assert colour.background == "white"


@pytest.mark.parametrize("background", ["mauve", "#12", "#gggggg"])
def test_what_is_no_background_is_refused(background: str) -> None:
    with pytest.raises(ValidationError, match=r"background|colour"):
        Output(background=background)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": 101},
        {"scale": 101},
        {"max_size": -1},
        {"dpi": 9999},
        {"compression": 10},
        {"compression": "tiny"},
        {"format": "gif"},
        {"bits": 12},
        {"position": ""},
        {"fromat": "png"},
    ],
)
def test_values_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Output(**options)


@pytest.mark.parametrize(("spelling", "ending"), [("JPG", ".jpg"), ("tif", ".tif"), (".webp", ".webp")])
def test_formats_may_be_spelled_as_extensions(spelling: str, ending: str) -> None:
    order = Output.model_validate({"format": spelling, "background": "white"})
    assert extension(order) == ending


def test_a_deliverable_is_labelled_by_its_preset_unless_it_says_otherwise() -> None:
    assert Deliverable().label == "cutout"
    assert Deliverable(preset="web").label == "web"
    assert Deliverable(preset="web", label="thumb").label == "thumb"
    for bad in ("", "../x", "a/b", "-" * 65):
        with pytest.raises(ValidationError):
            Deliverable(label=bad)


def test_orders_are_immutable_and_travel_between_processes() -> None:
    order = Deliverable(label="w", canvas="20x20", margin="1px")
    with pytest.raises(ValidationError):
        order.margin = "2px"  # pyright: ignore[reportAttributeAccessIssue]
    assert pickle.loads(pickle.dumps(order)) == order  # noqa: S301 - our own bytes
    assert Deliverable.model_validate(order.model_dump()) == order


def test_every_option_is_documented() -> None:
    for name, field in Deliverable.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", ")")), name


@pytest.mark.slow
def test_importing_the_options_loads_no_pixels() -> None:
    code = "import sys, cutoutd.config.output, cutoutd.config.presets; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=dict(os.environ)
    ).stdout.split()
    assert not {"numpy", "PIL", "onnxruntime", "tifffile"} & set(loaded)


def test_numbers_may_come_as_the_digits_of_a_command_line() -> None:
    order = Output.model_validate(
        {
            "bits": "16",
            "format": "tiff",
            "colour": "keep-profile",
            "dpi": "300",
            "compression": "9",
            "quality": "5",
        }
    )
    assert (order.bits, order.dpi, order.compression, order.quality) == (16, 300, 9, 5)
