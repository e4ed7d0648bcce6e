"""Finished pixels into the bytes of a PNG, WebP, TIFF, AVIF or JPEG, with no metadata but what is ordered."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.output import Output
from cutoutd.models.rendering import deflate, png, rows
from cutoutd.models.rendering.rows import Samples

# What each format can hold per side, from its specification.
_MAX_SIDE_PX = {"png": 2**31 - 1, "tiff": 2**31 - 1, "webp": 16_383, "avif": 65_536, "jpeg": 65_535}
# From this quality on colour is kept at full resolution: red on white shows half-resolution colour first.
_FULL_COLOUR_QUALITY = 90
# How hard encoders try, for "fast" and "small". WebP: 0 to 6 (higher is slower); AVIF: speed 10 to 0 (lower
# is slower); TIFF: isal's deflate level.
_WEBP_METHOD = {"fast": 0, "small": 5}
_WEBP_LOSSLESS_EFFORT = {"fast": 0, "small": 80}
_AVIF_SPEED = {"fast": 9, "small": 5}
_TIFF_LEVEL = {"fast": 2, "small": 3}


class Picture(Struct, frozen=True):
    """Pixels ready to be written.

    colour: (H, W, 3) RGB or (H, W) grey; uint8 or uint16.
    alpha: straight alpha (H, W) of the same dtype, or None where the picture is opaque.
    icc: profile to embed, or None for sRGB and grey, which carry none.
    """

    colour: Samples
    alpha: Samples | None
    icc: bytes | None


def encode(picture: Picture, output: Output, *, threads: int = 1) -> bytes:
    """The bytes of the file that `output` asks for.

    Args:
        picture: the pixels.
        output: format, quality, lossless, compression, density.
        threads: how many the encoder may use, where it can; the bytes do not depend on it.

    Raises:
        PhotoError: cannot-render, if the format cannot hold a picture of this size.
    """
    height, width = picture.colour.shape[:2]
    if max(width, height) > _MAX_SIDE_PX[output.format]:
        raise PhotoError(
            Reason.CANNOT_RENDER,
            f"{output.format.upper()} holds at most {_MAX_SIDE_PX[output.format]:,} pixels per side, "
            f"the picture has {width:,} × {height:,}",
            fix='Set max_size, or choose format = "png"; then retry.',
        )
    match output.format:
        case "png":
            return png.encode(
                picture.colour,
                picture.alpha,
                compression=output.compression,
                dpi=output.density,
                icc=picture.icc,
                threads=threads,
            )
        case "tiff":
            return _tiff(picture, output)
        case "webp":
            return _webp(picture, output)
        case "avif":
            return _avif(picture, output, threads)
        case "jpeg":
            return _jpeg(picture, output)


def _effort(output: Output, table: dict[str, int], levels: tuple[int, int]) -> int:
    """The encoder's own number for `compression`: from the table, or 0..9 spread over fastest..slowest."""
    if isinstance(output.compression, str):
        return table[output.compression]
    fastest, slowest = levels
    return round(fastest + (slowest - fastest) * output.compression / 9)


def _image(picture: Picture) -> Image.Image:
    """A Pillow image of 8-bit pixels; transparent ones erased."""
    colour: NDArray[np.uint8] = picture.colour.astype(np.uint8, copy=False)
    if picture.alpha is None:
        return Image.fromarray(np.ascontiguousarray(colour))
    packed = rows.rgba_image_array(colour, picture.alpha.astype(np.uint8, copy=False))
    return Image.frombuffer("RGBA", (packed.shape[1], packed.shape[0]), packed, "raw", "RGBA", 0, 1)


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _webp(picture: Picture, output: Output) -> bytes:
    options: dict[str, Any] = {
        "lossless": output.lossless,
        # In lossless mode quality means effort; 0 to 100 from fast to slow.
        "quality": _effort(output, _WEBP_LOSSLESS_EFFORT, (0, 100)) if output.lossless else output.quality,
        "method": _effort(output, _WEBP_METHOD, (0, 6)),
        "exact": output.lossless,
    }
    if picture.icc is not None:
        options["icc_profile"] = picture.icc
    return _saved(_image(picture), "WEBP", options)


def _avif(picture: Picture, output: Output, threads: int) -> bytes:
    full = output.quality >= _FULL_COLOUR_QUALITY or picture.alpha is not None
    options: dict[str, Any] = {
        "quality": output.quality,
        "speed": _effort(output, _AVIF_SPEED, (10, 0)),
        # Half-resolution colour would mix the erased black into the subject's edge.
        "subsampling": "4:4:4" if full else "4:2:0",
        "max_threads": threads,
    }
    if picture.icc is not None:
        options["icc_profile"] = picture.icc
    return _saved(_image(picture), "AVIF", options)


def _jpeg(picture: Picture, output: Output) -> bytes:
    options: dict[str, Any] = {
        "quality": output.quality,
        "subsampling": "4:4:4" if output.quality >= _FULL_COLOUR_QUALITY else "4:2:0",
        "optimize": output.compression == "small",
    }
    if output.density:
        options["dpi"] = (output.density, output.density)
    if picture.icc is not None:
        options["icc_profile"] = picture.icc
    return _saved(_image(picture), "JPEG", options)


def _tiff(picture: Picture, output: Output) -> bytes:
    """TIFF 6.0 with deflated strips of horizontal differences, packed here because isal is fast."""
    import tifffile

    colour, alpha = picture.colour, picture.alpha
    height, width = colour.shape[:2]
    samples = rows.channels(colour, alpha)
    ranges = rows.strips(height, width * samples * colour.dtype.itemsize)
    level = _effort(output, _TIFF_LEVEL, (1, 3))
    options: dict[str, Any] = {
        "photometric": "minisblack" if colour.ndim == 2 else "rgb",
        "extrasamples": [] if alpha is None else ["unassalpha"],
        "planarconfig": None if samples == 1 else "contig",
        "compression": "adobe_deflate",
        "predictor": "horizontal",
        "rowsperstrip": ranges[0][1] - ranges[0][0],
        "software": False,
        "metadata": None,
    }
    if output.density:
        options |= {"resolution": (output.density, output.density), "resolutionunit": "INCH"}
    if picture.icc is not None:
        options["iccprofile"] = picture.icc
    out = io.BytesIO()
    shape = (height, width) if samples == 1 else (height, width, samples)
    with tifffile.TiffWriter(out, byteorder="<") as writer:
        data: Any = _tiff_strips(colour, alpha, ranges, level)
        writer.write(data, shape=shape, dtype=colour.dtype, **options)
    return out.getvalue()


def _tiff_strips(
    colour: Samples, alpha: Samples | None, ranges: list[tuple[int, int]], level: int
) -> Iterator[bytes]:
    for top, bottom in ranges:
        shape = (bottom - top, colour.shape[1], rows.channels(colour, alpha))
        packed = np.empty(shape, colour.dtype.newbyteorder("<"))
        rows.interleave(colour[top:bottom], None if alpha is None else alpha[top:bottom], packed)
        packed[:, 1:] = packed[:, 1:] - packed[:, :-1]
        flat: Any = packed.reshape(-1).view(np.uint8)
        yield deflate.zlib_stream(memoryview(flat), level)
