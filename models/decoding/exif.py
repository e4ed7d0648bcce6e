"""EXIF as stored bytes: which way is up, resolution and colour space; damaged EXIF never costs a photo."""

from __future__ import annotations

from typing import Any, Final

from PIL import Image

from cutoutd.models.decoding import ifd

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_INTEROPERABILITY: Final = 0xA005
_CENTIMETRE: Final = 3


def _parsed(stored: bytes) -> Any:
    exif: Any = Image.Exif()
    exif.load(stored)
    return exif


def orientation(stored: bytes | None) -> int:
    """EXIF orientation 1..8; 1 where there is none."""
    try:
        value = _parsed(stored).get(ifd.ORIENTATION, 1) if stored else 1
    except Exception:  # noqa: BLE001 (damaged EXIF: the photo is shown as it was stored)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def resolution(stored: bytes | None) -> tuple[float, float] | None:
    """Pixels per inch (x, y) as they are stored, however odd; None where the EXIF does not say."""
    try:
        exif = _parsed(stored or b"")
        times = 2.54 if exif.get(_RESOLUTION_UNIT) == _CENTIMETRE else 1.0
        x = exif[_X_RESOLUTION]
        return float(x) * times, float(exif.get(_Y_RESOLUTION, x)) * times
    except Exception:  # noqa: BLE001 (damaged EXIF: as if there was none)
        return None


def is_adobe_rgb(stored: bytes | None) -> bool:
    """Cameras set to Adobe RGB say so by an interoperability index of R03, often without a profile."""
    if stored is None or b"R03\0" not in stored:
        return False
    try:
        return bool(_parsed(stored).get_ifd(_INTEROPERABILITY).get(1) == "R03")
    except Exception:  # noqa: BLE001 (damaged EXIF: it is sRGB then)
        return False
