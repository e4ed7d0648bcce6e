"""How a healthy file is broken: pure functions of the bytes and a seeded random source."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from random import Random

from PIL import Image

from cutoutd.models.decoding import icc

# Values at which counters, sizes and offsets go wrong.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Mutation = Callable[[Random, bytearray, list[bytes]], bytearray]


def flip_bits(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    for _turn in range(rng.choice((1, 1, 2, 4, 16, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_in_header(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    for _turn in range(rng.choice((1, 2, 4))):
        data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
    return data


def cut_short(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    return data[: rng.randrange(1, len(data))]


def reserve(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    """Written up to somewhere, zeros from there: what a copy looks like half-way."""
    at = rng.randrange(1, len(data))
    data[at:] = bytes(len(data) - at)
    return data


def lie(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    """A number in the header becomes an edge value, in either byte order and any width."""
    for _turn in range(rng.choice((1, 1, 2, 3))):
        order, code, size = rng.choice("<>"), *rng.choice((("B", 1), ("H", 2), ("I", 4)))
        at = rng.randrange(min(len(data) - size, 600))
        value = rng.choice(EDGES) if rng.random() < 0.7 else rng.randrange(4000)
        struct.pack_into(order + code, data, at, value & (256**size - 1))
    return data


def claim_size(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    """Every place where 96 or 72 stands (the seeds' size, also 160 or 120) may become a huge or odd size."""
    for value in (96, 72, 160, 120):
        for pattern, code in ((">I", ">I"), ("<I", "<I"), (">H", ">H"), ("<H", "<H")):
            needle = struct.pack(pattern, value)
            at = data.find(needle)
            if at >= 0 and rng.random() < 0.4:
                new = rng.choice((0, 1, 2, 1000, 1999, 3000, 16384, 60000, 65535))
                struct.pack_into(code, data, at, new)
    return data


def copy_block(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    size = rng.randrange(1, max(2, min(len(data) // 2, 2000)))
    start, at = rng.randrange(len(data)), rng.randrange(len(data))
    data[at:at] = data[start : start + size]
    return data


def drop_block(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, max(2, len(data) // 4))]
    return data


def splice(rng: Random, data: bytearray, others: list[bytes]) -> bytearray:
    other = rng.choice(others)
    return data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]


def repeat_tail(rng: Random, data: bytearray, _: list[bytes]) -> bytearray:
    at = rng.randrange(len(data))
    return data[:at] + data[at:] * rng.choice((2, 3, 8))


def hostile_profile(rng: Random, _data: bytearray, _: list[bytes]) -> bytearray:
    """A healthy picture with a broken ICC profile."""
    profile = bytearray(
        rng.choice((icc.srgb_icc(), icc.adobe_rgb_icc(), icc.display_p3_icc(), icc.cicp_icc(9, 16) or b""))
    )
    for _turn in range(rng.choice((1, 2, 8, 40))):
        if rng.random() < 0.5:
            profile[rng.randrange(len(profile))] = rng.randrange(256)
        else:
            struct.pack_into(">I", profile, rng.randrange(len(profile) - 4), rng.choice(EDGES))
    if rng.random() < 0.3:
        profile[16:20] = rng.choice((b"CMYK", b"GRAY", b"Lab ", b"XYZ ", b"MCH6", b"6CLR"))
    if rng.random() < 0.2:
        profile = profile[: rng.randrange(1, len(profile))]
    return _carry(rng, icc_profile=bytes(profile))


def hostile_exif(rng: Random, _data: bytearray, _: list[bytes]) -> bytearray:
    """A healthy picture with broken EXIF."""
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(0, 12)
    exif[0x011A] = 300
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}, 0x9286: b"x" * rng.randrange(50)}
    body = bytearray(exif.tobytes())
    for _turn in range(rng.choice((1, 2, 8, 30))):
        if rng.random() < 0.5:
            body[rng.randrange(6, len(body))] = rng.randrange(256)
        else:
            struct.pack_into(
                rng.choice((">I", "<I")), body, rng.randrange(6, len(body) - 4), rng.choice(EDGES)
            )
    return _carry(rng, exif=bytes(body))


def _carry(rng: Random, **extra: bytes) -> bytearray:
    mode = rng.choice(("RGB", "RGB", "L", "RGBA", "CMYK"))
    kinds = {"CMYK": ("JPEG", "TIFF"), "RGBA": ("PNG", "WEBP", "TIFF")}.get(
        mode, ("JPEG", "PNG", "WEBP", "TIFF")
    )
    out = io.BytesIO()
    kind = rng.choice(kinds)
    if kind == "TIFF":  # Pillow parses the EXIF that it writes into a TIFF: only the profile goes in broken
        extra.pop("exif", None)
    Image.new(mode, (24, 16), tuple(rng.randrange(256) for _ in mode) if len(mode) > 1 else 99).save(
        out, kind, **extra
    )
    return bytearray(out.getvalue())


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    flip_in_header,
    flip_in_header,
    cut_short,
    reserve,
    lie,
    lie,
    lie,
    claim_size,
    copy_block,
    drop_block,
    splice,
    repeat_tail,
    hostile_profile,
    hostile_exif,
)


def mutant(seed: int, index: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Input number `index` of the run `seed`: always the same bytes. The name says what was done to what."""
    rng = Random(f"{seed}/{index}")
    name = rng.choice(sorted(files))
    data, done = bytearray(files[name]), list[str]()
    others = [files[other] for other in sorted(files)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) < 16:
            break
        change = rng.choice(MUTATIONS)
        data = change(rng, data, others)
        done.append(change.__name__)
    return f"{index}-{'+'.join(done)}-{name}", bytes(data)
