"""How much smaller a photo may be decoded, because all that is made from it is smaller; it decodes nothing.

A JPEG's decoder makes a half, a quarter or an eighth of the size for less time than the whole, and everything after it
has as many fewer pixels to work on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cutoutd.config.matte import Matte
from cutoutd.config.output import Output
from cutoutd.models.matting import refiner
from cutoutd.models.rendering import layout

# What decoders of JPEG take as a whole, the largest first; 1 is the photo itself.
_FACTORS: Final = (8, 4, 2)


def reduction(outputs: Iterable[Output], matte: Matte, photo: tuple[int, int]) -> int:
    """The photo's sides may be divided by so much, rounded up: 1, 2, 4 or 8.

    No file that is made has more pixels than are left, and the network that draws edges still sees all that it can use.

    Args:
        outputs: all that is made of the photo.
        matte: how the outline is found; what counts in the photo's own pixels takes the whole photo.
        photo: its width and height in pixels.
    """
    if matte.roi or matte.grow or matte.edge != "natural" or matte.closed_form:
        return 1
    targets = [_target(one, photo) for one in outputs]
    for factor in _FACTORS:
        sides = reduced(photo, factor)
        if max(sides) >= refiner.WORK_MOST and all(
            target is not None and target[0] <= sides[0] and target[1] <= sides[1] for target in targets
        ):
            return factor
    return 1


def reduced(photo: tuple[int, int], factor: int) -> tuple[int, int]:
    """Width and height of a photo whose sides are divided, as decoders round them."""
    return -(-photo[0] // factor), -(-photo[1] // factor)


def _target(output: Output, photo: tuple[int, int]) -> tuple[int, int] | None:
    """Width and height that the whole photo has in the result; None where that depends on what it shows."""
    if output.fit == "head" or output.keeps_background or layout.needs_subject(output):
        return None
    target = layout.place(output, photo).target
    return target.width, target.height
