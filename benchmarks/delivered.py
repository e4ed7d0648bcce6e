"""What `cutoutd once` delivers at its defaults, beside true masks: `python -m benchmarks.delivered --images DIR …`.

Not the network's answer alone (that is `cutoutd.models.evaluation.evaluate`): the files that a user gets are read back,
and a photo that was refused counts as an empty one. Sub-folders are reported apart; options after `--` go to `once`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from cutoutd.models.evaluation.cases import Case, find_cases, read_mask, resized
from cutoutd.models.evaluation.scores import PhotoScore, score, summarise
from cutoutd.models.evaluation.solidity import Solidity, mean_solidity, solidity
from cutoutd.models.planes import Alpha

ALL: Final = "all"
# Heading, and how often a figure is multiplied for it: shares are shown in per cent.
COLUMNS: Final = {
    "not_solid": ("not solid", 100),
    "half_tones": ("half-tones", 100),
    "leftovers": ("leftovers", 100),
    "skeleton": ("skeleton", 1),
    "boundary_iou": ("boundary IoU", 1),
    "iou": ("IoU", 1),
    "max_f": ("maxF", 1),
    "mae": ("MAE", 1),
}


class Judged(NamedTuple):
    """One photo: its scores, whether it was refused, whether it was flagged for review."""

    score: PhotoScore
    solid: Solidity
    refused: bool
    flagged: bool


def delivered(cases: Sequence[Case], options: Sequence[str] = ()) -> list[Judged]:
    """Cut out every case with one run of `cutoutd once`, and judge what lies there afterwards.

    Raises:
        subprocess.CalledProcessError: the command itself failed, not only some photos.
    """
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder, "photos"), Path(folder, "out")
        photos.mkdir()
        for number, case in enumerate(cases):  # names of several folders in one
            shutil.copyfile(case.photo, photos / f"{number:05d}{case.photo.suffix}")
        command = [
            sys.executable,
            "-m",
            "cutoutd.service",
            "once",
            str(photos),
            "-o",
            str(out),
            "--json",
            *options,
        ]
        ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if ran.returncode not in (0, 3):
            raise subprocess.CalledProcessError(ran.returncode, command)
        said: dict[int, dict[str, Any]] = {}
        for line in ran.stdout.splitlines():
            told = json.loads(line)
            said[int(Path(told["source"]).stem)] = told
        return [judge(case, said[number]) for number, case in enumerate(cases)]


def judge(case: Case, told: Mapping[str, Any]) -> Judged:
    """One case beside what `once` said of it."""
    mask = read_mask(case.mask)
    outputs = told["outputs"]
    alpha: Alpha = np.zeros(mask.shape, np.float32)
    if outputs:
        with Image.open(outputs[0]) as image:
            made = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
        alpha = resized(made, *mask.shape)
    return Judged(score(alpha, mask), solidity(alpha, mask), not outputs, bool(told["needs_review"]))


def figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Means of one folder; nan where a figure does not exist."""
    scores, solid = summarise([one.score for one in judged]), mean_solidity([one.solid for one in judged])
    found = {
        name: float(getattr(scores if hasattr(scores, name) else solid, name)) * times
        for name, (_, times) in COLUMNS.items()
    }
    counts = {
        "photos": len(judged),
        "refused": sum(one.refused for one in judged),
        "flagged": sum(one.flagged for one in judged),
    }
    return counts | found


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """In Markdown."""
    headings = ["folder", "photos", "refused", "flagged", *(heading for heading, _ in COLUMNS.values())]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for folder, row in results.items():
        counts = [f"{row[name]:.0f}" for name in ("photos", "refused", "flagged")]
        cells = [f"{row[name]:.{1 if times == 100 else 4}f}" for name, (_, times) in COLUMNS.items()]
        lines.append(f"| {' | '.join([folder or '.', *counts, *cells])} |")
    return "\n".join(lines)


def run(cases: Sequence[Case], options: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Figures of each folder, and of all where there are several."""
    folders: defaultdict[str, list[Judged]] = defaultdict(list)
    judged = delivered(cases, options)
    for case, one in zip(cases, judged, strict=True):
        folders[case.folder].append(one)
    found = {folder: figures(some) for folder, some in sorted(folders.items())}
    return found if len(found) == 1 else found | {ALL: figures(judged)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.delivered", description=(__doc__ or "").split("\n")[0]
    )
    p.add_argument("--images", type=Path, required=True, help="folder of photos")
    p.add_argument(
        "--masks", type=Path, required=True, help="folder of masks named like the photos; 255 = subject"
    )
    p.add_argument("--names", type=Path, help="text file: only these pairs (path without suffix, one a line)")
    p.add_argument("--every", type=int, default=1, help="one pair in so many; unset: all")
    p.add_argument("--json", action="store_true", help="figures as JSON instead of a table")
    p.add_argument("options", nargs="*", help="after --: options of `cutoutd once`")
    o = p.parse_args(arguments)
    results = run(find_cases(o.images, o.masks, o.names, o.every), o.options)
    print(json.dumps(results, indent=1) if o.json else table(results))


if __name__ == "__main__":
    main()
