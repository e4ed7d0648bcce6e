"""Makes docs/OPTIONS.md and its pictures with `cutoutd once` itself, from public-domain photos of scikit-image.

Run it as `python docs/make_pictures.py` from the project's folder, after a change to options or to the bundled
network; with names of pictures, only those are made anew. It is a script for maintainers and no part of the product.
"""
# ruff: noqa: INP001 - a script beside the pages it writes, not a package

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from skimage import data

PAGE = Path(__file__).parent / "OPTIONS.md"
FOLDER = Path(__file__).parent / "pictures"
BEFORE_AFTER = "before-after"
MAX_BYTES_EACH, MAX_BYTES_TOTAL = 40_000, 1_000_000

# Every picture is made small enough for a page; these are left out of the command that the page shows.
SMALL = ["--format", "webp", "--quality", "80", "--max-size", "320"]
SMALLER = ("--format", "webp", "--quality", "72", "--max-size", "250")
SMALL_JPEG = ["--quality", "75", "--max-size", "320"]


@dataclass(frozen=True)
class Shot:
    """One picture: its name, the photo, the options that the page shows, and hidden ones that keep it small.

    detail: left, top, right and bottom of what is shown, twice as large; None: all of it.
    """

    name: str
    photo: str
    options: str
    hidden: tuple[str, ...] = tuple(SMALL)
    detail: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Section:
    """One option of the page: its heading, a sentence, its pictures."""

    title: str
    text: str
    shots: tuple[Shot, ...]


SECTIONS = (
    Section(
        "The cutout",
        "Without any option: the subject in straight alpha, everything else erased.",
        (Shot("plain", "coffee", ""), Shot("plain-cat", "chelsea", "")),
    ),
    Section(
        "background",
        "A colour, or a picture; what is transparent in a picture shows white. `photo` keeps the photo's own, and the "
        "mask only says where it is cut: moved or made smaller where the photo has less room than was ordered.",
        (
            Shot("background-white", "coffee", "--background white"),
            Shot("background-colour", "coffee", "--background '#2d6a8e'"),
            Shot("background-picture", "astronaut", "--background rocket.png"),
            Shot("background-photo", "coffee", "--background photo --aspect 5:4 --trim"),
        ),
    ),
    Section(
        "background_fit",
        "How a picture fills the canvas: `fill` covers it, `fit` shows all of it, `tile` repeats it.",
        tuple(
            Shot(
                f"background-{how}",
                "astronaut",
                f"--background rocket-small.png --background-fit {how} --canvas 320x320",
                ("--format", "webp", "--quality", "75"),
            )
            for how in ("fill", "fit", "tile")
        ),
    ),
    Section("channels", "The mask alone.", (Shot("channels-alpha", "chelsea", "--channels alpha"),)),
    Section(
        "trim, margin",
        "Cut to the subject, with or without room around it. (The grey is a background, to show the edge.)",
        (
            Shot("trim", "coffee", "--trim --background '#dddddd'"),
            Shot("margin", "coffee", "--trim --margin 10% --background '#dddddd'"),
            Shot("margin-sides", "coffee", "--trim --margin '5% 20%' --background '#dddddd'"),
        ),
    ),
    Section(
        "canvas, scale, position",
        "An exact size, how much of it the subject fills, and where it stands.",
        (
            Shot("canvas", "coffee", "--canvas 300x300 --background '#dddddd'"),
            Shot("scale", "coffee", "--canvas 300x300 --scale 60 --background '#dddddd'"),
            Shot(
                "position", "coffee", "--canvas 300x300 --scale 60 --position bottom --background '#dddddd'"
            ),
        ),
    ),
    Section(
        "aspect",
        "The result widened to a shape.",
        (
            Shot("aspect-square", "coffee", "--trim --aspect 1:1 --background '#dddddd'"),
            Shot("aspect-wide", "coffee", "--trim --aspect 16:9 --background '#dddddd'"),
        ),
    ),
    Section(
        "max_size",
        "The longest side, in pixels.",
        (Shot("max-size", "coffee", "--max-size 160", ("--format", "webp")),),
    ),
    Section(
        "shadow, shadow_strength",
        "Soft and behind, or on the ground.",
        (
            Shot("shadow-drop", "coffee", "--shadow drop --background white --trim --margin 5%"),
            Shot("shadow-contact", "coffee", "--shadow contact --background white --trim --margin 5%"),
            Shot(
                "shadow-strong",
                "coffee",
                "--shadow drop --shadow-strength 90 --background white --trim --margin 5%",
            ),
        ),
    ),
    Section(
        "size, dpi, fit, head_height",
        "Portraits of a printed size, placed by the head. No compliance with any authority's rules is promised.",
        (
            Shot(
                "size-35x45",
                "astronaut",
                "--size 35x45mm --dpi 150 --fit head --background white",
                tuple(SMALL[:4]),
            ),
            Shot(
                "size-2x2",
                "astronaut",
                "--size 2x2in --dpi 150 --fit head --background white",
                tuple(SMALL[:4]),
            ),
            Shot(
                "head-height",
                "astronaut",
                "--size 35x45mm --dpi 150 --fit head --head-height 50 --background '#b0c4de'",
                tuple(SMALL[:4]),
            ),
        ),
    ),
    Section(
        "format, quality",
        "JPEG of quality 90 and of quality 10.",
        (
            Shot(
                "quality-90",
                "coffee",
                "--format jpeg --quality 90 --background white",
                ("--max-size", "320"),
            ),
            Shot(
                "quality-10",
                "coffee",
                "--format jpeg --quality 10 --background white",
                ("--max-size", "320"),
            ),
        ),
    ),
    Section(
        "edge_engine",
        "How the outline comes from the network's 320 pixels to the photo's: only enlarged (`plain`), following the "
        "photo's edges (`guided`), or redrawn by a small network of its own (`learned`; `auto` is `learned` as long "
        "as not nearly all of the photo is edge). A detail, twice as large. In the config: `[inbox.matte]`, `engine`.",
        tuple(
            Shot(
                f"engine-{how}",
                "coffee",
                f"--edge-engine {how} --background '#00b140'",
                ("--format", "webp", "--lossless"),
                (20, 210, 180, 330),
            )
            for how in ("plain", "guided", "learned")
        ),
    ),
    Section(
        "edge",
        "The character of the outline.",
        tuple(
            Shot(f"edge-{how}", "chelsea", f"--edge {how} --background '#dddddd'")
            for how in ("crisp", "natural", "soft")
        ),
    ),
    Section(
        "grow",
        "The outline widened or shrunk, in pixels at full size.",
        (
            Shot("grow", "coffee", "--grow 8 --background '#dddddd'"),
            Shot("shrink", "coffee", "--grow=-8 --background '#dddddd'"),
        ),
    ),
    Section(
        "keep",
        "Small pieces that lie apart from the subject or that the frame cuts off go by themselves, but for what the "
        "network is sure of: one of a set, a ball. `all` keeps every piece that it found, `largest` one alone.",
        (
            Shot("keep-auto", "rocket", "--keep auto --background '#dddddd'"),
            Shot("keep-all", "rocket", "--keep all --background '#dddddd'"),
            Shot("keep-largest", "rocket", "--keep largest --background '#dddddd'"),
        ),
    ),
    Section(
        "keep x,y, remove x,y, mask",
        "For one photo that came out wrong, or in which no subject was seen; `cutoutd redo PHOTO` takes the same, "
        "also while the daemon runs, and on the page of `cutoutd gallery` points are set with the mouse. "
        "A point of what does not belong to the subject: what stands apart there goes, and where things hang together, "
        "what looks like it around the point; a point on what stays parts them where the colours change. A point of "
        "what belongs to it: what is half there becomes whole, and where nothing was seen the network looks again "
        "closely. Or a mask: have one "
        "written (`--preset mask`), paint in it with any picture editor (white is subject; a coarse edge will "
        "do), and give it back: outline and edge colours are made anew; `redo` copies it. "
        "Points and a mask stay with their photo: when it is done again, on white say, "
        "they count as before, until others or `--forget-points` take their place. What cannot be "
        "followed leaves cutout and original as they are, and `cutoutd review` says why.",
        (
            Shot("fix-remove", "rocket", "--remove 31%,45% --remove 70%,55% --background '#dddddd'"),
            Shot("fix-part", "astronaut", "--remove 80%,85% --keep 40%,65% --keep 40%,20%", SMALLER),
            Shot("fix-mask", "astronaut", "--mask edited.png", SMALLER),
        ),
    ),
    Section(
        "preset",
        "Ready sets of options; `cutoutd presets` lists them with the rule that each follows.",
        (
            Shot("preset-product-white", "coffee", "--preset product-white", tuple(SMALL_JPEG)),
            Shot("preset-id-photo", "astronaut", "--preset id-photo", ("--quality", "60")),
            Shot("preset-web", "chelsea", "--preset web", ("--max-size", "320")),
            Shot("preset-mask", "chelsea", "--preset mask", ("--max-size", "320")),
            Shot("preset-amazon", "coffee", "--preset amazon", tuple(SMALL_JPEG)),
            Shot("preset-ebay", "coffee", "--preset ebay", tuple(SMALL_JPEG)),
            Shot("preset-etsy", "coffee", "--preset etsy", tuple(SMALL_JPEG)),
            Shot("preset-shopify", "coffee", "--preset shopify", tuple(SMALL_JPEG)),
            Shot("preset-instagram", "coffee", "--preset instagram", tuple(SMALL_JPEG)),
        ),
    ),
)

HEAD = """# The options in pictures

Made by cutoutd itself with the bundled network (`python docs/make_pictures.py`), from photos of scikit-image that
are in the public domain or under CC0. Every option can stand in the config (`[inbox.output]`) or on the command
line of `cutoutd once`; [CONFIG.md](CONFIG.md) lists them all. Pictures are reduced to fit this page.
"""
# Options that change the file and not its look have no picture.
TAIL = """
## Without a picture

`name`, `folder`, `compression`, `lossless`, `colour` and `bits` change the file and not what it shows: see
[CONFIG.md](CONFIG.md). The preset `print` gives a TIFF, which browsers do not show.
"""


def main() -> int:
    """Make every picture and the page; fails where a picture is too large for a page."""
    FOLDER.mkdir(exist_ok=True)
    every = {shot.name: shot for section in SECTIONS for shot in section.shots}
    wanted = set(sys.argv[1:]) or {BEFORE_AFTER, *every}
    for old in FOLDER.iterdir():
        if old.stem in wanted:  # other pages keep theirs here
            old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder))
        for name in sorted(wanted & set(every)):
            _make(every[name], photos)
        if BEFORE_AFTER in wanted:
            _before_after(photos)
    made = {path.stem: f"pictures/{path.name}" for path in FOLDER.iterdir()}
    PAGE.write_text(_page(made), encoding="utf-8")
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    own = {name: size for name, size in sizes.items() if name.rpartition(".")[0] in {BEFORE_AFTER, *every}}
    # The README's picture is four photos wide.
    too_large = [name for name, size in own.items() if size > MAX_BYTES_EACH * (4 if "before" in name else 1)]
    sys.stdout.write(f"{len(sizes)} pictures, {sum(sizes.values()) / 1000:.0f} kB\n")
    if too_large or sum(sizes.values()) > MAX_BYTES_TOTAL:
        sys.stderr.write(f"too large: {', '.join(too_large) or 'all together'}\n")
        return 1
    return 0


def _photos(folder: Path) -> Path:
    pictures: Any = data
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(pictures, name)()).save(folder / f"{name}.png")
    Image.open(folder / "rocket.png").resize((160, 107)).save(folder / "rocket-small.png")
    _edited_mask(folder)
    return folder


def _edited_mask(photos: Path) -> None:
    """The astronaut's mask without the helmet, as if somebody had painted over it."""
    command = [sys.executable, "-m", "cutoutd.service", "once", str(photos / "astronaut.png")]
    mask = photos / "edited.png"
    subprocess.run([*command, "-o", str(mask), "--channels", "alpha"], check=True, capture_output=True)
    with Image.open(mask) as image:
        painted = image.convert("L")
    ImageDraw.Draw(painted).ellipse((272, 334, 530, 580), fill=0)
    ImageDraw.Draw(painted).rectangle((0, 0, 14, 512), fill=0)
    painted.save(mask)


def _make(shot: Shot, photos: Path) -> None:
    """Cut out one photo."""
    out = photos / "out"
    options = [*shlex.split(shot.options), *shot.hidden]
    options = [str(photos / word) if word.endswith(".png") else word for word in options]
    command = [sys.executable, "-m", "cutoutd.service", "once", str(photos / f"{shot.photo}.png")]
    subprocess.run([*command, "-o", str(out), "--name", shot.name, *options], check=True, capture_output=True)
    (made,) = out.glob(f"{shot.name}.*")
    if shot.detail is None:
        (FOLDER / made.name).write_bytes(made.read_bytes())
    else:
        with Image.open(made) as whole:
            part = whole.convert("RGB").crop(shot.detail)
        double = part.resize((part.width * 2, part.height * 2), Image.Resampling.BICUBIC)
        double.save(FOLDER / made.name, quality=80, method=6)


def _before_after(photos: Path) -> None:
    """The README's picture: two photos, each beside its cutout on a chequerboard."""
    names, height = ("coffee", "chelsea"), 300
    strip: list[Image.Image] = []
    for name in names:
        command = [sys.executable, "-m", "cutoutd.service", "once", str(photos / f"{name}.png")]
        options = ["-o", str(photos / "readme")]
        subprocess.run([*command, *options], check=True, capture_output=True)
        photo, cutout = Image.open(photos / f"{name}.png"), Image.open(photos / "readme" / f"{name}.png")
        size = (round(photo.width * height / photo.height), height)
        board = Image.new("RGBA", size, "white")
        for x in range(0, size[0], 20):
            for y in range((x // 10) % 4 // 2 * 10, height, 20):
                board.paste("#dddddd", (x, y, x + 10, y + 10))
                board.paste("#dddddd", (x + 10, y + 10, x + 20, y + 20))
        board.alpha_composite(cutout.resize(size, Image.Resampling.LANCZOS))
        strip += [photo.convert("RGB").resize(size, Image.Resampling.LANCZOS), board.convert("RGB")]
    whole = Image.new("RGB", (sum(image.width for image in strip) + 6 * len(strip) - 6, height), "white")
    left = 0
    for image in strip:
        whole.paste(image, (left, 0))
        left += image.width + 6
    whole.save(FOLDER / f"{BEFORE_AFTER}.webp", quality=76, method=6)


def _page(made: dict[str, str]) -> str:
    lines = [HEAD]
    for section in SECTIONS:
        lines += [f"\n## {section.title}\n", section.text, ""]
        for shot in section.shots:
            command = f"cutoutd once {shot.photo}.png -o out {shot.options}".strip()
            lines += [f"`{command}`", "", f"![{shot.name}]({made[shot.name]})", ""]
    return "\n".join(lines).rstrip() + "\n" + TAIL


if __name__ == "__main__":
    sys.exit(main())
