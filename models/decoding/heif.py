"""HEIC and HEIF through libheif, opened explicitly so that Pillow's own list of formats stays as it is."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding import isobmff
from cutoutd.models.decoding.pixels import HDR_NOTE, HeaderFacts, Opened, split


def _open(data: bytes) -> tuple[Any, isobmff.Rectangle | None]:
    """The picture, not decoded yet, and what part of it is shown: None is all of it.

    libheif would crop by itself, but refuses a stored picture much larger than what is left of it.
    """
    data = isobmff.with_told_end(data)
    _refuse_unreadable_names(data)
    try:
        import pi_heif  # pyright: ignore[reportMissingTypeStubs]  (it ships none)
    except ImportError as exc:
        raise PhotoError(
            Reason.NEEDS_DECODER,
            "The decoder for HEIC photos is missing",
            None,
            f"Install it: {pip_install('pi-heif')}",
        ) from exc
    # The photo alone: thumbnails, depth maps and gain maps would be parsed for nothing.
    module: Any = pi_heif
    module.options.THUMBNAILS = False
    module.options.DEPTH_IMAGES = False
    module.options.AUX_IMAGES = False
    module.options.DECODE_THREADS = 1
    data, shown = isobmff.uncropped(data)
    file: Any = module.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    return file[file.primary_index], shown


def _refuse_unreadable_names(data: bytes) -> None:
    """pi_heif dies (segmentation fault) of an item whose type or name is no text: found by fuzzing."""
    lists = [box for box in isobmff.boxes(data, 0, len(data)) if box.kind == b"meta"]
    for _, start, end in lists or [(b"", 0, len(data))]:  # the last may be cut off
        at = data.find(b"infe", start, end)
        while at >= 0:
            size = int.from_bytes(data[at - 4 : at], "big")
            # Version and flags (4 bytes), item id (2, but 4 in version 3), protection (2); then type and names.
            words = at + 4 + (10 if data[at + 4 : at + 5] == b"\3" else 8)
            try:
                data[words : min(at - 4 + size, end)].decode()
            except UnicodeDecodeError as exc:
                raise OSError("damaged item list") from exc
            at = data.find(b"infe", at + 4, end)


def header(data: bytes) -> HeaderFacts:
    """Facts without decoding. libheif turns the picture itself, so nothing is left to turn."""
    picture, shown = _open(data)
    width, height = picture.size if shown is None else shown.size
    return HeaderFacts(width, height, 1, 8, bool(picture.has_alpha))


def load(data: bytes) -> Opened:
    """Decode the primary picture, upright; OSError where the file holds another size than it announces."""
    picture, shown = _open(data)
    announced = picture.size
    pixels: Any = picture.data
    if picture.size != announced:
        raise OSError(f"damaged: {announced} announced, {picture.size} found")
    image = Image.frombytes(picture.mode, picture.size, pixels, "raw", picture.mode, picture.stride)
    if shown is not None:
        image = image.crop(shown)
    colours, alpha = split(image)
    icc: bytes | None = picture.info.get("icc_profile")
    note = ""
    if icc is None:
        nclx: dict[str, int] = picture.info.get("nclx_profile") or {}
        transfer = nclx.get("transfer_characteristics", 2)
        icc = profiles.cicp_icc(nclx.get("color_primaries", 2), transfer)
        note = HDR_NOTE if profiles.is_hdr(transfer) else ""
    return Opened(colours, alpha, 1, icc, None, notes=(note,))
