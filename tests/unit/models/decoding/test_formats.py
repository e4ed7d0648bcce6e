"""Content decides the format, cheaply and without any library."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.models.decoding import formats


@given(st.binary(max_size=400), st.sampled_from(["a.jpg", "a.nef", "a", "a.tif", "é.heic"]))
def test_any_bytes_get_an_answer(data: bytes, name: str) -> None:
    content = formats.sniff(data, name)
    assert (content.format in formats.PHOTO_FORMATS) != bool(content.stranger)


@given(
    st.binary(max_size=400), st.sampled_from([b"II*\0", b"MM\0*", b"\0\0\0\x20ftyp", b"RIFFxxxxWEBP", b"BM"])
)
def test_any_bytes_behind_a_real_beginning_get_an_answer(data: bytes, beginning: bytes) -> None:
    assert isinstance(formats.sniff(beginning + data, "x"), formats.Content)


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", formats.HEIF),
        (b"mif1\0\0\0\0mif1heicmiaf", formats.HEIF),
        (b"mif1\0\0\0\0mif1avifmiaf", formats.AVIF),
        (b"avif\0\0\0\0mif1avif", formats.AVIF),
        (b"crx \0\0\0\1crx isom", formats.RAW),
        (b"qt  \0\0\0\0qt  ", None),
        (b"isom\0\0\0\0isommp42", None),
    ],
)
def test_containers_are_told_by_their_brands(brands: bytes, kind: str | None) -> None:
    data = (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands + bytes(100)
    assert formats.sniff(data, "x.heic").format == kind


def test_a_text_that_begins_with_bm_is_no_bitmap() -> None:
    assert formats.sniff(b"BMW parts, price list, autumn", "list.txt").stranger == "a text file"


def test_a_directory_that_points_at_itself_ends() -> None:
    loop = b"II*\0\x08\0\0\0" + b"\1\0" + b"\x4a\1\4\0\1\0\0\0\x08\0\0\0"  # SubIFDs → the same directory
    assert formats.sniff(loop, "x.tif").format == formats.TIFF


def test_the_module_is_light_enough_for_the_supervisor() -> None:
    code = "import sys, cutoutd.models.decoding.formats; print({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert all(s.startswith(".") and s == s.lower() for s in formats.PHOTO_SUFFIXES)
    assert formats.suffix_of("DSC_1.JPG") == ".jpg"
