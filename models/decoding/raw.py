"""Camera RAW through the optional rawpy (LibRaw); without it the failure says what to install."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import ifd
from cutoutd.models.decoding.pixels import HeaderFacts, Opened

_BASELINE_EXPOSURE = 50730
# No camera asks for more; a damaged file may.
_MOST_STOPS = 4.0


def _open(data: bytes) -> Any:
    try:
        import rawpy  # pyright: ignore[reportMissingImports]  (an extra)
    except ImportError as exc:
        raise PhotoError(
            Reason.NEEDS_DECODER,
            "Camera RAW needs a decoder that is not installed",
            None,
            f"Install it: {pip_install('rawpy')}, or let the camera write a JPEG beside it.",
        ) from exc
    module: Any = rawpy
    return module.imread(io.BytesIO(data))


def header(data: bytes) -> HeaderFacts:
    """Facts without developing the picture."""
    with _open(data) as picture:
        sizes: Any = picture.sizes
        turned = sizes.flip in (5, 6)  # LibRaw: quarter turns
        width, height = (sizes.iheight, sizes.iwidth) if turned else (sizes.iwidth, sizes.iheight)
        return HeaderFacts(width, height, 1, 16, has_alpha=False)


def load(data: bytes, *, want_16bit: bool = False) -> Opened:
    """Develop with the camera's own white balance into sRGB, upright.

    White is where the sensor is full, not where this frame is brightest: frames of one exposure look alike.
    """
    with _open(data) as picture:
        rgb: NDArray[Any] = picture.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,
            bright=_brightness(data),
            output_bps=16 if want_16bit else 8,
        )
    if not want_16bit:
        return Opened(Image.fromarray(rgb), None, 1, None, None)
    high, low = ((rgb >> 8).astype(np.uint8), (rgb & 255).astype(np.uint8))
    return Opened(Image.fromarray(high), None, 1, None, None, Image.fromarray(low))


def _brightness(data: bytes) -> float:
    """By how much a DNG says that its values are to be brightened: phones expose for the highlights."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return 1.0
    stops = ifd.fraction(data, _BASELINE_EXPOSURE)
    return 2.0 ** min(max(stops, -_MOST_STOPS), _MOST_STOPS)
