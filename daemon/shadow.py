"""Shadows made from the alpha: drop (soft, behind) or contact (on the ground); it only says how dark."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cutoutd.daemon.layout import Box, Reach

Kind = Literal["none", "drop", "contact"]

# All lengths are shares of the subject's longer side, so that a shadow looks the same at every size.
_DROP_BLUR, _DROP_RIGHT, _DROP_DOWN = 0.020, 0.012, 0.022
_CONTACT_HEIGHT, _CONTACT_BLUR, _CONTACT_CORE_BLUR = 0.055, 0.016, 0.005
# Only the lowest part of the subject stands near the ground and darkens it.
_CONTACT_FOOT = 0.30
# A blur ends, for 8-bit eyes, after three standard deviations.
_BLUR_ENDS = 3.0
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
        blur = _CONTACT_BLUR * _BLUR_ENDS
        return Reach(top=0.0, right=blur, bottom=_CONTACT_HEIGHT / 2 + blur, left=blur)
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
    small = Image.fromarray(alpha).resize(small_size, Image.Resampling.BOX)
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
    """The subject's foot pressed flat onto the ground line, once soft and once close and dense."""
    side = max(box.width, box.height)
    foot_top = box.bottom - max(1, round(box.height * _CONTACT_FOOT))
    foot = alpha.crop((box.left, foot_top, box.right, box.bottom))
    thickness = max(1, round(side * _CONTACT_HEIGHT))
    flat = foot.resize((box.width, thickness), Image.Resampling.BOX)
    ground = box.bottom - thickness // 2
    soft, core = Image.new("L", alpha.size), Image.new("L", alpha.size)
    soft.paste(flat, (box.left, ground))
    thin = flat.resize((box.width, max(1, thickness // 3)), Image.Resampling.BOX)
    core.paste(thin, (box.left, box.bottom - max(1, thickness // 6)))
    soft = soft.filter(ImageFilter.GaussianBlur(side * _CONTACT_BLUR))
    core = core.filter(ImageFilter.GaussianBlur(side * _CONTACT_CORE_BLUR))
    mixed = np.maximum(np.asarray(soft, np.float32) * 0.75, np.asarray(core, np.float32))
    return Image.fromarray(mixed.astype(np.uint8))
