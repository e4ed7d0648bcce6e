"""What Pillow cannot hold: all 16 bits of colour files, and TIFFs of float or planar pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutoutd.models.opening import Opened


def is_needed(data: bytes, kind: str) -> bool:
    """True for TIFFs that Pillow refuses."""
    return False


def decode(data: bytes, *, want_16bit: bool = False) -> Opened:
    raise OSError("unsupported")


def low_bytes(data: bytes, kind: str, orientation: int) -> NDArray[np.uint16] | None:
    return None
