from __future__ import annotations

import unicodedata

import pytest

from cutoutd.config.photo_list import Entry, folded, parse


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lists_as_spreadsheets_write_them(delimiter: str, mark: bytes, newline: str) -> None:
    lines: tuple[list[str], ...] = (
        ["Stem", "SKU", "preset", "name"],
        ["DSC_1", "4711", "web", "red shoe"],
        [],
        ["dsc_2", "1", "mask", ""],
    )
    text = newline.join(delimiter.join(cells) for cells in lines) + newline
    listed = parse(mark + text.encode())
    assert listed.entries == {"dsc_1": Entry(2, "web", "red shoe"), "dsc_2": Entry(4, "mask", "")}
    assert not listed.wrong


def test_a_cell_in_quotes_may_hold_commas_and_lines() -> None:
    listed = parse(b'stem,remark,name\na,"one, two\nthree",x\nb,"",y\n')
    assert listed.entries == {"a": Entry(3, "", "x"), "b": Entry(4, "", "y")}


def test_accents_and_case_are_the_same_however_they_are_written() -> None:
    composed, apart = "Caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    assert folded(composed) == folded(apart)
    assert folded(apart) in parse(f"stem,preset\n{composed},web\n".encode()).entries


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,web,../x", "slash"),
        ("a,web,x.png", "extension"),
        ("a,,", "neither preset nor name"),
        (",web,", "stem is missing"),
        ("first,web,", "line 2 already"),
    ],
)
def test_a_line_with_a_mistake_is_named_and_the_others_hold(line: str, words: str) -> None:
    listed = parse(f"stem,preset,name\nfirst,web,\nsecond,mask,\n{line}\n".encode())
    assert words in listed.wrong[4]
    assert "second" in listed.entries
    stem = line.split(",", maxsplit=1)[0]
    assert stem not in listed.entries  # also the first of two lines for one photo
    assert listed.mistaken[stem] == 4


@pytest.mark.parametrize(
    "data", [b"", b"name,preset\na,web\n", b"stem\na\n", b"stem,name\n\xff\xfe,x\n", b'stem,name\n"a,x']
)
def test_what_is_no_such_list_says_so_and_names_nobody(data: bytes) -> None:
    listed = parse(data)
    assert listed.wrong[1]
    assert not listed.entries
