"""The healthy files that the fuzzer breaks: every format, mode and kind of profile, made by code (HEIC: seeds/)."""

# scikit-image and parts of Pillow are untyped; a test may look inside a module.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from skimage import data as skdata

from cutoutd.models.decoding import icc

SEEDS = Path(__file__).with_name("seeds")
CROPPED = Path(__file__).parents[2] / "data" / "photos" / "H11_clap.avif"


def seeds() -> dict[str, bytes]:
    """Name (with the suffix it would arrive under) → a file that decodes."""
    photo = Image.fromarray(skdata.astronaut()[:384]).resize((96, 72), Image.Resampling.LANCZOS)
    files = {path.name: path.read_bytes() for path in sorted(SEEDS.glob("*.heic"))}
    for name, picture, kind, options in _recipes(photo):
        out = io.BytesIO()
        picture.save(out, kind, **options)
        files[name] = out.getvalue()
    files.update(_tiffs(np.asarray(photo)))
    files.update(_of_packages(photo))
    return files


def _of_packages(photo: Image.Image) -> dict[str, bytes]:
    """JPEG XL and JPEG 2000, by themselves and as strips of a TIFF, odd depths, and an AVIF that is cropped."""
    import pillow_jxl  # noqa: F401 # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] (Pillow can save it then)

    def saved(kind: str, **options: Any) -> bytes:
        out = io.BytesIO()
        photo.save(out, kind, **options)
        return out.getvalue()

    exact, bare = saved("JXL", lossless=True), saved("JPEG2000", irreversible=False, no_jp2=True)
    return {
        "exact.jxl": exact,
        "lossy.jxl": saved("JXL", quality=80),
        "boxed.jp2": saved("JPEG2000"),
        "bare.j2k": bare,
        "jxl.tif": _one_strip(50002, exact, (8, 8, 8)),
        "jpeg2000.tif": _one_strip(34712, bare, (8, 8, 8)),
        "webp.tif": _one_strip(50001, saved("WEBP", lossless=True), (8, 8, 8)),
        "twelve.tif": _one_strip(1, bytes(range(256)) * 122, (12, 12, 12)),
        "old.tif": _old_jpeg(saved("JPEG", subsampling=2)),
        "restart.jpg": saved("JPEG", restart_marker_blocks=5),
        "gamma.png": _with_gamma(saved("PNG")),
        "cropped.avif": CROPPED.read_bytes(),
    }


def _one_strip(compression: int, strip: bytes, bits: tuple[int, int, int]) -> bytes:
    """A TIFF of 96 × 72 pixels of RGB in one strip."""
    tags = [
        (256, 3, 1, 96),
        (257, 3, 1, 72),
        (258, 3, 3, 8 + len(strip)),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
    ]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 72), (279, 4, 1, len(strip))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    head = struct.pack("<2sHI", b"II", 42, 14 + len(strip))
    return head + strip + struct.pack("<3H", *bits) + directory


def _old_jpeg(jpeg: bytes) -> bytes:
    """A TIFF of 96 × 72 pixels whose one strip is a whole JPEG, in the old way."""
    tags = [(256, 3, 1, 96), (257, 3, 1, 72), (258, 3, 3, 8 + len(jpeg)), (259, 3, 1, 6), (262, 3, 1, 6)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 72), (279, 4, 1, len(jpeg))]
    tags += [(513, 4, 1, 8), (514, 4, 1, len(jpeg)), (530, 3, 2, 2 | 2 << 16)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 14 + len(jpeg)) + jpeg + struct.pack("<3H", 8, 8, 8) + directory


def _with_gamma(png: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    colours = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    return png[:33] + chunk(b"gAMA", struct.pack(">I", 55_000)) + chunk(b"cHRM", colours) + png[33:]


def _recipes(photo: Image.Image) -> list[tuple[str, Image.Image, str, dict[str, Any]]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    palette, grey = photo.quantize(32), photo.convert("L")
    second = [Image.new("RGB", photo.size, "red")]
    p3, adobe = icc.display_p3_icc(), icc.adobe_rgb_icc()
    deep = Image.fromarray(np.linspace(0, 65535, 96 * 72).reshape(72, 96).astype(np.uint16))
    return [
        ("plain.jpg", photo, "JPEG", {}),
        ("turned.jpg", photo, "JPEG", {"exif": exif}),
        ("progressive.jpg", photo, "JPEG", {"progressive": True, "icc_profile": p3, "exif": exif}),
        ("cmyk.jpg", photo.convert("CMYK"), "JPEG", {}),
        ("grey.jpg", grey, "JPEG", {"icc_profile": adobe}),
        ("two.jpg", photo, "MPO", {"save_all": True, "append_images": second}),
        ("plain.png", photo, "PNG", {"icc_profile": adobe, "exif": exif}),
        ("clear.png", clear, "PNG", {}),
        ("palette.png", palette, "PNG", {"transparency": 3}),
        ("deep.png", deep, "PNG", {}),
        ("film.png", photo, "PNG", {"save_all": True, "append_images": second}),
        ("plain.webp", photo, "WEBP", {"icc_profile": p3, "exif": exif}),
        ("clear.webp", clear, "WEBP", {"lossless": True}),
        ("film.webp", photo, "WEBP", {"save_all": True, "append_images": second}),
        ("plain.tif", photo, "TIFF", {"icc_profile": p3}),
        ("lzw.tif", clear, "TIFF", {"compression": "tiff_lzw"}),
        ("jpeg.tif", photo, "TIFF", {"compression": "jpeg"}),
        ("deflate.tif", photo, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("runs.tif", photo, "TIFF", {"compression": "packbits"}),
        ("fax.tif", photo.convert("1"), "TIFF", {"compression": "group4"}),
        ("cmyk.tif", photo.convert("CMYK"), "TIFF", {"compression": "packbits"}),
        ("plain.bmp", photo, "BMP", {}),
        ("palette.bmp", palette, "BMP", {}),
        ("plain.gif", palette, "GIF", {}),
        ("film.gif", palette, "GIF", {"save_all": True, "append_images": second, "transparency": 1}),
        ("plain.avif", photo, "AVIF", {"icc_profile": p3, "exif": exif, "speed": 10}),
        ("clear.avif", clear, "AVIF", {"speed": 10}),
    ]


def _tiffs(photo: Any) -> dict[str, bytes]:
    layouts: dict[str, tuple[Any, dict[str, Any]]] = {
        "deep.tif": (photo.astype(np.uint16) * 257, {"photometric": "rgb", "compression": "zlib"}),
        "planes.tif": (
            np.moveaxis(photo.astype(np.uint16), -1, 0),
            {"photometric": "rgb", "planarconfig": "separate"},
        ),
        "float.tif": ((photo / 255).astype(np.float32), {"photometric": "rgb", "tile": (32, 32)}),
        "raw.dng": (photo[..., 0].astype(np.uint16) * 16, {"photometric": 32803, "extratags": _DNG}),
    }
    files: dict[str, bytes] = {}
    for name, (pixels, options) in layouts.items():
        out = io.BytesIO()
        write: Any = tifffile.imwrite
        write(out, pixels, metadata=None, **options)
        files[name] = out.getvalue()
    return files


_DNG = [
    (274, 3, 1, 1, True),
    (33421, 3, 2, (2, 2), True),
    (33422, 1, 4, b"\0\1\1\2", True),
    (50706, 1, 4, b"\1\4\0\0", True),
    (50708, 2, 0, "Test", True),
    (50717, 4, 1, 4095, True),
]
