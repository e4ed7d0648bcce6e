"""The formats that Pillow reads: header facts, pixels, profile. Limits, turning and errors are `photo`'s."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from PIL import Image, ImageChops, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.installing import pip_install
from cutoutd.models.decoding import bitmap, formats, ifd, isobmff, jp2, png, tiff16, webp
from cutoutd.models.decoding import icc as profiles
from cutoutd.models.decoding.exif import orientation as orientation_of
from cutoutd.models.decoding.pixels import HDR_NOTE, HeaderFacts, Opened, plausible_dpi, split

# The decoders by class: no registry, so nothing else that Pillow can read (EPS would run Ghostscript) is
# ever tried, and a JPEG with a second picture inside is still just its first.
_READERS: Final[dict[str, Callable[[io.BytesIO], Image.Image]]] = {
    formats.PNG: PngImageFile,
    formats.WEBP: WebPImageFile,
    formats.TIFF: TiffImageFile,
    formats.BMP: BmpImageFile,
    formats.GIF: GifImageFile,
    formats.AVIF: AvifImageFile,
    formats.JPEG_2000: Jpeg2KImageFile,
}

# What a Pillow that some distribution built may lack; its own wheels have both.
_OPTIONAL: Final = {formats.AVIF: "avif", formats.WEBP: "webp", formats.JPEG_2000: "jpg_2000"}


def header(data: bytes, kind: str) -> HeaderFacts:
    """Facts from the header alone; raises whatever the decoder raises, or PhotoError needs-decoder."""
    if kind in _OPTIONAL and not features.check(_OPTIONAL[kind]):
        raise PhotoError(
            Reason.NEEDS_DECODER,
            f"The installed Pillow was built without {kind}",
            None,
            f"Install its wheel: {pip_install('--force-reinstall', '--only-binary', ':all:', 'pillow')}",
        )
    contents = None
    if kind == formats.PNG:
        contents = png.take_apart(data, whole=False)
        data = contents.picture
    elif kind == formats.BMP:
        data = bitmap.readable(data, whole=False)
    elif kind in _MENDED:
        data = _MENDED[kind](data)
    image = _opened(data, kind)
    turn = _orientation(image) if contents is None else orientation_of(contents.exif)
    width, height = _shown(image, data, kind).size
    if turn >= 5 and kind != formats.TIFF:  # Pillow gives the upright size of a TIFF, and turns it itself
        width, height = height, width
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if kind == formats.JPEG_2000 and has_alpha:
        channels = jp2.channels(data, len(image.getbands()))
        has_alpha = not jp2.colours(data).are_inks and (channels is None or channels.alpha is not None)
    return HeaderFacts(width, height, turn, 16 if _is_deep(image, data, kind) else 8, has_alpha)


def _opened(data: bytes, kind: str) -> Image.Image:
    """The picture, not decoded yet, without its XMP: where EXIF and container are silent, Pillow would turn it by that,
    which no other format's reader does, nor any browser.
    """
    image = _READERS[kind](io.BytesIO(data))
    image.info.pop("xmp", None)
    return image


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ifd.ORIENTATION, 1)
    except Exception:  # noqa: BLE001 (damaged EXIF never costs a photo: it is shown as it was stored)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _shown(image: Image.Image, data: bytes, kind: str) -> isobmff.Rectangle:
    """The part of the stored picture that the file shows."""
    part = isobmff.clean_aperture(data, *image.size) if kind == formats.AVIF else None
    return part or isobmff.Rectangle(0, 0, *image.size)


def _cropped(image: Image.Image, shown: isobmff.Rectangle) -> Image.Image:
    if shown.size == image.size:
        return image
    part = image.crop(shown)
    part.info = image.info
    return part


def _drawn(image: Any) -> tuple[int, int, int, int] | None:
    """Where the first picture of a GIF lies on its whole, before it is decoded."""
    return tuple(image.tile[0].extents) if image.tile else None


def _alone(image: Image.Image, drawn: tuple[int, int, int, int]) -> Image.Image:
    """A picture that fills only a part of its GIF: around it there is nothing, where Pillow paints a colour."""
    if drawn == (0, 0, *image.size):
        return image
    seen = Image.new("RGBA", image.size)
    seen.paste(image.crop(drawn).convert("RGBA"), drawn)
    seen.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return seen


def _as_its_container_says(image: Image.Image, data: bytes) -> Image.Image:
    """The same pixels with the colours and channels that a JPEG 2000's container names; its decoder takes them in the
    order in which they are stored, and a fourth ink for transparency.
    """
    said, bands = jp2.colours(data), image.split()
    info, kind = image.info, image.mode
    channels = jp2.channels(data, len(bands)) if kind in ("LA", "RGB", "RGBA", "CMYK") else None
    if channels is not None and (len(channels.colours) == 4 or not said.are_inks):
        kind = {1: "L", 3: "RGB", 4: "CMYK"}[len(channels.colours)]
        order = channels.colours
        if channels.alpha is not None and kind != "CMYK":
            kind += "a" if channels.is_premultiplied else "A"
            order = (*order, channels.alpha)
        image = Image.merge(kind, [bands[at] for at in order])
    elif said.are_inks and kind == "RGBA":
        image = Image.frombytes("CMYK", image.size, image.tobytes())
    image.info = info
    if said.icc is not None:
        image.info["icc_profile"] = said.icc
    return image


def _with_its_whites(image: Image.Image, data: bytes) -> Image.Image:
    """The same pixels of a deep JPEG 2000, white again where its decoder ran over (see `jp2.with_room`)."""
    spacious = jp2.with_room(data)
    if spacious is None or all(band.getextrema()[0] for band in image.split()):
        return image
    other = open_jpeg2000(spacious)
    other.load()
    if (other.mode, other.size) != (image.mode, image.size):
        raise OSError("damaged: pixels of another kind")
    bands = (
        ImageChops.lighter(band, again.point(_WHITES))
        for band, again in zip(image.split(), other.split(), strict=True)
    )
    mended = Image.merge(image.mode, list(bands))
    mended.info = image.info
    return mended


# With that room white is 192, and black 64.
_WHITES: Final = [255 if value >= 191 else 0 for value in range(256)]


# What is done to a file before Pillow opens it.
_MENDED: Final = {formats.BMP: bitmap.readable, formats.WEBP: webp.with_what_it_leaves_free}


def _scale_key(image: Image.Image, data: bytes) -> None:
    """Pillow gives grey of 2 and 4 bits as 8, but the one transparent value of a PNG as it is stored."""
    bits, colours = data[24], data[25]
    key = image.info.get("transparency")
    if colours == 0 and bits in (2, 4) and isinstance(key, int):
        most = (1 << bits) - 1
        image.info["transparency"] = (key & most) * (255 // most)


def _is_deep(image: Any, data: bytes, kind: str) -> bool:
    if kind == formats.PNG:
        return data[24:25] == b"\x10"
    return isinstance(image, TiffImageFile) and tiff16.bits_per_channel(image) > 8


def open_tiff(data: bytes) -> Image.Image:
    """The first picture of a TIFF, not decoded yet; raises what Pillow raises for what it cannot open."""
    return _opened(data, formats.TIFF)


def open_jpeg2000(data: bytes) -> Image.Image:
    """A JPEG 2000 picture, bare or in its container, not decoded yet; raises as `open_tiff` does."""
    return Jpeg2KImageFile(io.BytesIO(data))


# --- pixels


def load(data: bytes, kind: str, *, want_16bit: bool = False) -> Opened:
    """Decode everything; raises whatever the decoder raises."""
    contents = png.take_apart(data) if kind == formats.PNG else None
    if contents is not None:
        data = contents.picture
    elif kind in _MENDED:
        data = _MENDED[kind](data)
    image = _opened(data, kind)
    drawn = _drawn(image) if kind == formats.GIF else None
    image.load()
    if contents is not None:
        png.refuse_early_end(data, image.crop((0, image.height - 1, *image.size)).tobytes())
    elif kind == formats.AVIF:
        image = _cropped(image, _shown(image, data, kind))
    elif kind == formats.BMP:
        image = bitmap.without_empty_alpha(image)
    elif drawn is not None:
        image = _alone(image, drawn)
    elif kind == formats.JPEG_2000:
        image = _as_its_container_says(_with_its_whites(image, data), data)
    turn = _orientation(image) if contents is None else orientation_of(contents.exif)
    facts = _facts(image, data, kind) if contents is None else _png_facts(contents)
    low: Image.Image | None = None
    deep = _is_deep(image, data, kind)
    # Pillow compares a 16-bit PNG's one transparent colour with the wrong bytes, or not at all.
    key = image.info.pop("transparency", None) if deep and kind == formats.PNG else None
    if kind == formats.PNG and not deep:
        _scale_key(image, data)
    if deep and (want_16bit or key is not None):
        low = tiff16.low_bytes(data, kind)
    picture, alpha = split(image)
    if key is not None and low is not None:
        alpha = tiff16.all_but(key, picture, low)
    if tiff16.is_negative(image):
        picture = ImageChops.invert(picture)
        low = None if low is None else ImageChops.invert(low)  # 65535 - x is 255 - x in either byte
    return Opened(picture, alpha, turn, facts.icc, facts.dpi, low, facts.notes)


# --- what else the file says


class _Facts(NamedTuple):
    icc: bytes | None
    dpi: tuple[float, float] | None
    notes: tuple[str, ...] = ()


def _facts(image: Image.Image, data: bytes, kind: str) -> _Facts:
    """The ICC profile, or one made from the other ways in which files name their colour space; and the resolution."""
    icc = bitmap.profile(data) if kind == formats.BMP else image.info.get("icc_profile")
    if isinstance(icc, bytes) and icc:
        return _Facts(icc, _dpi(image))
    found = isobmff.code_points(data) if kind == formats.AVIF else None
    if found is None:
        return _Facts(None, _dpi(image))
    return _Facts(profiles.cicp_icc(*found), _dpi(image), _hdr_notes(found[1]))


def _png_facts(contents: png.Contents) -> _Facts:
    points = contents.code_points
    notes = contents.notes if points is None else (*contents.notes, *_hdr_notes(points[1]))
    dpi = None if contents.dpi is None else plausible_dpi(*contents.dpi)
    return _Facts(contents.icc, dpi, notes)


def _hdr_notes(transfer: int) -> tuple[str, ...]:
    return (HDR_NOTE,) if profiles.is_hdr(transfer) else ()


def _dpi(image: Any) -> tuple[float, float] | None:
    value: Any = image.info.get("dpi", (0, 0))
    try:
        return plausible_dpi(float(value[0]), float(value[1]))
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None
