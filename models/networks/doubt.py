"""Why a cutout may be wrong, as a fixed list of words; it judges nothing and imports nothing heavy.

Apart from `confidence.py`, since the supervisor and the command line know these words and load no pixels.
"""

from __future__ import annotations

from enum import StrEnum


class Doubt(StrEnum):
    """Why a cutout may be wrong, in words for its owner; the words are part of the interface."""

    INSIDE = "half-transparent inside"
    BESIDE = "something beside the subject is half there"
    TWO = "two subjects or more"
    FRAME = "touches the frame"
    SMALL = "small in the photo"
    FAINT = "nothing in it stands out clearly"
    NOT_REDONE = "could not be done again as asked"
    NO_HEAD = "no head found"
    ENLARGED = "enlarged 2× or more"
    OUTLINE = "the outline is uncertain"
