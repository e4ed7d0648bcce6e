"""What points of somebody's bring: `python -m benchmarks.points --images DIR --masks DIR --names LIST --every 4`.

Each photo that is not right already gets one point after another, as somebody would set it: in the middle of the
largest part that is wrong, on what is missing or on what is too much. Printed are the mean IoU after each point, how
many steps made it worse, and how many points were refused. At the scale of the network's answer; needs scipy.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, field
from PIL import Image

from cutoutd.config.errors import PhotoError
from cutoutd.config.fixes import Fixes
from cutoutd.config.places import models_dir
from cutoutd.models.evaluation.cases import find_cases, read_mask, read_photo
from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.fixups import corrected
from cutoutd.models.networks.haze import settled
from cutoutd.models.networks.segmenter import Segmenter
from cutoutd.models.networks.strays import tidied
from cutoutd.models.planes import Mask, Plane

# What is as right as this needs nobody's points.
RIGHT = 0.95
# Wrong parts smaller than this, in samples of the answer, are no longer pointed at.
LEAST_PART = 20


class Course(Struct):
    """What became of one photo: its IoU before and after each point, and whether the last was refused."""

    ious: list[float]
    kinds: list[str] = field(default_factory=list[str])
    refused: bool = False


def iou(answer: Plane, truth: Mask) -> float:
    """Of what is more than half there."""
    seen = answer >= 0.5
    return float((seen & truth).sum() / max(1, (seen | truth).sum()))


def largest_wrong_part(answer: Plane, truth: Mask) -> tuple[str, int, int] | None:
    """Whether it is missing ("keep") or too much ("remove"), and the row and column of its middle."""
    from scipy import ndimage  # type: ignore[import-untyped]

    scipy: Any = ndimage
    best = (0, "", 0, 0)
    for kind, wrong in (("keep", truth & (answer < 0.5)), ("remove", ~truth & (answer >= 0.5))):
        parts, count = scipy.label(wrong)
        if not count:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        part = int(sizes.argmax()) + 1
        depth = scipy.distance_transform_edt(np.pad(parts == part, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if sizes[part - 1] > best[0]:
            best = (int(sizes[part - 1]), kind, int(row), int(column))
    return None if best[0] < LEAST_PART else best[1:]


def course(segmenter: Segmenter, photo: Path, mask: Path, points: int) -> Course | None:
    """One photo with so many points at most; None where it is right without any."""
    rgb = read_photo(photo)
    first = segmenter.alpha(rgb)
    size = (first.shape[1], first.shape[0])
    shown = Image.fromarray((np.asarray(read_mask(mask)) >= 0.5).astype(np.uint8) * 255)
    truth: Mask = np.asarray(shown.resize(size, Image.Resampling.BOX)) >= 128
    answer = tidied(first, None)
    made = Course([iou(answer, truth)])
    if made.ious[0] >= RIGHT:
        return None
    keep: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    height, width = rgb.shape[:2]
    while len(made.kinds) < points and (wrong := largest_wrong_part(answer, truth)) is not None:
        kind, row, column = wrong
        point = f"{(column + 0.5) / size[0] * 100:.2f}%,{(row + 0.5) / size[1] * 100:.2f}%"
        keep, remove = (*keep, *([point] * (kind == "keep"))), (*remove, *([point] * (kind == "remove")))
        fixes, whole = Fixes(keep, remove), (0, 0, width, height)
        try:
            found = corrected(settled(first), fixes, (height, width), whole, rgb, segmenter.alpha)
        except PhotoError:
            made.refused = True
            break
        answer = tidied(found, found >= 1.0 if keep else None)
        made.kinds.append(kind)
        made.ious.append(iou(answer, truth))
    return made


def lines(courses: list[Course], points: int) -> Iterator[str]:
    """The figures, as text."""
    yield f"{len(courses)} photos below IoU {RIGHT}; {sum(one.refused for one in courses)} ended with a refused point"
    for count in range(points + 1):
        ious = [one.ious[min(count, len(one.ious) - 1)] for one in courses]
        right = sum(value >= RIGHT for value in ious)
        yield f"after {count} points: mean IoU {statistics.fmean(ious):.4f}, {right} right"
    for kind in ("keep", "remove"):
        steps = [
            after - before
            for one in courses
            for before, after, of in zip(one.ious, one.ious[1:], one.kinds, strict=False)
            if of == kind
        ]
        if steps:
            worse, much = (sum(step < -least for step in steps) for least in (0.002, 0.02))
            gain = statistics.fmean(steps)
            yield f"{kind}: {len(steps)} points, mean gain {gain:.4f}, {worse} made it worse, {much} by more than .02"


def main() -> None:
    """Measure it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--names", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--points", type=int, default=3)
    asked = parser.parse_args()
    segmenter = Segmenter(resolve("standard", models_dir(), "normal"), threads=1)
    cases = find_cases(asked.images, asked.masks, asked.names, asked.every)
    courses = [course(segmenter, case.photo, case.mask, asked.points) for case in cases]
    for line in lines([one for one in courses if one is not None], asked.points):
        print(line)


if __name__ == "__main__":
    main()
