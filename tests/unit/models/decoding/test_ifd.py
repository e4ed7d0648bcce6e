"""The directories of a TIFF, built byte by byte: both byte orders, BigTIFF, sub-directories, damage and loops."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from cutoutd.models.decoding.ifd import (
    BITS,
    HEIGHT,
    PHOTOMETRIC,
    SUB_DIRECTORIES,
    SUBFILE,
    WIDTH,
    directories,
    fraction,
    main_picture,
)

Tags = Mapping[int, int]


def picture(width: int, **more: int) -> dict[int, int]:
    return {WIDTH: width, HEIGHT: 10, BITS: 8, **{int(tag[1:]): value for tag, value in more.items()}}


def tiff(*pages: Tags, order: str = "<", big: bool = False, loop: bool = False) -> bytes:
    """Directories one behind the other; a SUB_DIRECTORIES tag counts pages from 0 and points to that page."""
    word, pointer, entry = (order + kind for kind in (("Q", "Q", "HHQQ") if big else ("H", "I", "HHII")))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    sizes = [
        struct.calcsize(word) + len(page) * struct.calcsize(entry) + struct.calcsize(pointer)
        for page in pages
    ]
    starts = [len(head) + sum(sizes[:index]) for index in range(len(pages))]
    chained = [
        index for index in range(len(pages)) if not any(page.get(SUB_DIRECTORIES) == index for page in pages)
    ]
    body = b""
    for index, page in enumerate(pages):
        body += struct.pack(word, len(page))
        for tag in sorted(page):
            value = starts[page[tag]] if tag == SUB_DIRECTORIES else page[tag]
            body += struct.pack(entry, tag, 16 if big else 4, 1, value)
        rest = [one for one in chained if one > index]
        following = starts[0] if loop and not rest else starts[rest[0]] if index in chained and rest else 0
        body += struct.pack(pointer, following)
    return head + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_pages_come_in_order_with_their_numbers(order: str, big: bool) -> None:
    found = list(directories(tiff(picture(30), picture(20), order=order, big=big)))
    assert [(one.number(WIDTH), one.area) for one in found] == [(30, 300), (20, 200)]
    assert [one.number(WIDTH) for one in directories(tiff(picture(30), picture(20)), first_only=True)] == [30]


def test_sub_directories_follow_their_own() -> None:
    data = tiff(picture(5, _330=2), picture(6), picture(40))
    assert [one.number(WIDTH) for one in directories(data)] == [5, 40, 6]


def test_a_loop_and_a_cut_end_stop_the_search() -> None:
    assert [one.number(WIDTH) for one in directories(tiff(picture(30), picture(20), loop=True))] == [30, 20]
    whole = tiff(picture(30), picture(20))
    assert [one.number(WIDTH) for one in directories(whole[:-20])] == [30]
    assert list(directories(b"II*\0")) == []


def test_the_main_picture_is_the_largest_that_is_no_thumbnail_mask_or_fax() -> None:
    data = tiff(
        picture(900, **{f"_{SUBFILE}": 1}),
        picture(800, **{f"_{PHOTOMETRIC}": 4}),
        {**picture(700), BITS: 1},
        picture(60),
        picture(50),
    )
    moved, others = main_picture(data)
    assert others == 0
    assert next(iter(directories(moved))).number(WIDTH) == 60
    assert len(moved) == len(data)


def test_of_several_it_is_the_first_and_the_others_are_counted() -> None:
    data = tiff(picture(60), picture(60), picture(10))
    assert main_picture(data) == (data, 1)
    assert main_picture(b"II*\0\0\0\0\0") == (b"II*\0\0\0\0\0", 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_signed_fraction_is_read(order: str) -> None:
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    data = head + struct.pack(order + "HHHIII", 1, 37380, 10, 1, 26, 0) + struct.pack(order + "2i", -2, 3)
    assert fraction(data, 37380) == pytest.approx(-2 / 3)
    assert fraction(data, 1, 7.0) == 7.0
    assert fraction(data[:-8] + struct.pack(order + "2i", 1, 0), 37380, 7.0) == 7.0
    assert fraction(data[:-4], 37380, 7.0) == 7.0
