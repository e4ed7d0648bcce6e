"""The arrays that the rooms of models/ hand to one another, by name, with shape and range; nothing is computed here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]  # (h, w), 0..1: how much of each place belongs to the subject
Mask = NDArray[np.bool_]  # (h, w)
Plane = NDArray[np.float32]  # (h, w), or several of them as (c, h, w); which range, each function says
