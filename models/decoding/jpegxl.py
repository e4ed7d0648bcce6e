"""JPEG XL through libjxl; its head is read here too: the decoder makes all pixels at once, and does not tell all."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

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


# Of the codestream: as much as a head with some extra channels takes.
_HEAD_BYTES: Final = 4096
_ALPHA, _SPOT, _BLACK, _FILTER = 0, 2, 4, 5  # kinds of extra channels


class _Bits:
    """Little-endian bits of a few bytes; none are left behind their end, where zeros follow."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def pick(self, *ways: int | tuple[int, int]) -> int:
        """One of four numbers, or so many bits and what is added to them, as two bits say."""
        way = ways[self.take(2)]
        return way if isinstance(way, int) else way[1] + self.take(way[0])


def size(data: bytes) -> tuple[int, int]:
    """Width and height as stored, from the head of the codestream; raises PhotoError."""
    stream = data if data.startswith(BARE) else _codestream(data)
    if not stream.startswith(BARE) or len(stream) < 12:
        raise refusals.incomplete(_KIND)
    return _size(_Bits(stream[2:14]))


def _size(bits: _Bits) -> tuple[int, int]:
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
            return data[start : start + _HEAD_BYTES]
        if kind == b"jxlp" and len(found) < _HEAD_BYTES:
            found += data[start + 4 : min(end, start + 4 + _HEAD_BYTES)]
    return found


class _Extras(NamedTuple):
    """Whether the colours are stored multiplied by their alpha, and whether there is a channel of black ink."""

    are_multiplied: bool = False
    has_black: bool = False


def _extras(data: bytes) -> _Extras:
    """What the head says of channels beside the colours (ISO/IEC 18181-1, annex D)."""
    bits = _Bits((data[:_HEAD_BYTES] if data.startswith(BARE) else _codestream(data))[2:])
    _size(bits)
    if bits.take(1):  # all as usual
        return _Extras()
    if bits.take(1):
        _skip_rarities(bits)
    _skip_depth(bits)
    bits.take(1)
    multiplied: list[bool] = []
    has_black = False
    for _ in range(bits.pick(0, 1, (4, 2), (12, 1))):
        kind, associated = _extra(bits)
        has_black |= kind == _BLACK
        multiplied += [associated] if kind == _ALPHA else []
    return _Extras(bool(multiplied) and multiplied[0], has_black)


def _skip_rarities(bits: _Bits) -> None:
    bits.take(3)  # orientation
    if bits.take(1):
        _size(bits)  # as which it is meant to be shown
    if bits.take(1):  # a preview
        if bits.take(1):
            ways: tuple[int | tuple[int, int], ...] = (16, 32, (5, 1), (9, 33))
        else:
            ways = ((6, 1), (8, 65), (10, 321), (12, 1345))
        bits.pick(*ways)
        if not bits.take(3):
            bits.pick(*ways)
    if bits.take(1):  # a film
        bits.pick(100, 1000, (10, 1), (30, 1))
        bits.pick(1, 1001, (8, 1), (10, 1))
        bits.pick(0, (3, 0), (16, 0), (32, 0))
        bits.take(1)


def _skip_depth(bits: _Bits) -> None:
    if bits.take(1):
        bits.pick(32, 16, 24, (6, 1))
        bits.take(4)
    else:
        bits.pick(8, 10, 12, (6, 1))


def _extra(bits: _Bits) -> tuple[int, bool]:
    """The kind of the next extra channel, and whether it is an alpha that the colours are multiplied by."""
    if bits.take(1):
        return _ALPHA, False
    kind = bits.pick(0, 1, (4, 2), (6, 18))
    _skip_depth(bits)
    bits.pick(0, 3, 4, (3, 1))
    bits.take(8 * bits.pick(0, (4, 0), (5, 16), (10, 48)))  # its name
    if kind == _SPOT:
        bits.take(64)
    if kind == _FILTER:
        bits.pick(1, (2, 0), (4, 3), (8, 19))
    return kind, kind == _ALPHA and bits.take(1) == 1


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
    """All pixels, for a part of another file, which says itself whether they are multiplied by their alpha: upright, of
    mode L, LA, RGB, RGBA, I;16 or F; raises as `load` does.
    """
    decoded = _decode(data, divide=False)
    return Image.open(io.BytesIO(decoded), formats=("JPEG",)) if isinstance(decoded, bytes) else decoded


def _decode(data: bytes, *, divide: bool = True) -> Image.Image | bytes:
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
    extras = _extras(data)
    if extras.has_black:
        raise refusals.not_read(_KIND, "four inks")
    if divide and extras.are_multiplied and mode in ("LA", "RGBA"):
        image = Image.frombytes(mode[:-1] + "a", image.size, pixels).convert(mode)
    if icc:
        image.info["icc_profile"] = bytes(icc)
    return image
