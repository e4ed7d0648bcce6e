"""What one deliverable looks like: every output option, once, and which contradict; draws nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    model_validator,
)

from cutoutd.config import lengths, names
from cutoutd.config.units import BASE_FOLDER, expand_path, whole_number

_OTHER_SPELLINGS = {"jpg": "jpeg", "tif": "tiff"}
# Backgrounds that are neither a colour nor a picture: none, and the photo's own.
TRANSPARENT, PHOTO = "transparent", "photo"
# Key of a validation context: these options are to be added to others, so what they contradict is not judged yet.
PART = "part"
# Printers and viewers take an untagged order of a physical size as 300 dots per inch.
DEFAULT_DPI = 300


def _check_background(text: str, info: ValidationInfo) -> str:
    if text in (TRANSPARENT, PHOTO) or lengths.parse_colour(text) is not None:
        return text
    if text.startswith("#"):
        raise ValueError(f'"{text}" is no colour: write "#" and three or six hexadecimal digits')
    if os.sep in text or "." in text or text.startswith(("~", "$")):
        context: dict[str, Any] = info.context or {}
        return str(expand_path(text, context.get(BASE_FOLDER, Path())))
    raise ValueError(
        f'"{text}" is no background: write "transparent", "photo", "white", "#rrggbb" or a picture\'s path'
    )


def _text(value: Any) -> Any:
    """A bare TOML number where a length is expected means pixels."""
    return f"{value}px" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _percent(value: Any) -> Any:
    """Take "85%" where a number of per cent is expected."""
    return value.strip().removesuffix("%") if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """Take the digits of a command line where a number is expected."""
    return whole_number(value) if isinstance(value, str) and whole_number(value) is not None else value


def _format(value: Any) -> Any:
    if isinstance(value, str):
        lowered = value.lower().removeprefix(".")
        return _OTHER_SPELLINGS.get(lowered, lowered)
    return value


def _parsed(parse: Any) -> AfterValidator:
    """Keep the text as written, once `parse` has accepted it."""

    def check(text: str) -> str:
        if text:
            parse(text)
        return text

    return AfterValidator(check)


Percent = Annotated[float, BeforeValidator(_percent)]


class Output(BaseModel):
    """How one deliverable is placed, coloured, encoded and named; by default a PNG of the photo's size."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: Annotated[str, AfterValidator(names.check_name)] = Field(
        default="{stem}",
        description="File name without extension. {stem} is the photo's own name; also {date} {counter} "
        "{hash} {deliverable}.",
    )
    folder: Annotated[str, AfterValidator(names.check_folder)] = Field(
        default="",
        description='Sub-folder of the outbox for this deliverable, such as "web" or "{deliverable}"; the '
        "inbox's own sub-folders are mirrored below it. Empty: the outbox itself.",
    )
    preset: str = Field(
        default="",
        description="Start from a set of options (`cutoutd presets` shows them); options beside it win.",
    )
    format: Annotated[Literal["png", "webp", "tiff", "avif", "jpeg"], BeforeValidator(_format)] = Field(
        default="png", description="File format. JPEG needs a background, since it has no transparency."
    )
    quality: int = Field(
        default=90, ge=1, le=100, description="Quality of lossy WebP, AVIF and JPEG, 1 (worst) to 100."
    )
    lossless: StrictBool = Field(
        default=False, description="Store WebP without any loss. PNG and TIFF always are."
    )
    compression: Literal["fast", "small"] | Annotated[int, Field(ge=0, le=9)] = Field(
        default="fast",
        description='PNG and TIFF: "fast" writes at once, "small" takes several times as long for a smaller '
        "file of the same pixels, 0 to 9 is a deflate level. WebP and AVIF: how hard the encoder tries.",
    )
    background: Annotated[str, AfterValidator(_check_background)] = Field(
        default=TRANSPARENT,
        description='Behind the subject: "transparent", "white", "black", "#rrggbb", or a picture\'s path '
        "(in a configuration file it starts at that file's folder). \"photo\": the photo's own stays, and the mask "
        "only says where trim, scale, canvas and aspect cut.",
    )
    background_fit: Literal["fit", "fill", "tile"] = Field(
        default="fill",
        description="A background picture is scaled to lie wholly inside (fit), scaled to cover and cropped "
        "(fill), or repeated at its own size (tile).",
    )
    channels: Literal["rgba", "alpha"] = Field(
        default="rgba", description='"alpha" writes the mask alone, in grey: white is the subject.'
    )
    trim: StrictBool = Field(default=False, description="Cut away the empty room around the subject.")
    margin: Annotated[str, BeforeValidator(_text), _parsed(lengths.parse_margin)] = Field(
        default="0px",
        description="Room around the subject in output pixels or per cent; one to four values as in CSS. "
        "Per cent are of the canvas where one is set, else of the subject.",
    )
    canvas: Annotated[str, _parsed(lengths.parse_pixels)] = Field(
        default="",
        description='Exact size of the result in pixels, "2000x2000"; the picture is scaled to fit. '
        "Empty: no canvas.",
    )
    aspect: Annotated[str, _parsed(lengths.parse_ratio)] = Field(
        default="", description='Widen the result to this shape, "4:5" (width:height). Empty: as it comes.'
    )
    scale: Percent = Field(
        default=0,
        ge=0,
        le=100,
        description="Scale the subject to fill this much of the canvas in its tighter direction, in per "
        "cent, after margins. 0: the picture keeps its framing.",
    )
    position: Annotated[str, _parsed(lengths.parse_position)] = Field(
        default="center",
        min_length=1,
        description='Where the subject stands in free room: "center", "bottom", "top left", or "50% 100%" '
        "(across, down).",
    )
    max_size: int = Field(
        default=0,
        ge=0,
        le=lengths.MAX_SIDE_PX,
        description="Longest side of the result in pixels; larger ones are scaled down. 0: no limit.",
    )
    shadow: Literal["none", "drop", "contact"] = Field(
        default="none",
        description="A shadow made from the alpha: soft and behind (drop), or on the ground below (contact).",
    )
    shadow_strength: Percent = Field(
        default=50, ge=1, le=100, description="How dark the shadow is at its darkest, in per cent."
    )
    size: Annotated[str, _parsed(lengths.parse_physical)] = Field(
        default="",
        description='Exact printed size, "35x45mm" or "2x2in"; with dpi it sets the canvas. Empty: none.',
    )
    dpi: int = Field(
        default=0,
        ge=0,
        le=2400,
        description="Dots per inch, written into the file. 0: nothing is written, and size counts with 300.",
    )
    fit: Literal["subject", "head"] = Field(
        default="subject",
        description='"head" places a portrait by its head, found from the alpha\'s outline, and crops below; where '
        'no head on shoulders is seen, the whole subject is placed and the photo is worth a look ("no head found").',
    )
    head_height: Percent = Field(
        default=0,
        ge=0,
        le=95,
        description='With fit = "head": crown to chin, in per cent of the height. 0: 73 on upright pictures, '
        "60 on square ones.",
    )
    colour: Literal["srgb", "keep-profile", "display-p3"] = Field(
        default="srgb",
        description="Convert to sRGB and write no profile; keep the photo's own profile, reduced to its "
        "colour tags; or convert to Display P3.",
    )
    bits: Annotated[Literal[8, 16], BeforeValidator(_number)] = Field(
        default=8,
        description='Bits per colour channel at most; 16 needs TIFF or PNG and colour = "keep-profile". '
        "A photo of 8 bits stays at 8.",
    )

    @model_validator(mode="after")
    def _no_contradictions(self, info: ValidationInfo) -> Self:
        context: dict[str, Any] = info.context or {}
        if context.get(PART):
            return self
        problems = [sentence for holds, sentence in _contradictions(self) if holds]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def keeps_background(self) -> bool:
        """Whether the photo's own background stays, and the mask only says where it is cut."""
        return self.background == PHOTO

    @property
    def background_path(self) -> Path | None:
        """The picture to lay behind the subject, or None where the background is a colour or nothing."""
        if self.background in (TRANSPARENT, PHOTO) or lengths.parse_colour(self.background) is not None:
            return None
        return Path(self.background)

    @property
    def canvas_pixels(self) -> tuple[int, int] | None:
        """The exact (width, height) ordered through canvas or size, in pixels, or None."""
        if self.canvas:
            return lengths.parse_pixels(self.canvas)
        if not self.size:
            return None
        width, height = lengths.parse_physical(self.size)
        dpi = self.dpi or DEFAULT_DPI
        return max(1, round(width * dpi)), max(1, round(height * dpi))

    @property
    def density(self) -> int:
        """Dots per inch to write into the file; 0 where none was ordered or the format cannot say it."""
        if self.format in ("webp", "avif"):
            return 0
        return self.dpi or (DEFAULT_DPI if self.size else 0)


class Deliverable(Output):
    """One of several results from the same photo, with a label of its own."""

    label: Annotated[str, AfterValidator(names.check_label)] = Field(
        default="cutout",
        description="What this deliverable is called in status, redo and {deliverable}. "
        "Unset: the preset's name.",
    )

    @model_validator(mode="before")
    @classmethod
    def _label_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = cast("dict[str, Any]", data)
        return {"label": given["preset"], **given} if given.get("preset") else given


def _contradictions(o: Output) -> list[tuple[bool, str]]:
    """Every pair of options that excludes each other, with what to write instead."""
    return [
        *_of_the_format(o),
        *_of_the_mask(o),
        *_of_the_shape(o),
        *_of_the_background(o),
        *_margin_problems(o),
    ]


def _of_the_format(o: Output) -> list[tuple[bool, str]]:
    """What a file of this format cannot hold."""
    alpha_only = o.channels == "alpha"
    return [
        (
            o.format == "jpeg" and alpha_only,
            'a JPEG mask loses its edges to compression: write format = "png"',
        ),
        (
            o.format == "jpeg" and not alpha_only and o.background == "transparent",
            'JPEG has no transparency: write background = "white", or format = "png"',
        ),
        (
            o.lossless and o.format in ("jpeg", "avif"),
            f'{o.format.upper()} cannot be lossless: write format = "webp" or "png", or leave lossless out',
        ),
        (
            bool(o.dpi and not o.size and o.format in ("webp", "avif")),
            f'{o.format.upper()} has no place for dpi: write format = "jpeg" or "png", or leave dpi out',
        ),
        (
            o.bits == 16 and o.format not in ("tiff", "png"),
            f'{o.format.upper()} has 8 bits here: write format = "tiff", or leave bits out',
        ),
        (
            o.bits == 16 and not alpha_only and o.colour != "keep-profile",
            'bits = 16 keeps the colours as they are: write colour = "keep-profile", or leave bits out',
        ),
    ]


def _of_the_mask(o: Output) -> list[tuple[bool, str]]:
    """What a mask alone does not have."""
    alpha_only = o.channels == "alpha"
    return [
        (
            alpha_only and o.background != "transparent",
            'the mask has no background: leave background out, or write channels = "rgba"',
        ),
        (
            alpha_only and o.shadow != "none",
            'the mask has no shadow: leave shadow out, or write channels = "rgba"',
        ),
        (
            alpha_only and o.colour != "srgb",
            'the mask has no colour: leave colour out, or write channels = "rgba"',
        ),
        (
            o.bits == 16 and alpha_only,
            "the mask has 8 bits: leave bits out",
        ),
    ]


def _of_the_shape(o: Output) -> list[tuple[bool, str]]:
    """Two options that set one size, and places for the head."""
    exact = bool(o.canvas or o.size)
    return [
        (
            bool(o.canvas and o.size),
            "canvas and size both set the exact size: keep canvas (pixels) or size (print)",
        ),
        (
            bool(exact and o.aspect),
            f"{'canvas' if o.canvas else 'size'} already sets the shape: leave aspect out",
        ),
        (
            bool(o.size and o.max_size),
            "size sets the exact size: leave max_size out, or lower dpi",
        ),
        (
            o.fit == "head" and not (exact or o.aspect),
            'fit = "head" needs a shape to crop to: write size = "35x45mm", or a canvas or aspect',
        ),
        (
            o.fit == "head" and bool(o.scale or o.trim or lengths.parse_margin(o.margin)),
            'fit = "head" places the head by itself: leave scale, trim and margin out, and use head_height',
        ),
        (
            bool(o.head_height) and o.fit != "head",
            'head_height only means something with fit = "head": write that too',
        ),
    ]


def _of_the_background(o: Output) -> list[tuple[bool, str]]:
    """What the photo's own background leaves no room for."""
    return [
        (
            o.keeps_background and o.shadow != "none",
            'the photo\'s own background has its own shadows: leave shadow out, or write background = "white"',
        ),
        (
            o.keeps_background and bool(lengths.parse_margin(o.margin)) and not (o.trim or o.scale),
            'background = "photo" can show no room beyond the photo: write trim = true too, or leave margin out',
        ),
    ]


def _margin_problems(o: Output) -> list[tuple[bool, str]]:
    """Margins that leave no room on an exact canvas, or within max_size."""
    margin = lengths.parse_margin(o.margin)
    size = o.canvas_pixels
    if size is None:
        fixed = [
            side.value for side in (margin.left, margin.right, margin.top, margin.bottom) if not side.percent
        ]
        return [
            (
                0 < o.max_size <= 2 * max(fixed, default=0),
                f'margin = "{o.margin}" leaves no room within max_size = {o.max_size}: write a smaller margin',
            )
        ]
    across = margin.left.pixels(size[0]) + margin.right.pixels(size[0])
    down = margin.top.pixels(size[1]) + margin.bottom.pixels(size[1])
    return [
        (
            across > size[0] - 1 or down > size[1] - 1,
            f'margin = "{o.margin}" leaves no room on {size[0]}x{size[1]} pixels: write a smaller margin',
        )
    ]


def extension(output: Output) -> str:
    """The file extension of this deliverable, with its dot."""
    return names.EXTENSIONS[output.format]
