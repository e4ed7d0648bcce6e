"""A photo full of secrets for the privacy self-test, and what each secret looks like in a file; it judges nothing.

Everything is drawn and written here, marker by marker, so that the test needs no picture from anywhere and
shares no code with what it tests. Not for any other photo.
"""

from __future__ import annotations

import base64
import hashlib
import io
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Large enough that the outline is worked out at full size, small enough for a second of work.
WIDTH, HEIGHT = 720, 540
# The secret pattern fills these columns on both sides of the background, in squares of this many pixels.
PATTERN_COLUMNS: Final = 104
_SQUARE: Final = 8
# Bytes of a needle cut out of compressed data: 32 bytes do not come about by chance.
_PIECE: Final = 32

# TIFF 6.0 field types and their sizes in bytes.
_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5


class Needle(Struct, frozen=True):
    """One secret: what it is called, and every form in which it could turn up in a file."""

    name: str
    forms: tuple[bytes, ...]

    def found_in(self, data: bytes) -> bool:
        """Whether any of its forms is in there."""
        return any(form in data for form in self.forms)


class Canary(Struct, frozen=True):
    """The photo's bytes, its secrets, and uint8 (H, W, 3) pixels as a decoder sees them."""

    data: bytes
    needles: tuple[Needle, ...]
    pixels: NDArray[np.uint8]


def plant(token: str) -> Canary:
    """A JPEG with GPS, serial number, XMP, IPTC, thumbnail, comment and a pattern in its background.

    Args:
        token: random letters and digits that make this photo's secrets unlike anything else on the machine.
    """
    import numpy as np
    from PIL import Image

    seed = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8], "big")
    drawn = _draw(seed)
    thumbnail = _jpeg(drawn[::5, ::5], 70)
    texts = _texts(token)
    place = _coordinates(seed)
    plain = _jpeg(drawn, 93)
    data = _with_segments(
        plain, _exif(texts, place, thumbnail), _xmp(texts["XMP"]), _iptc(texts["IPTC"]), texts
    )
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)
    needles = [Needle(name, _forms(text)) for name, text in texts.items()]
    needles += [
        Needle("GPS position", (place[0], place[1])),
        Needle("EXIF thumbnail", _pieces(thumbnail)),
        Needle("the photo's own bytes", _pieces(plain)),
        Needle("background pixels", _pixel_rows(pixels)),
    ]
    return Canary(data, tuple(needles), pixels)


def _texts(token: str) -> dict[str, str]:
    return {
        "serial number": f"SN-{token}-body",
        "owner's name": f"Owner {token} Canary",
        "date of the shot": f"1987:06:05 04:03:02 {token[:6]}",
        "XMP": f"xmp-{token}-keywords",
        "IPTC": f"iptc-{token}-caption",
        "JPEG comment": f"comment-{token}-secret",
    }


def _forms(text: str) -> tuple[bytes, ...]:
    """A text as programs store texts: plain, both kinds of UTF-16, hexadecimal, base64."""
    raw = text.encode()
    # Base64 of a text in the middle of other data depends on where it starts; its inner part does not.
    coded = tuple(base64.b64encode(b"\0" * lead + raw)[4:-4] for lead in range(3))
    return (raw, text.encode("utf-16-le"), text.encode("utf-16-be"), raw.hex().encode(), *coded)


def _pieces(compressed: bytes) -> tuple[bytes, ...]:
    """Pieces from the middle of compressed data; those of plain areas, which any picture may have, are left out."""
    starts = range(len(compressed) // 4, len(compressed) - 64, 499)
    pieces = (compressed[at : at + _PIECE] for at in starts)
    return tuple(piece for piece in pieces if len(set(piece)) > _PIECE * 3 // 4)


def _pixel_rows(pixels: NDArray[np.uint8]) -> tuple[bytes, ...]:
    """Rows of the secret pattern as raw pixels: RGB, BGR, and one channel alone."""
    corner = pixels[4 : HEIGHT : _SQUARE * 4, :PATTERN_COLUMNS]
    return tuple(
        form.tobytes() for row in corner for form in (row, row[:, ::-1], row[:, 0], row[:, 1], row[:, 2])
    )


# --- the picture


def _draw(seed: int) -> NDArray[np.uint8]:
    """A glazed vase before a wall that is pale in the middle and carries the pattern at both sides."""
    import numpy as np

    rows = np.broadcast_to(np.arange(HEIGHT, dtype=np.float64)[:, None], (HEIGHT, WIDTH))
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.float64), (HEIGHT, WIDTH))
    wall = 226 - 30 * rows / HEIGHT
    picture = np.stack([wall, wall - 2, wall - 8], axis=-1)
    table = rows > HEIGHT * 0.84
    picture[table] = picture[table] * 0.82
    picture[:, :PATTERN_COLUMNS] = _pattern(seed)[:, :PATTERN_COLUMNS]
    picture[:, -PATTERN_COLUMNS:] = _pattern(seed)[:, -PATTERN_COLUMNS:]
    down = (rows - HEIGHT * 0.14) / (HEIGHT * 0.76)
    # The outline of a vase: lip, neck, belly, foot, as half its width in pixels over its height.
    half = np.interp(down, [0, 0.06, 0.22, 0.55, 0.8, 1.0], [62, 44, 40, 128, 112, 64])
    across = (columns - WIDTH / 2) / half
    inside = (np.abs(across) < 1) & (down >= 0) & (down <= 1)
    light = 0.35 + 0.65 * np.sqrt(np.clip(1 - across**2, 0, 1)) * (1 - 0.35 * across)
    glaze = np.where((np.sin(down * 26) > 0.55)[..., None], (240.0, 196.0, 60.0), (176.0, 44.0, 36.0))
    shine = np.exp(-(((across + 0.4) / 0.16) ** 2) - ((down - 0.45) / 0.16) ** 2)[..., None]
    vase = glaze * light[..., None] + 190 * shine
    # Grain, as a sensor has it, so that no piece of this photo is like a piece of any other.
    grain = np.random.default_rng(seed + 1).normal(0.0, 2.0, (HEIGHT, WIDTH, 1))
    return np.clip(np.where(inside[..., None], vase, picture) + grain, 0, 255).astype(np.uint8)


def _pattern(seed: int) -> NDArray[np.float64]:
    """Grey-green squares whose brightness is the secret."""
    import numpy as np

    squares = np.random.default_rng(seed).integers(0, 2, (HEIGHT // _SQUARE + 1, WIDTH // _SQUARE + 1))
    bits = np.kron(squares, np.ones((_SQUARE, _SQUARE)))[:HEIGHT, :WIDTH, None]
    return np.asarray(np.array([178.0, 184.0, 170.0]) + bits * np.array([34.0, 30.0, 36.0]), np.float64)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    import numpy as np
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(target, "JPEG", quality=quality)
    return target.getvalue()


# --- what it carries beside the picture


def _with_segments(jpeg: bytes, exif: bytes, xmp: bytes, iptc: bytes, texts: dict[str, str]) -> bytes:
    segments = [
        (0xE1, b"Exif\0\0" + exif),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp),
        (0xED, b"Photoshop 3.0\0" + iptc),
        (0xFE, texts["JPEG comment"].encode()),
    ]
    head = b"".join(struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
    return jpeg[:2] + head + jpeg[2:]


def _coordinates(seed: int) -> tuple[bytes, bytes]:
    """Latitude and longitude as EXIF stores them: degrees, minutes, seconds, each a fraction."""
    seconds = 10_000_019 + seed % 40_000_000
    return (
        struct.pack("<6I", 47, 1, 16, 1, seconds, 1_000_003),
        struct.pack("<6I", 11, 1, 23, 1, seconds + 17, 1_000_003),
    )


def _exif(texts: dict[str, str], place: tuple[bytes, bytes], thumbnail: bytes) -> bytes:
    """A TIFF structure: camera, owner and pointers, then the EXIF and GPS directories, then the thumbnail's."""
    exif_rows = [
        (0x9003, _ASCII, _text(texts["date of the shot"])),
        (0xA430, _ASCII, _text(texts["owner's name"])),
        (0xA431, _ASCII, _text(texts["serial number"])),
    ]
    gps_rows = [
        (1, _ASCII, b"N\0"),
        (2, _RATIONAL, place[0]),
        (3, _ASCII, b"E\0"),
        (4, _RATIONAL, place[1]),
    ]
    first_rows = 4  # make, model and the two pointers
    at = 8 + 2 + 12 * first_rows + 4
    make, model = _text("Canary Cameras"), _text("Canary One")
    exif_at = at + len(make) + len(model)
    exif_directory = _directory(exif_rows, exif_at, 0)
    gps_at = exif_at + len(exif_directory)
    gps_directory = _directory(gps_rows, gps_at, 0)
    thumbnail_at = gps_at + len(gps_directory)
    first = _directory(
        [
            (0x010F, _ASCII, make),
            (0x0110, _ASCII, model),
            (0x8769, _LONG, struct.pack("<I", exif_at)),
            (0x8825, _LONG, struct.pack("<I", gps_at)),
        ],
        8,
        thumbnail_at,
    )
    picture_at = thumbnail_at + 2 + 12 * 3 + 4
    second = _directory(
        [
            (0x0103, _SHORT, struct.pack("<H", 6)),  # compression: JPEG
            (0x0201, _LONG, struct.pack("<I", picture_at)),
            (0x0202, _LONG, struct.pack("<I", len(thumbnail))),
        ],
        thumbnail_at,
        0,
    )
    return b"II*\0" + struct.pack("<I", 8) + first + exif_directory + gps_directory + second + thumbnail


def _text(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return raw + b"\0" * (len(raw) % 2)


def _directory(rows: list[tuple[int, int, bytes]], at: int, following: int) -> bytes:
    """One TIFF directory that starts at this offset, its long values right behind it."""
    sizes = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8}
    values_at = at + 2 + 12 * len(rows) + 4
    entries, values = b"", b""
    for tag, kind, value in rows:
        entries += struct.pack("<HHI", tag, kind, len(value) // sizes[kind])
        if len(value) <= 4:
            entries += value.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", values_at + len(values))
            values += value
    return struct.pack("<H", len(rows)) + entries + struct.pack("<I", following) + values


def _xmp(text: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="{text}"/></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def _iptc(text: str) -> bytes:
    """Photoshop's resource 0x0404 with one IPTC record, 2:120, the caption."""
    record = struct.pack(">BBBH", 0x1C, 2, 120, len(text)) + text.encode()
    block = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(record)) + record
    return block + b"\0" * (len(record) % 2)
