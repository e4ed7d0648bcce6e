"""What each network costs and gives on this machine, beside rembg: the figures of docs/MODELS.md.

    python benchmarks/models.py cost                             milliseconds and memory, 1 thread and all
    python benchmarks/models.py parity                           the same file through rembg and through cutoutd
    python benchmarks/models.py scores --images DIR --masks DIR  against true masks, two arithmetics
    python benchmarks/models.py picture OUT.jpg                  cutouts side by side; --card: the model card's

Networks that are not installed are pulled first. `parity` needs CUTOUTD_REMBG_PYTHON, a Python with rembg in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from msgspec.structs import replace
from PIL import Image

from cutoutd.config.places import models_dir
from cutoutd.models.evaluation.cases import find_cases, read_photo
from cutoutd.models.evaluation.evaluate import judge
from cutoutd.models.evaluation.scores import summarise
from cutoutd.models.matting.matte import refine
from cutoutd.models.networks.bench import measure
from cutoutd.models.networks.catalog import BUNDLED, STANDARD, ModelSpec, find_model
from cutoutd.models.networks.pull import Tell, pull
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied

MODELS = (*BUNDLED, "u2netp", "isnet-imgly-small", "isnet-imgly")
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
# With two that hold no subject, and one of which the subject is more than the frame.
CARD = (*PHOTOS, "brick", "grass", "eye")
EYE = (slice(30, 180), slice(90, 240))
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BACKDROP = (120, 190, 110)


def spec_of(name: str) -> ModelSpec:
    plain = name.partition("@")[0]
    pull(plain, models_dir(), tell=Tell(announce=lambda text: print(text, file=sys.stderr)))
    return find_model(name, models_dir())


def photo_of(name: str) -> np.ndarray:
    if name == "eye":
        return np.ascontiguousarray(photo_of("chelsea")[EYE])
    photo = np.asarray(getattr(skimage.data, name)(), np.uint8)
    return photo if photo.ndim == 3 else np.repeat(photo[..., np.newaxis], 3, axis=2)


def row(*cells: object) -> None:
    print("| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")


def heading(*cells: str) -> None:
    row(*cells)
    row(*["---"] * len(cells))


def cost(runs: int) -> None:
    heading("model", "provider", "threads", "load ms", "ms/photo", "CPU ms", "resting MB", "peak MB")
    for name in MODELS:
        spec = spec_of(name)
        for threads in sorted({1, CORES}):
            one = measure(spec, threads=threads, runs=runs)
            numbers = (one.load_ms, one.photo_ms, one.cpu_ms, one.resting_mb, one.peak_mb)
            row(name, one.provider, threads, *(round(number) for number in numbers))


def parity() -> None:
    rembg = os.environ.get("CUTOUTD_REMBG_PYTHON")
    if not rembg:
        sys.exit("CUTOUTD_REMBG_PYTHON names no Python with rembg in it")
    heading("file", "rembg's session", "photo", "largest difference, of 255", "with cutoutd's own arithmetic")
    isnet = replace(spec_of("isnet-imgly@rembg"), mean=(0.5,) * 3, std=(1.0,) * 3)
    for session, spec in (("u2netp", spec_of("u2netp@rembg")), ("dis_custom", isnet)):
        own = Segmenter(spec_of(spec.name), threads=CORES)
        same = Segmenter(spec, threads=CORES)
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{name}.png" for name in PHOTOS]
            for file in files:
                Image.fromarray(photo_of(file.stem)).save(file)
            out = Path(folder) / "masks.npz"
            script = Path(__file__).with_name("rembg_masks.py")
            subprocess.run([rembg, script, session, str(spec.path), out, *files], check=True)
            with np.load(out) as found:
                for number, file in enumerate(files):
                    theirs = found[f"mask{number}"].astype(int)
                    ours = (same.alpha(photo_of(file.stem)) * 255).astype(np.uint8)
                    default = (own.alpha(photo_of(file.stem)) * 255).astype(np.uint8)
                    row(
                        spec.name,
                        session,
                        file.stem,
                        *(int(np.abs(a - theirs).max()) for a in (ours, default)),
                    )


def scores(images: Path, masks: Path, names: Path | None, every: int, models: tuple[str, ...]) -> None:
    cases = find_cases(images, masks, names, every)
    print(f"{len(cases)} photos")
    heading("model", "IoU", "MAE", "maxF", "boundary IoU")
    for name in models:
        spec = spec_of(name)
        arithmetics = [spec] if name in BUNDLED else [spec, spec_of(f"{name}@rembg")]
        for spec in arithmetics:
            segmenter = Segmenter(spec, threads=CORES)
            found = summarise([one.score for one in judge(segmenter, cases)])
            label = f"{name}@rembg" if spec.stretch else name
            row(label, found.iou, found.mae, found.max_f, found.boundary_iou)
            sys.stdout.flush()


def picture(out: Path, names: tuple[str, ...], pictures: list[np.ndarray], height: int) -> None:
    segmenters = [Segmenter(spec_of(name), threads=CORES) for name in names]
    rows: list[np.ndarray] = []
    for photo in pictures:
        tiles = [photo]
        for segmenter in segmenters:
            alpha, colour = refine(tidied(segmenter.alpha(photo)), photo)
            share = alpha[..., np.newaxis] / 255.0
            tiles.append((colour * share + np.array(BACKDROP) * (1 - share)).round().astype(np.uint8))
        rows.append(np.hstack(tiles))
    width = min(round(r.shape[1] * height / r.shape[0]) for r in rows)
    sized = [Image.fromarray(r).resize((width, round(r.shape[0] * width / r.shape[1]))) for r in rows]
    sheet = Image.new("RGB", (width, sum(image.height for image in sized)))
    top = 0
    for image in sized:
        sheet.paste(image, (0, top))
        top += image.height
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=82)
    print(f"{out}: photo, {', '.join(names)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cost").add_argument("--runs", type=int, default=5)
    commands.add_parser("parity")
    wanted = commands.add_parser("scores")
    wanted.add_argument("--images", type=Path, required=True)
    wanted.add_argument("--masks", type=Path, required=True)
    wanted.add_argument("--names", type=Path)
    wanted.add_argument("--every", type=int, default=1)
    wanted.add_argument("--models", default=",".join(MODELS))
    sheet = commands.add_parser("picture")
    sheet.add_argument("out", type=Path)
    sheet.add_argument("photos", type=Path, nargs="*", help="unset: the public-domain photos of scikit-image")
    sheet.add_argument("--card", action="store_true", help="those of the model card, smaller")
    sheet.add_argument("--models", default=f"{STANDARD},u2netp,isnet-imgly")
    options = parser.parse_args()
    if options.command == "cost":
        cost(options.runs)
    elif options.command == "parity":
        parity()
    elif options.command == "scores":
        scores(options.images, options.masks, options.names, options.every, tuple(options.models.split(",")))
    else:
        shown = [photo_of(name) for name in (CARD if options.card else PHOTOS)]
        shown = [read_photo(path) for path in options.photos] or shown
        picture(options.out, tuple(options.models.split(",")), shown, 150 if options.card else 300)


if __name__ == "__main__":
    main()
