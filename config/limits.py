"""What one photo may cost: apart from the other tables, because workers load nothing else of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cutoutd.config.section import Section
from cutoutd.config.units import ByteCount, Seconds


class Limits(Section):
    """What one photo may cost, and how much is in hand at once."""

    photos_in_flight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=32, description="Photos in hand at once, over all inboxes."
    )
    megapixels_in_flight: Annotated[float, Field(ge=1)] = Field(
        default=400,
        description="Megapixels in hand at once; a larger single photo still fits when it is alone.",
    )
    max_megapixels: Annotated[float, Field(gt=0, le=2000)] = Field(
        default=150, description="A photo with more megapixels fails as too-large; nothing of it is decoded."
    )
    max_bytes: ByteCount = Field(
        default=10**9, gt=0, description="A file larger than this fails as too-large; it is not read."
    )
    time_per_photo: Seconds = Field(
        default=120,
        gt=0,
        description="A photo that takes longer is stopped; the second time it fails as too-slow.",
    )
    attempts_after_death: Annotated[int, Field(ge=1, le=20)] = Field(
        default=2, description="Attempts for a photo whose worker died or ran out of memory or time."
    )
    attempts_when_busy: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Attempts, with growing pauses, for a file that another program holds locked."
    )
    worker_memory: ByteCount = Field(
        default=3 * 10**9,
        ge=800 * 10**6,  # a warm worker holds 400 MB of data, and a small photo needs a share of that again
        description="Data memory one worker may use, the model's own size on top.",
    )
