"""Whether zeros can be a scan's data: by its Huffman tables, and by where they begin and end."""

from __future__ import annotations

import pytest

from cutoutd.models.decoding.jpegzeros import LEAST, codes_of_zeros, has_hole

BASELINE, PROGRESSIVE, ARITHMETIC = 0xC0, 0xC2, 0xC9
# One channel with the AC table 0, coefficients 0 to 63, no successive bits.
SCAN = bytes((1, 1, 0x00, 0, 63, 0))
# Zeros mean "one more coefficient", or "nothing more in this block".
MORE, NOTHING_MORE = {0: 0x01}, {0: 0x00}


def table(kind: int, number: int, *symbols: int) -> bytes:
    return bytes((kind << 4 | number, len(symbols), *[0] * 15, *symbols))


def scan(zeros: int, at: int = 100, length: int = 20_000) -> bytes:
    return bytes([7] * at + [0] * zeros + [7] * (length - at - zeros))


def hole(data: bytes, codes: dict[int, int], frame: int = BASELINE, header: bytes = SCAN) -> bool:
    return has_hole(data, 0, len(data), header, frame, codes)


def test_the_shortest_code_of_each_ac_table_is_what_zeros_mean() -> None:
    assert codes_of_zeros(iter([table(1, 0, 0x11, 0x22), table(1, 3, 0x05), table(0, 1, 0x09)])) == {
        0: 0x11,
        1: 0x00,
        3: 0x05,
    }
    assert codes_of_zeros(iter([table(1, 0, 0x33) + table(1, 1, 0x44)])) == {0: 0x33, 1: 0x44}


def test_a_file_without_tables_has_the_standard_ones_and_a_cut_table_says_nothing() -> None:
    assert codes_of_zeros(iter([])) == {0: 0x01, 1: 0x00}
    assert codes_of_zeros(iter([table(1, 0, 0x33)[:-1]])) == {0: 0x01, 1: 0x00}


def test_zeros_are_a_hole_where_they_cannot_be_flat_parts() -> None:
    assert hole(scan(LEAST), MORE)
    assert not hole(scan(LEAST - 1), MORE), "a row of codes may be that long"
    assert not hole(scan(0), MORE)


def test_where_flat_parts_are_zeros_only_whole_clusters_are_a_hole() -> None:
    assert not hole(scan(5000), NOTHING_MORE)
    assert hole(scan(4096, at=4096), NOTHING_MORE)
    assert hole(scan(8192, at=4096), NOTHING_MORE)
    assert hole(scan(4096 + 2, at=4095), NOTHING_MORE), "a zero by chance on either side"
    assert not hole(scan(4096 + 500, at=4096), NOTHING_MORE)


def test_a_kind_of_scan_that_is_not_known_is_left_alone() -> None:
    assert not hole(scan(4096, at=4096), MORE, ARITHMETIC)


@pytest.mark.parametrize(
    ("header", "codes", "flat"),
    [
        (bytes((1, 1, 0, 0, 0, 1)), {0: 0x01}, True),  # the first coefficients
        (bytes((1, 1, 0, 1, 63, 0x21)), {0: 0x01}, True),  # a refinement
        (bytes((1, 1, 0, 1, 3, 0)), {0: 0x01}, True),  # a narrow band
        (bytes((1, 1, 0, 1, 63, 0)), {0: 0x01}, False),
        (bytes((1, 1, 0, 1, 63, 0)), {0: 0x00}, True),  # the end of a band
        (bytes((1, 1, 0, 1, 63, 0)), {0: 0xF0}, False),  # sixteen zeros and more to come
    ],
)
def test_each_scan_of_a_progressive_file_by_itself(header: bytes, codes: dict[int, int], flat: bool) -> None:
    assert hole(scan(LEAST), codes, PROGRESSIVE, header) is not flat
