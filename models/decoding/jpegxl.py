"""JPEG XL through libjxl; its size is read here first, because the decoder makes all pixels at once."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import jpeg, refusals
from cutoutd.models.decoding.pixels import HeaderFacts, Opened, split

_KIND: Final = "JPEG XL"
BARE: Final = b"\xff\x0a"
# Pixels of a tile that may be larger than the picture it belongs to.
_LEAST_TILE: Final = 1 << 20
_BITS_OF_SIZE: Final = (9, 13, 18, 30)
_RATIOS: Final = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class _Bits:
    """Little-endian bits of a few bytes."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def size(data: bytes) -> tuple[int, int]:
    """Width and height as stored, from the head of the codestream; raises PhotoError."""
    stream = data if data.startswith(BARE) else _codestream(data)
    if not stream.startswith(BARE) or len(stream) < 12:
        raise refusals.incomplete(_KIND)
    bits = _Bits(stream[2:14])
    small = bits.take(1)
    height = _length(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _length(bits, small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _length(bits: _Bits, small: int) -> int:
    return (bits.take(5) + 1) * 8 if small else bits.take(_BITS_OF_SIZE[bits.take(2)]) + 1


def _codestream(data: bytes) -> bytes:
    """The first bytes of the codestream in a container, which may split it."""
    found = b""
    for kind, start, end in _boxes(data):
        if kind == b"jxlc":
            return data[start : start + 64]
        if kind == b"jxlp" and len(found) < 64:
            found += data[start + 4 : min(end, start + 68)]
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        end = len(data) if length == 0 else min(at + length, len(data))
        yield kind, at + head, end
        if length < head:
            return
        at = end


def header(data: bytes) -> HeaderFacts:
    """Facts from the head of the codestream; libjxl turns the picture itself, so nothing is left to turn."""
    return HeaderFacts(*size(data), 1, 8, has_alpha=False)


def load(data: bytes) -> Opened:
    """Decode all pixels.

    Raises:
        PhotoError: needs-decoder, incomplete or damaged.
    """
    decoded = _decode(data)
    if isinstance(decoded, bytes):
        return jpeg.load(decoded)
    colours, alpha = split(decoded)
    return Opened(colours, alpha, 1, decoded.info.get("icc_profile"), None)


def open_image(data: bytes) -> Image.Image:
    """All pixels, for a part of another file: upright, of mode L, LA, RGB, RGBA, I;16 or F; raises as `load` does."""
    decoded = _decode(data)
    return Image.open(io.BytesIO(decoded), formats=("JPEG",)) if isinstance(decoded, bytes) else decoded


def _decode(data: bytes) -> Image.Image | bytes:
    """Upright pixels of mode L, LA, RGB, RGBA, I;16 or F with their profile; or the JPEG that it was made of."""
    announced = size(data)
    allowed = Image.MAX_IMAGE_PIXELS
    if allowed is not None and announced[0] * announced[1] > 4 * allowed + _LEAST_TILE:
        raise refusals.larger_than_said(_KIND)
    try:
        import pillow_jxl  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as exc:
        raise PhotoError(
            Reason.NEEDS_DECODER,
            "The decoder for JPEG XL is missing",
            None,
            f"Install it: {pip_install('pillow-jxl-plugin')}",
        ) from exc
    module: Any = pillow_jxl
    try:
        reconstructed, info, pixels, icc, _ = module.Decoder(num_threads=1)(data)
    except RuntimeError as exc:  # it gives no reason
        raise refusals.damaged(_KIND) from exc
    if reconstructed:
        return bytes(pixels)
    if (info.width, info.height) not in (announced, announced[::-1]):
        raise refusals.damaged(_KIND, "a picture of another size")
    mode = "F" if info.mode.startswith("F") else info.mode
    image = Image.frombytes(mode, (info.width, info.height), pixels)
    if icc:
        image.info["icc_profile"] = bytes(icc)
    return image
