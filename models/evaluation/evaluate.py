"""Scores networks against true masks, side by side: `python -m cutoutd.models.evaluation.evaluate --images DIR --masks
DIR`.

Not for making cutouts: photos are read, judged and forgotten. The arithmetic of the scores is in scores.py.
maxF and the MAE beside it follow the U²-Net authors' own tool, so they may be put beside published figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict, replace
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from cutoutd.config.errors import CutoutError, UsageError
from cutoutd.config.places import models_dir
from cutoutd.models.evaluation.cases import Case, find_cases, read_mask, read_photo, resized
from cutoutd.models.evaluation.scores import PhotoScore, score, summarise
from cutoutd.models.evaluation.solidity import Solidity, mean_solidity, solidity
from cutoutd.models.matting.matte import Engine, refine
from cutoutd.models.networks.catalog import (
    HIGH_LOOKS,
    STANDARD,
    ModelSpec,
    decider_spec,
    find_model,
    known_model,
)
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied
from cutoutd.models.networks.subject import reading_of
from cutoutd.models.planes import Alpha

ALL: Final = "all"
# Of a model's name or file: decided, as the product does by default; averaged with its mirrored look; with one from
# nearby too; and with further ones, decided, as `effort = "high"` does.
DECIDED_SUFFIX: Final = "@decided"
FLIP_SUFFIX: Final = "@flip"
CLOSER_SUFFIX: Final = "@closer"
HIGH_SUFFIX: Final = "@high"
_DECIDED: Final[dict[str, Any]] = {"decider": decider_spec().sha256}
SUFFIXES: Final[dict[str, dict[str, Any]]] = {
    DECIDED_SUFFIX: _DECIDED,
    FLIP_SUFFIX: {"flip": True},
    CLOSER_SUFFIX: {"flip": True, "closer": True},
    HIGH_SUFFIX: {"flip": True, "closer": True, "more_looks": HIGH_LOOKS, **_DECIDED},
}

# Columns of the table: field of Summary, heading, and whether more is better.
COLUMNS: Final = (
    ("iou", "IoU", True),
    ("mae", "MAE", False),
    ("max_f", "maxF", True),
    ("mae_normalised", "MAE/max", False),
    ("max_f_plain", "maxF plain", True),
    ("s_measure", "S", True),
    ("boundary_iou", "bIoU", True),
)

# Further columns with `--solid`: field of Solidity, heading, and whether more is better.
SOLID_COLUMNS: Final = (
    ("not_solid", "not solid", False),
    ("half_tones", "half-tones", False),
    ("leftovers", "leftovers", False),
    ("skeleton", "skeleton", True),
)

PLAIN_WIDTH: Final = 150  # columns where standard output is no terminal: no table wraps
# A sheet for the eye: the worst dozen, each picture large enough to judge and the whole no larger than a screen.
SHEET_ROWS: Final = 12
SHEET_SIDE: Final = 200


class Judged(Struct, frozen=True):
    """One model's score on one case, and the milliseconds from decoded photo to alpha; `solid` only if asked for."""

    case: Case
    score: PhotoScore
    milliseconds: float
    solid: Solidity | None = None


# --- who is judged


def model_spec(model: str, like: str | None) -> ModelSpec:
    """An installed or bundled model by name, or a file that is fed like the model named by `like`.

    Raises:
        ModelError: the name is unknown or not installed.
        UsageError: a file without `like`, or a file that is not there.
    """
    for suffix, looks in SUFFIXES.items():
        if model.endswith(suffix):
            once = model_spec(model.removesuffix(suffix), like)
            return replace(once, name=once.name + suffix, like=once.like or once.name, **looks)
    path = Path(model)
    if like is None and path.suffix != ".onnx":
        return find_model(model, models_dir())
    if like is None:
        raise UsageError("A model file needs to be fed like one we know", path, "Say --like NAME after it.")
    if not path.is_file():
        raise UsageError("There is no such model file", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    base = known_model(like)
    return replace(
        base, name=path.stem, like=like, path=path, sha256=digest, md5="", bytes=path.stat().st_size
    )


class _ModelOption(argparse.Action):
    """Collects `--model M [--like N]` pairs in order: `--like` belongs to the model before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del option_string  # both options are told apart by `dest`
        pairs: list[tuple[str, str | None]] = list(getattr(namespace, "models", None) or [])
        if self.dest == "models":
            pairs.append((str(values), None))
        elif not pairs:
            parser.error("--like belongs after a --model FILE")
        else:
            pairs[-1] = (pairs[-1][0], str(values))
        namespace.models = pairs


def adjusted(spec: ModelSpec, options: argparse.Namespace) -> ModelSpec:
    """The spec with `--fit`, `--size` and `--flip` applied; unset ones leave the catalogue's values."""
    changed: dict[str, Any] = {}
    if options.fit is not None:
        changed["fit"] = options.fit
    if options.size is not None:
        changed["input_size"] = options.size
    if options.flip is not None:
        changed["flip"] = options.flip
    return replace(spec, **changed)


# --- judging


def look(segmenter: Segmenter, rgb: NDArray[np.uint8]) -> Alpha:
    """The network's answer to a photo uint8 (H, W, 3): float32 (h, w) in 0..1 at its own scale.

    It is read as the product reads it; a candidate to be bundled is read as the bundled one.
    """
    spec = segmenter.spec
    reading = reading_of(spec.like or spec.name)
    alpha = segmenter.alpha(rgb)
    return tidied(alpha) if reading.decides else alpha


def finished(alpha: Alpha, rgb: NDArray[np.uint8], engine: Engine | None) -> Alpha:
    """The alpha as it is delivered, float32 (H, W) in 0..1.

    Args:
        alpha: float32 (h, w) in 0..1, from `look`.
        rgb: the photo, uint8 (H, W, 3).
        engine: what draws it at the photo's size; None: it stays as the network gave it.

    Raises:
        ModelError: the refiner network cannot be loaded.
    """
    if engine is None:
        return alpha
    return refine(alpha, rgb, engine=engine)[0].astype(np.float32) / np.float32(255)


def judge(
    segmenter: Segmenter, cases: Sequence[Case], *, engine: Engine | None = None, solid: bool = False
) -> Iterator[Judged]:
    """Run and score one model on every case, in order.

    Args:
        segmenter: the model.
        cases: photos and masks.
        engine: also draws the outline, as the product does; unset: the network's answer is judged.
        solid: judges haze and thin parts as well.
    """
    for number, case in enumerate(cases):
        rgb, mask = read_photo(case.photo), read_mask(case.mask)
        if number == 0:
            look(segmenter, rgb)  # the first run also plans memory, and would be timed with it
        started = time.perf_counter()
        alpha = finished(look(segmenter, rgb), rgb, engine)
        milliseconds = (time.perf_counter() - started) * 1000
        fitted = resized(alpha, *mask.shape)
        yield Judged(case, score(fitted, mask), milliseconds, solidity(fitted, mask) if solid else None)


def by_folder(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """The photos of each folder, and all under ALL where there is more than one folder."""
    folders: dict[str, list[Judged]] = {}
    for one in judged:
        folders.setdefault(one.case.folder or ".", []).append(one)
    found = dict(sorted(folders.items()))
    return found if len(found) == 1 else found | {ALL: list(judged)}


def report(judged: Sequence[Judged]) -> dict[str, Any]:
    """One model's figures as plain data for `--json`; figures that do not exist are null."""

    def plain(some: list[Judged]) -> dict[str, Any]:
        """Means of some of them, as JSON takes them."""
        values = asdict(summarise([one.score for one in some]))
        solid = [one.solid for one in some if one.solid is not None]
        values |= asdict(mean_solidity(solid)) if solid else {}
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}

    return {
        "milliseconds": float(np.median([one.milliseconds for one in judged])),
        "folders": {folder: plain(some) for folder, some in by_folder(judged).items()},
    }


def table(results: dict[str, dict[str, Any]]) -> Table:
    """One line per folder and model; the best value of each folder is bold."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("folder")
    shown.add_column("photos", justify="right")
    shown.add_column("model")
    first = next(iter(next(iter(results.values()))["folders"].values()))
    columns = COLUMNS + tuple(column for column in SOLID_COLUMNS if column[0] in first)
    for heading in (*(heading for _, heading, _ in columns), "ms"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for folder in next(iter(results.values()))["folders"]:
        rows = {name: result["folders"][folder] for name, result in results.items()}
        for name, row in rows.items():
            cells = [_cell(rows, name, field, more) for field, _, more in columns]
            shown.add_row(folder, str(row["photos"]), name, *cells, f"{results[name]['milliseconds']:.0f}")
    return shown


def _cell(rows: dict[str, dict[str, Any]], name: str, field: str, more: bool) -> str:
    value = rows[name][field]
    if value is None:
        return "–"
    values = [row[field] for row in rows.values() if row[field] is not None]
    text = f"{value:.4f}"
    best = value == (max if more else min)(values)
    return f"[bold]{text}[/bold]" if best and len(rows) > 1 else text


# --- the sheet


def tile(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture, uint8 (h, w, 3), fitted into a square of SHEET_SIDE pixels, white around it."""
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((SHEET_SIDE, SHEET_SIDE))
    square = Image.new("RGB", (SHEET_SIDE, SHEET_SIDE), "white")
    square.paste(image, ((SHEET_SIDE - image.width) // 2, (SHEET_SIDE - image.height) // 2))
    return square


def over_green(rgb: NDArray[np.uint8], alpha: Alpha) -> NDArray[np.uint8]:
    """The cutout laid over green, which no photo has much of: uint8 (H, W, 3), with an alpha of any size in 0..1."""
    full = resized(alpha, *rgb.shape[:2])[..., None]
    green = np.array([0, 180, 60], np.float32)
    return (rgb * full + green * (1 - full)).round().astype(np.uint8)


def sheet(segmenters: dict[str, Segmenter], cases: Sequence[Case]) -> Image.Image:
    """One row per case: photo, true cutout, then each model's cutout, over green. Raises PhotoError, UsageError."""
    page = Image.new("RGB", (SHEET_SIDE * (len(segmenters) + 2), SHEET_SIDE * len(cases)), "white")
    for row, case in enumerate(cases):
        rgb, mask = read_photo(case.photo), read_mask(case.mask)
        alphas = [mask.astype(np.float32) / np.float32(255)]
        alphas += [look(segmenter, rgb) for segmenter in segmenters.values()]
        for column, pixels in enumerate([rgb, *(over_green(rgb, alpha) for alpha in alphas)]):
            page.paste(tile(pixels), (column * SHEET_SIDE, row * SHEET_SIDE))
    return page


def worst(judged: Sequence[Judged], count: int = SHEET_ROWS) -> list[Case]:
    """The cases with the lowest IoU, worst first."""
    return [one.case for one in sorted(judged, key=lambda one: one.score.iou)[:count]]


# --- the command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.evaluation.evaluate", description="Score networks against true masks."
    )
    p.add_argument(
        "--images", type=Path, required=True, help="folder of photos; sub-folders are reported apart"
    )
    p.add_argument(
        "--masks", type=Path, required=True, help="folder of masks named like the photos; 255 = subject"
    )
    p.add_argument(
        "--model",
        dest="models",
        action=_ModelOption,
        metavar="NAME|FILE",
        help=f"may be repeated; {DECIDED_SUFFIX} decides (as by default), {FLIP_SUFFIX} mirrors, "
        f"{CLOSER_SUFFIX} looks from nearby too, "
        f"{HIGH_SUFFIX} is high effort; unset: {STANDARD}",
    )
    p.add_argument("--like", action=_ModelOption, metavar="NAME", help="how the FILE before it is fed")
    p.add_argument("--names", type=Path, help="text file: only these pairs (path without suffix, one a line)")
    p.add_argument("--every", type=int, default=1, help="one pair in so many; unset: all")
    p.add_argument("--fit", choices=("squash", "pad"), help="unset: as the model's entry says")
    p.add_argument("--size", type=int, help="input side in pixels, a multiple of 32; unset: the model's own")
    p.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored photo")
    p.add_argument("--engine", choices=get_args(Engine), help="judge what an edge engine makes of the answer")
    p.add_argument(
        "--solid", action="store_true", help="judge haze inside and outside and thin parts as well"
    )
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="unset: all cores")
    p.add_argument("--json", action="store_true", help="figures as JSON instead of a table")
    p.add_argument(
        "--sheet", type=Path, metavar="OUT.png", help="write a picture of the first model's worst cases"
    )
    return p


def run(options: argparse.Namespace, console: Console) -> dict[str, dict[str, Any]]:
    """Judge every model asked for and show the figures; returns them by model name."""
    cases = find_cases(options.images, options.masks, options.names, options.every)
    results: dict[str, dict[str, Any]] = {}
    segmenters: dict[str, Segmenter] = {}
    worst_cases: list[Case] = []
    for model, like in options.models or [(STANDARD, None)]:
        spec = adjusted(model_spec(model, like), options)
        segmenter = Segmenter(spec, providers=["cpu"], threads=options.threads)
        judged = list(judge(segmenter, cases, engine=options.engine, solid=options.solid))
        name = spec.name if spec.name not in results else f"{spec.name} ({len(results) + 1})"
        results[name], segmenters[name] = report(judged), segmenter
        worst_cases = worst_cases or worst(judged)
    if options.sheet is not None:
        sheet(segmenters, worst_cases).save(options.sheet)
    if options.json:
        console.print_json(json.dumps(results))
    else:
        console.print(table(results))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    try:
        # A file or pipe has no width of its own; the table needs this much.
        console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
        run(parser().parse_args(arguments), console)
    except CutoutError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
