"""Bytes on disk become upright RGB in a known colour space, within limits; nothing else here opens an image.

Not for looking at the photo (`segmenter`, `matte`) and not for writing one (`daemon.render`). Everything in
this module runs in a worker process: the decoders are C code fed with bytes that anybody may have written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from cutoutd.config.errors import PhotoChangedError, PhotoError, Reason
from cutoutd.models.decoding import colour as colours
from cutoutd.models.decoding import formats, gaps, heif, jpeg, jpegxl, pillow, pixels, raw, refusals, tiff
from cutoutd.models.decoding import icc as profiles

AGAIN: Final = refusals.AGAIN


# Of 255: what is nowhere more opaque than five percent is seen by nobody.
LEAST_ALPHA: Final = 13


class PhotoLimits(Struct, frozen=True):
    """What a photo may be at most: bytes of the file, and millions of pixels (0.0 … , as the header says)."""

    max_bytes: int
    max_megapixels: float


@dataclass(frozen=True)
class PhotoBytes:
    """A whole file in memory, and the facts that the ledger knows it by.

    size: bytes. mtime_ns: nanoseconds since the epoch. inode, device: as fstat gives them.
    """

    data: bytes
    size: int
    mtime_ns: int
    inode: int
    device: int

    @cached_property
    def digest(self) -> str:
        """BLAKE2b-256 of `data`, hexadecimal: of the very bytes that are decoded. Made when it is first asked for."""
        return hashlib.blake2b(self.data, digest_size=32).hexdigest()


class Header(Struct, frozen=True):
    """What a photo says about itself before anything is decoded.

    format: one of `formats.PHOTO_FORMATS`. name: the file's name, for sentences.
    width, height: pixels, upright (orientation already applied).
    orientation: EXIF orientation 1..8 that `decode` still has to apply; 1 where the decoder turns the photo.
    bits: 8 or 16 per channel. has_alpha: True if the format announces transparency.
    """

    format: str
    name: str
    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    has_alpha: bool = False

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1e6


class Photo(Struct, frozen=True):
    """One decoded photo, upright.

    rgb: uint8 (H, W, 3), C-contiguous; sRGB, or the space of `icc` where that is set. Of the size that `header` says,
        or of the smaller one that was asked for.
    alpha: uint8 (H, W) or None; transparency the file itself brought (None if it is opaque everywhere).
    icc: profile to embed, rebuilt from its colour tags alone; None means sRGB.
    rgb16: uint16 (H, W, 3) or None; only on request, from 16-bit files, never converted: the space of `icc`.
    dpi: pixels per inch (x, y), or None if the file does not say.
    notes: sentences on what was ignored or assumed, for the log; empty for almost every photo.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc: bytes | None
    rgb16: NDArray[np.uint16] | None
    dpi: tuple[float, float] | None
    header: Header
    notes: tuple[str, ...] = ()


# --- reading


def open_plain(path: bytes | Path) -> int:
    """A descriptor to read a file: no link is followed, a FIFO does not block, no child inherits it. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def read_bytes(
    path: bytes | Path, limits: PhotoLimits, opening: Callable[[bytes | Path], int] = open_plain
) -> PhotoBytes:
    """Read a photo that nobody else is writing.

    Args:
        path: where it lies.
        limits: how large it may be.
        opening: gives a descriptor of it; unset, it is opened by its path.

    Raises:
        PhotoError: not-a-regular-file, too-large, no-permission, vanished, busy or unreadable.
        PhotoChangedError: size or time changed while it was read.
    """
    try:
        handle = opening(path)
    except OSError as exc:
        raise _cannot_read(exc, path) from exc
    try:
        before = os.fstat(handle)
        _check_file(before, path, limits)
        with os.fdopen(handle, "rb", closefd=False) as file:
            # One byte more than it should have: a file that grows is noticed, and never read without end.
            data = file.read(before.st_size + 1)
        after = os.fstat(handle)
    except OSError as exc:
        raise _cannot_read(exc, path) from exc
    except MemoryError as exc:
        raise _out_of_memory(path) from exc
    finally:
        os.close(handle)
    if (len(data), after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        raise PhotoChangedError("The photo changed while it was read", path, "It is read again by itself.")
    return PhotoBytes(data, after.st_size, after.st_mtime_ns, after.st_ino, after.st_dev)


def _check_file(facts: os.stat_result, path: bytes | Path, limits: PhotoLimits) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise PhotoError(Reason.NOT_A_REGULAR_FILE, "This is no ordinary file", path)
    if facts.st_size == 0:
        raise PhotoError(Reason.UNREADABLE, "The file is empty", path, AGAIN)
    if facts.st_size > limits.max_bytes:
        raise PhotoError(
            Reason.TOO_LARGE,
            f"The file has {facts.st_size / 1e6:,.1f} MB, the limit is {limits.max_bytes / 1e6:,.1f} MB",
            path,
            "Raise limits.max_bytes if this is a photo you want cut out.",
        )


_PERMISSION_FIX: Final = "Give the account that runs cutoutd the right to read it, for example: chmod a+r."

# errno → reason, sentence, fix. What is not here is an error of the disk or the network share.
_ERRNO: Final[dict[int, tuple[Reason, str, str]]] = {
    errno.ELOOP: (Reason.NOT_A_REGULAR_FILE, "This is a link or no ordinary file, or lies behind a link", ""),
    errno.ENXIO: (Reason.NOT_A_REGULAR_FILE, "This is no ordinary file", ""),
    errno.EISDIR: (Reason.NOT_A_REGULAR_FILE, "This is a folder", ""),
    errno.EACCES: (Reason.NO_PERMISSION, "cutoutd may not read this file", _PERMISSION_FIX),
    errno.EPERM: (
        Reason.NO_PERMISSION,
        "The system does not let cutoutd read this file",
        "On a Mac: System Settings, Privacy & Security, Files and Folders, allow it for cutoutd.",
    ),
    errno.ENOENT: (Reason.VANISHED, "The file was gone before it was read", ""),
    errno.ENOTDIR: (Reason.VANISHED, "The file was gone before it was read", ""),
    errno.ESTALE: (Reason.VANISHED, "The file was gone from the share before it was read", ""),
    errno.EBUSY: (Reason.BUSY, "Another program keeps the file to itself", "It is tried again by itself."),
    errno.ETXTBSY: (Reason.BUSY, "Another program keeps the file to itself", "It is tried again by itself."),
    errno.EAGAIN: (Reason.BUSY, "Another program keeps the file to itself", "It is tried again by itself."),
}


def _cannot_read(exc: OSError, path: bytes | Path) -> PhotoError:
    said = exc.strerror or "unknown error"
    default = (
        Reason.UNREADABLE,
        f"The disk could not read the file ({said})",
        "Check the disk, card or share.",
    )
    reason, what, fix = _ERRNO.get(exc.errno or 0, default)
    return PhotoError(reason, what, path, fix)


def _out_of_memory(name: str | bytes | Path, header: Header | None = None) -> PhotoError:
    size = "" if header is None else f" of {header.megapixels:.1f} megapixels"
    fix = "Raise limits.worker_memory, set engine.workers to 1, or lower limits.max_megapixels."
    return PhotoError(Reason.OUT_OF_MEMORY, f"There was not enough memory for this photo{size}", name, fix)


# --- the header


def read_header(data: bytes, name: str, limits: PhotoLimits) -> Header:
    """Tell what the photo is and decide within limits; no pixel is decoded.

    Args:
        data: the whole file.
        name: the file's name, for sentences; its suffix never decides, except between TIFF and RAW.
        limits: what is allowed.

    Raises:
        PhotoError: unreadable, too-large, needs-decoder or not-a-photo.
    """
    content = formats.sniff(data, name)
    if content.format is None:
        raise _stranger(content, name)
    with _decoder(content.format, name):
        found = _header_facts(data, content.format)
    header = Header(content.format, name, *found)
    if header.width < 1 or header.height < 1:
        error = refusals.damaged(content.format, "a picture without extent")
        raise PhotoError(error.reason, error.what, name, error.fix)
    if header.megapixels > limits.max_megapixels:
        raise PhotoError(
            Reason.TOO_LARGE,
            f"The photo has {header.megapixels:,.1f} megapixels ({header.width} × {header.height}), "
            f"the limit is {limits.max_megapixels:g}",
            name,
            "Raise limits.max_megapixels if this is a photo you want cut out.",
        )
    return header


def _stranger(content: formats.Content, name: str) -> PhotoError:
    what = f"The file is {content.stranger}, not a photo"
    claims_photo = formats.suffix_of(name) in formats.PHOTO_SUFFIXES
    if content.is_picture:
        return PhotoError(
            Reason.UNREADABLE,
            f"The file is {content.stranger}, which cutoutd does not read",
            name,
            "Export it as JPEG, PNG or TIFF.",
        )
    # A file that calls itself a photo is never skipped in silence, whatever it holds.
    if not claims_photo:
        return PhotoError(Reason.NOT_A_PHOTO, what, name, content.remedy)
    return PhotoError(Reason.UNREADABLE, what, name, content.remedy or AGAIN)


# --- the pixels


def decode(
    data: bytes,
    header: Header,
    *,
    colour: colours.Colour = "srgb",
    want_16bit: bool = False,
    reduction: int = 1,
) -> Photo:
    """Decode a photo whose header was read and found within limits.

    Args:
        data: the same bytes that `read_header` saw.
        header: what it returned.
        colour: "srgb" converts to sRGB; "keep-profile" leaves RGB numbers alone and hands out the profile;
            "display-p3" converts to Display P3.
        want_16bit: also fill `rgb16` where the file has 16 bits per channel.
        reduction: 1, 2, 4 or 8: what the sides may be divided by, rounded up; only JPEG is made smaller.

    Raises:
        PhotoError: unreadable or out-of-memory.
    """
    smaller = header.format == formats.JPEG and reduction > 1
    with _decoder(header.format, header.name, header):
        opened = jpeg.load(data, reduction) if smaller else _open(data, header.format, want_16bit=want_16bit)
        gaps.refuse(data, header.format, opened.image)
        photo = _finish(opened, header, colour, want_16bit=want_16bit)
    return replace(photo, header=header) if smaller else photo


def _finish(opened: pixels.Opened, header: Header, colour: colours.Colour, *, want_16bit: bool) -> Photo:
    """Turn, convert and copy out, in strips: no step makes a second full-size picture."""
    image, turn = opened.image, opened.orientation
    way = colours.plan(opened.icc, opened.mode, colour)
    rgb16, note16 = None, ""
    if want_16bit and header.bits == 16:
        # Colour management here has eight bits, so all sixteen exist only in the photo's own space.
        kept = opened.mode in ("RGB", "L") and way.keeps_numbers
        if opened.low is None or not kept:
            note16 = "This photo's colours are handed on with 8 bits per channel, not 16."
        else:
            rgb16 = pixels.combine(
                pixels.upright_rgb(image, turn, None), pixels.upright_rgb(opened.low, turn, None)
            )
    rgb = pixels.upright_rgb(image, turn, way.transform)
    alpha = None if opened.alpha is None else pixels.upright_grey(opened.alpha, turn)
    seen = replace(header, width=rgb.shape[1], height=rgb.shape[0])
    if alpha is not None and int(alpha.max(initial=0)) < LEAST_ALPHA:
        raise refusals.invisible()
    notes = tuple(note for note in (*opened.notes, way.note, note16) if note)
    return Photo(rgb, alpha, way.icc, rgb16, opened.dpi, seen, notes)


def _header_facts(data: bytes, kind: str) -> pixels.HeaderFacts:
    match kind:
        case formats.JPEG:
            return jpeg.header(data)
        case formats.RAW:
            return raw.header(data)
        case formats.HEIF:
            return heif.header(data)
        case formats.JPEG_XL:
            return jpegxl.header(data)
        case formats.TIFF:
            return tiff.header(data)
        case _:
            return pillow.header(data, kind)


def _open(data: bytes, kind: str, *, want_16bit: bool) -> pixels.Opened:
    match kind:
        case formats.JPEG:
            return jpeg.load(data)
        case formats.RAW:
            return raw.load(data, want_16bit=want_16bit)
        case formats.HEIF:
            return heif.load(data)
        case formats.JPEG_XL:
            return jpegxl.load(data)
        case formats.TIFF:
            return tiff.load(data, want_16bit=want_16bit)
        case _:
            return pillow.load(data, kind, want_16bit=want_16bit)


@contextmanager
def _decoder(kind: str, name: str, header: Header | None = None) -> Generator[None]:
    """Whatever a decoder does with hostile bytes becomes a named failure; its warnings stay inside."""
    limit, text_limit = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow's own limit would refuse what the user's settings allow. After the header was accepted it
        # stands at exactly that size: a file that turns out larger than it said is refused.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None if header is None else header.width * header.height
        # A packed profile or text of a PNG: Pillow's 1 MB is less than a table for printing or an editor's
        # history takes. Its limit of 64 MB for all texts of a file stands.
        PngImagePlugin.MAX_TEXT_CHUNK = profiles.MAX_PROFILE_BYTES
        try:
            yield
        except PhotoError as exc:
            raise PhotoError(exc.reason, exc.what, name, exc.fix) from exc
        except MemoryError as exc:
            raise _out_of_memory(name, header) from exc
        except Exception as exc:  # decoders answer hostile bytes with any exception there is
            raise _named(kind, exc, name) from exc
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = limit, text_limit


# --- what a decoder's complaint means

_Refusal = Callable[[str, str], PhotoError]

_MEANINGS: Final[tuple[tuple[str, _Refusal], ...]] = (
    (
        r"truncated|not enough|end of (file|data)|unexpected eof|eof|too short|incomplete|no data",
        refusals.incomplete,
    ),
    (r"decompressed data too large|memory used in text", refusals.overpacked),
    (r"DecompressionBomb|exceeds limit", refusals.larger_than_said),
    (
        r"NotImplemented|unknown (pixel|data|compression|photometric)|cannot (handle|decode)",
        refusals.not_read,
    ),
    (r"(not |un)supported|not (available|configured)|imagecodecs", refusals.not_read),
)


def _named(kind: str, exc: Exception, name: str) -> PhotoError:
    """A named failure for a decoder's exception, whose own words stand in brackets."""
    said = " ".join(str(exc).split())[:200]
    words = f"{type(exc).__name__} {said}"
    fitting = (meant for pattern, meant in _MEANINGS if re.search(pattern, words, re.IGNORECASE))
    error = next(fitting, refusals.damaged)(kind, said or type(exc).__name__)
    return PhotoError(error.reason, error.what, name, error.fix)
