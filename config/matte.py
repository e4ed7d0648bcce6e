"""How outlines are found and cleaned: apart from the other tables, because workers load nothing else of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, field_validator

from cutoutd.config.lengths import parse_roi
from cutoutd.config.section import Section
from cutoutd.config.units import Percent


class Matte(Section):
    """How the subject's outline is found and cleaned; shared by all deliverables of one photo."""

    engine: Literal["guided", "learned", "auto", "plain"] = Field(
        default="learned",
        description="How the network's outline is brought to full resolution: redrawn by a small network of its own "
        "(learned: hair, wires and handles stay whole, for about 0.1 s more than guided on 24 megapixels), following "
        "the photo's edges by a filter (guided), learned but guided where nearly the whole photo is edge (auto), or "
        "only enlarged (plain).",
    )
    edge: Literal["crisp", "natural", "soft"] = Field(
        default="natural", description="Character of the outline."
    )
    closed_form: StrictBool = Field(
        default=False,
        description="Closed-form matting in the edge band: seconds per photo, and each worker first compiles it for "
        "some seconds; needs the package pymatting.",
    )
    solidify: Percent = Field(
        default=0, description="Makes the body opaque: alpha this close to full, in percent, becomes full."
    )
    fill_holes: Percent = Field(
        default=0,
        description="Holes smaller than this share of the photo, in percent, are filled; 0 fills none.",
    )
    keep: Literal["auto", "all", "largest"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="Which separate pieces stay: all but small ones that lie apart from the subject or are cut off by "
        "the frame (auto, of what the bundled networks find), all, the largest, or the N largest.",
    )
    min_island: Percent = Field(
        default=0,
        description="Separate pieces smaller than this share of the photo, in percent, are removed.",
    )
    grow: Annotated[float, Field(ge=-100, le=100)] = Field(
        default=0, description="Widens the outline by this many pixels at full size; negative shrinks."
    )
    roi: str = Field(
        default="",
        description='Look for the subject only there, and cut away the rest: the edges "left top right bottom" in px '
        "or %, counted from the photo's top left corner (not its width and height), or empty.",
    )
    no_subject: Literal["fail", "pass"] = Field(
        default="fail",
        description="No subject found: `fail` names the photo and writes nothing, `pass` hands the photo on.",
    )

    @field_validator("roi")
    @classmethod
    def _roi_has_four_lengths(cls, value: str) -> str:
        parse_roi(value)
        return value
