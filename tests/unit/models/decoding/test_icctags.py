"""Tags of a profile laid out anew: the same colours, and no room for a name."""

# Parts of Pillow are untyped; a test may look inside a module.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import itertools
import struct

import pytest
from PIL import Image, ImageCms
from tests.support.profiles import one_way_icc

from cutoutd.models.decoding import icc, icctags
from cutoutd.models.decoding.icctags import clean

SECRET = b"JANE"
CURVE = b"curv\0\0\0\0" + struct.pack(">I2H", 2, 0, 65535)
PARAMETRIC = b"para\0\0\0\0\0\0" + SECRET[:2] + struct.pack(">i", 2 << 16)
MATRIX = struct.pack(">12i", *(65536 if one in (0, 4, 8) else 0 for one in range(12)))


def _grid(size: int, inputs: int, *, hidden: bytes) -> bytes:
    corners = itertools.product(range(size), repeat=inputs)
    numbers = b"".join(
        struct.pack(">3H", *(65535 * one // (size - 1) for one in corner)) for corner in corners
    )
    return (
        bytes([size] * inputs)
        + hidden[: 16 - inputs].ljust(16 - inputs, b"\0")
        + b"\2"
        + hidden[:3].ljust(3, b"\0")
        + numbers
    )


def steps(kind: bytes, *, hidden: bytes = SECRET) -> bytes:
    """A table of version 4 with all five parts, in an order of its own, and with something hidden in each gap."""
    parts = [
        CURVE * 3,
        MATRIX,
        CURVE * 3,
        _grid(2, 3, hidden=hidden),
        CURVE * 3,
    ]
    body, at = b"", [0] * 5
    for one in (3, 1, 4, 0, 2):
        body += hidden
        at[one] = 32 + len(body)
        body += parts[one] + bytes(-len(parts[one]) % 4)
    return kind + bytes(4) + struct.pack(">2B2s5I", 3, 3, hidden[:2].ljust(2, b"\0"), *at) + body + hidden


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        (b"A2B0", steps(b"mAB ")),
        (b"B2A0", steps(b"mBA ")),
        (b"rTRC", PARAMETRIC),
        (b"rTRC", CURVE + SECRET),
        (b"rXYZ", b"XYZ \0\0\0\0" + bytes(12) + SECRET),
        (b"chad", b"sf32\0\0\0\0" + bytes(36) + SECRET),
        (b"A2B1", b"mft1\0\0\0\0\3\3\2J" + bytes(36) + bytes(256 * 6 + 24) + SECRET),
    ],
)
def test_what_stands_between_numbers_goes(name: bytes, tag: bytes) -> None:
    cleaned = clean(name, memoryview(tag))
    assert b"JA" not in cleaned
    assert b"J" not in cleaned[8:12]
    assert clean(name, memoryview(cleaned)) == cleaned


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        (b"rXYZ", CURVE),  # another kind than the name says
        (b"gamt", b"text\0\0\0\0" + SECRET),
        (b"rTRC", b"curv\0\0\0\0" + struct.pack(">I", 9) + SECRET),  # cut off
        (b"rTRC", b"para\0\0\0\0\0\5\0\0" + bytes(40)),  # a curve nobody knows
        (b"rTRC", b"curv" + SECRET + CURVE[8:]),
        (b"A2B0", steps(b"mAB ")[:-90]),
        (b"A2B0", b"mft2\0\0\0\0\17\17\377\0" + bytes(200)),  # 255 to the fifteenth entries
        (b"A2B0", b"mft2\0\0\0\0\0\0\0\0" + bytes(200)),
        (b"A2B0", b"mAB \0\0\0\0\3\3\0\0" + struct.pack(">5I", *[1 << 31] * 5)),  # parts beyond the end
        (b"A2B0", b"mAB \0\0\0\0\3\3\0\0" + struct.pack(">5I", 32, 0, 0, 32, 0) + CURVE),
    ],
)
def test_what_is_no_sound_tag_is_refused(name: bytes, tag: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        clean(name, memoryview(tag))


def _seen(profile: bytes) -> bytes:
    ramp = Image.frombytes(
        "RGB", (256, 3), bytes(one * (n + 1) % 256 for one in range(256) for n in range(9))[:2304]
    )
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    seen = ImageCms.profileToProfile(ramp, source, ImageCms.createProfile("sRGB"))
    assert seen is not None
    return seen.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [b"", SECRET])
def test_a_profile_of_tables_keeps_its_colours(hidden: bytes) -> None:
    header = icc.Header(b"\x04\x30\0\0", b"scnr", b"RGB ", b"XYZ ")
    table = steps(b"mAB ", hidden=hidden)
    original = icc._assemble(header, {b"wtpt": icc._xyz_tag((0.9642, 1.0, 0.8249)), b"A2B0": table})
    for profile in (original, one_way_icc()):
        rebuilt = icc.rebuild(profile)
        assert rebuilt is not None
        assert _seen(rebuilt) == _seen(profile)
    assert SECRET not in (icc.rebuild(original) or SECRET)


def test_a_forward_table_that_is_not_sound_is_not_left_out_in_silence() -> None:
    tags = {name: bytes(tag) for name, tag in icc._tags(icc.adobe_rgb_icc()).items()}
    header = icc.header_of(icc.adobe_rgb_icc())
    assert header is not None
    assert icc.rebuild(icc._assemble(header, {**tags, b"A2B0": steps(b"mAB ")[:-90]})) is None
    assert icc.rebuild(icc._assemble(header, {**tags, b"B2A0": steps(b"mBA ")[:-90]})) is not None
    assert b"A2B0" in icctags.FORWARD
