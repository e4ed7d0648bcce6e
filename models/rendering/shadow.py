"""Shadows made from the alpha: drop (soft, behind) or contact (on the ground); it only says how dark."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cutoutd.models.rendering.layout import Box, Reach

Kind = Literal["none", "drop", "contact"]

# All lengths are shares of the subject's longer side, so that a shadow looks the same at every size.
_DROP_BLUR, _DROP_RIGHT, _DROP_DOWN = 0.020, 0.012, 0.022
_HUG_DOWN, _HUG_BLUR = 0.022, 0.014  # close to the outline of the lower part
_POOL_HEIGHT, _POOL_BLUR = 0.060, 0.020  # softer, around what touches the ground
# The hug fades in over the lower half; only the lowest twelfth of a subject touches the ground.
_HUG_FROM, _FOOT = 0.5, 1 / 12
# A blur ends, for 8-bit eyes, after three standard deviations.
_BLUR_ENDS = 3.0
# Haze around a matte casts no shadow: only what is more than half there does.
_SOLID = [0] * 128 + list(range(1, 256, 2))
# A shadow has no detail: made at no more than this size, it costs milliseconds and looks the same.
_WORK_PX = 1000


def reach(kind: Kind) -> Reach:
    """How far this shadow extends beyond the subject's box, in shares of its longer side."""
    if kind == "drop":
        blur = _DROP_BLUR * _BLUR_ENDS
        return Reach(
            top=max(0.0, blur - _DROP_DOWN),
            right=blur + _DROP_RIGHT,
            bottom=blur + _DROP_DOWN,
            left=blur - _DROP_RIGHT,
        )
    if kind == "contact":
        blur = _POOL_BLUR * _BLUR_ENDS
        return Reach(top=0.0, right=blur, bottom=_POOL_HEIGHT / 2 + blur, left=blur)
    return Reach()


def cast(kind: Kind, alpha: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """The shadow of a placed subject.

    Args:
        kind: "drop" or "contact"; "none" gives an empty shadow.
        alpha: uint8 (H, W) of the subject on its canvas.
        strength: darkness at the darkest, per cent.

    Returns:
        uint8 (H, W): opacity of the black shadow, 0 where there is none. Empty where alpha is empty.
    """
    height, width = alpha.shape
    factor = min(1.0, _WORK_PX / max(height, width))
    small_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = Image.fromarray(alpha).resize(small_size, Image.Resampling.BOX).point(_SOLID)
    box = small.getbbox()
    if kind == "none" or box is None:
        return np.zeros((height, width), np.uint8)
    drawn = _drop(small, Box(*box)) if kind == "drop" else _contact(small, Box(*box))
    drawn = drawn.point([round(value * strength / 100) for value in range(256)])
    return np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR))


def _drop(alpha: Image.Image, box: Box) -> Image.Image:
    side = max(box.width, box.height)
    moved = Image.new("L", alpha.size)
    moved.paste(alpha, (round(side * _DROP_RIGHT), round(side * _DROP_DOWN)))
    return moved.filter(ImageFilter.GaussianBlur(side * _DROP_BLUR))


def _contact(alpha: Image.Image, box: Box) -> Image.Image:
    """Two parts: dark and close along the lower outline, and a soft pool where the subject's foot stands."""
    side = max(box.width, box.height)
    hug = Image.new("L", alpha.size)
    hug.paste(alpha, (0, max(1, round(side * _HUG_DOWN))))
    hug = hug.filter(ImageFilter.GaussianBlur(side * _HUG_BLUR))
    rows = np.arange(alpha.height, dtype=np.float32)
    start = box.top + box.height * _HUG_FROM
    ramp = np.clip((rows - start) / max(1.0, box.bottom - start), 0, 1)[:, np.newaxis]
    pool = _pool(alpha, box, side)
    dark = np.maximum(np.asarray(hug, np.float32) * ramp, np.asarray(pool, np.float32) * 0.8)
    return Image.fromarray(dark.astype(np.uint8))


def _pool(alpha: Image.Image, box: Box, side: int) -> Image.Image:
    foot = alpha.crop((box.left, box.bottom - max(1, round(box.height * _FOOT)), box.right, box.bottom))
    thickness = max(2, round(side * _POOL_HEIGHT))
    pool = Image.new("L", alpha.size)
    pool.paste(
        foot.resize((box.width, thickness), Image.Resampling.BOX), (box.left, box.bottom - thickness // 2)
    )
    return pool.filter(ImageFilter.GaussianBlur(side * _POOL_BLUR))
