"""What fuzzing found in HEIC files stays found."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import isobmff
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
# In a process of its own: the mistake, should it come back, is a segmentation fault.
READ = (
    "import sys\nfrom pathlib import Path\nfrom cutoutd.models.decoding.photo import PhotoLimits, read_header\n"
    "read_header(Path(sys.argv[1]).read_bytes(), 'broken.heic', PhotoLimits(10**9, 150))"
)
SEEDS = Path(__file__).parents[3] / "reliability" / "fuzz" / "seeds"


@pytest.mark.slow
def test_an_item_whose_type_is_no_text_is_unreadable_and_kills_nobody(tmp_path: Path) -> None:
    data = (SEEDS / "turned.heic").read_bytes()
    broken = data.replace(b"Exif", b"\xb8xif", 1)
    assert broken != data
    path = tmp_path / "broken.heic"
    path.write_bytes(broken)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PhotoError" in done.stderr
    assert "damaged" in done.stderr


def box_64(kind: bytes, content: bytes) -> bytes:
    """A box that tells its size in 64 bits."""
    return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content


def with_free_box(data: bytes, free: bytes) -> bytes:
    """A box that means nothing before the list of items, and every place that is named in that list further back."""
    behind = int.from_bytes(data[:4], "big")
    return with_places(data[:behind] + free + data[behind:], len(free))


def with_places(data: bytes, further: int) -> bytes:
    """Every place that is named in the list of items so much further back."""
    made = bytearray(data)
    at = made.index(b"iloc") + 4
    assert bytes(made[at : at + 6]) == b"\0\0\0\0\x44\x40"  # offsets, lengths and bases of four bytes
    (count,) = struct.unpack_from(">H", made, at + 6)
    at += 8
    for _ in range(count):
        base, pieces = struct.unpack_from(">IH", made, at + 4)
        struct.pack_into(">I", made, at + 4, base + further)
        at += 10 + 8 * pieces
    return bytes(made)


def pixels(data: bytes) -> NDArray[np.uint8]:
    return decode(data, read_header(data, "IMG_1.HEIC", LIMITS)).rgb


@pytest.mark.slow
def test_names_are_looked_at_wherever_the_list_stands(tmp_path: Path) -> None:
    data = with_free_box((SEEDS / "turned.heic").read_bytes(), box_64(b"free", bytes(8)))
    assert pixels(data).any()
    path = tmp_path / "broken.heic"
    path.write_bytes(data.replace(b"Exif", b"\xb8xif", 1))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "damaged" in done.stderr


def test_a_list_that_goes_on_to_the_end_is_read() -> None:
    data = (SEEDS / "astronaut.heic").read_bytes()
    meta = data.index(b"meta") - 4
    pixels_at = data.index(b"mdat") - 4
    assert meta < pixels_at
    # The list comes last, and where the pixels stood there is a box that means nothing: they stay where they are.
    room = pixels_at - meta
    moved = data[:meta] + struct.pack(">I4s", room, b"free") + bytes(room - 8) + data[pixels_at:]
    open_end = moved + bytes(4) + data[meta + 4 : pixels_at]
    assert (pixels(open_end) == pixels(data)).all()


def test_pixels_in_a_last_box_of_64_bits_are_read() -> None:
    """Its size was taken for none, and made one of many gigabytes."""
    data = (SEEDS / "astronaut.heic").read_bytes()
    at = data.index(b"mdat") - 4
    assert at + int.from_bytes(data[at : at + 4], "big") == len(data)
    longer = with_places(data[:at] + box_64(b"mdat", data[at + 8 :]), 8)
    assert isobmff.with_told_end(longer) == longer
    assert (pixels(longer) == pixels(data)).all()


def test_a_file_that_ends_in_its_list_of_items_is_unreadable() -> None:
    data = (SEEDS / "alpha.heic").read_bytes()
    cut = data[: data.index(b"infe") + 4]
    with pytest.raises(PhotoError) as caught:
        read_header(cut, "IMG_1.HEIC", LIMITS)
    assert caught.value.reason is Reason.UNREADABLE
    assert not isinstance(caught.value.__cause__, LookupError)


def test_without_its_decoder_the_failure_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # import pi_heif raises ImportError
    with pytest.raises(PhotoError, match="pip install pi-heif") as caught:
        read_header((SEEDS / "astronaut.heic").read_bytes(), "IMG_1.HEIC", LIMITS)
    assert caught.value.reason is Reason.NEEDS_DECODER


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_truncated_heic_is_unreadable(part: float) -> None:
    data = (SEEDS / "astronaut.heic").read_bytes()
    data = data[: int(len(data) * part)]
    with pytest.raises(PhotoError) as caught:
        decode(data, read_header(data, "IMG_1.HEIC", LIMITS))
    assert caught.value.reason is Reason.UNREADABLE


def test_limits_hold_for_heic() -> None:
    with pytest.raises(PhotoError) as caught:
        read_header((SEEDS / "astronaut.heic").read_bytes(), "IMG_1.HEIC", PhotoLimits(10**9, 0.01))
    assert caught.value.reason is Reason.TOO_LARGE
