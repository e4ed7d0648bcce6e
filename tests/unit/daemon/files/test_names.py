"""Names: templates, collisions, limits; every table row is a way in which cutouts could overwrite each other."""

from __future__ import annotations

import os
import unicodedata
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.daemon.files.names import (
    LONGEST_NAME,
    Temporary,
    candidates,
    mirrored_folder,
    name_key,
    name_prefix,
    parse_temporary,
    portable,
    stem_of,
)

FACTS: dict[str, Any] = {
    "mtime_ns": 1_000_000_000 * 10**9,
    "counter": 7,
    "digest": "abcdef0123456789",
    "label": "web",
}

stems = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("{stem}", b"sub/DSC_1.JPG", "DSC_1"),
        ("{stem}-{counter}", b"a.jpg", "a-0007"),
        ("{hash}", b"a.jpg", "abcdef01"),
        ("{stem}_{deliverable}", b"a.jpg", "a_web"),
        ("../{stem}", b"a.jpg", "_a"),
        ("{stem}", b"...", "photo"),
        ("{stem}", b"no-extension", "no-extension"),
        ("{stem}", b"\xff\xfe.jpg", "\udcff\udcfe"),
    ],
)
def test_a_template_gives_one_harmless_stem(template: str, path: bytes, expected: str) -> None:
    assert stem_of(template, path, **FACTS) == expected


def test_date_is_the_photos_own() -> None:
    assert stem_of("{date}", b"a.jpg", **FACTS) == "2001-09-09"


@pytest.mark.parametrize("name", ["a" * 251, "写" * 83, "\udcff" * 251, "é" * 125])
@pytest.mark.parametrize(
    "template", ["{stem}-{deliverable}", "{stem} {stem}_{deliverable}", "{deliverable} {stem}"]
)
def test_of_a_long_name_the_photos_own_part_is_cut(name: str, template: str) -> None:
    """The pictures of a pack were all called by the same beginning, and numbered: nobody knew which is which."""
    path = os.fsencode(f"{name}.jpg")
    for label in ("amazon", "ebay"):
        facts: dict[str, Any] = {**FACTS, "label": label}
        stem = stem_of(template, path, **facts)
        first = next(candidates(b"", stem, ".avif"))
        assert len(first) <= LONGEST_NAME
        assert label.encode() in first
        assert name[:20] in os.fsdecode(first)
        assert len(first) > 200


def test_folder_mirrors_the_tree_inside_the_orders_own() -> None:
    assert mirrored_folder(b"day/a.jpg", "", date="d", label="web") == b"day"
    assert mirrored_folder(b"day/a.jpg", "{deliverable}/{date}", date="d", label="web") == b"web/d/day"


def test_folders_get_names_that_the_outbox_can_hold() -> None:
    path = b"8:30/aux/What?. /\xff/a:b.jpg"
    assert (
        mirrored_folder(path, "for:{deliverable}", date="d", label="w", plain=True)
        == b"for_w/8_30/_aux/What_/_"
    )
    assert mirrored_folder(b"a:b.jpg", "", date="d", label="web", plain=True) == b""
    assert mirrored_folder(path, "", date="d", label="web") == os.path.dirname(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"A.png", b"a.PNG"), ("é.png".encode(), "e\u0301.png".encode()), (b"STRASSE", "straße".encode())],
)
def test_names_that_a_mac_takes_for_the_same_collide(one: bytes, other: bytes) -> None:
    assert name_key(one) == name_key(other)


def test_bytes_that_are_no_utf8_have_a_key_that_sqlite_can_store() -> None:
    assert name_key(b"\xff.png").encode() != name_key(b"\xfe.png").encode()


@pytest.mark.slow
@given(stems, st.integers(0, 3))
def test_each_candidate_is_short_enough_and_begins_with_the_prefix(stem: str, folders: int) -> None:
    folder = b"/".join([b"f"] * folders)
    prefix = name_prefix(folder, stem)
    for name in islice(candidates(folder, stem, ".png"), 3):
        assert len(os.path.basename(name)) <= LONGEST_NAME
        assert name_key(name).startswith(prefix)


@pytest.mark.parametrize("at", range(36, 44))
def test_an_accent_at_the_cut_of_the_prefix_hides_no_name(at: int) -> None:
    """A decomposed accent behind the 40th character joined it, and the name was then not found among the taken."""
    stem = unicodedata.normalize("NFD", "x" * at + "é" + "x" * 9)
    name = next(candidates(b"", stem, ".png"))
    assert name_key(name).startswith(name_prefix(b"", stem))


def test_candidates_are_numbered_from_two() -> None:
    assert list(islice(candidates(b"d", "a", ".png"), 3)) == [b"d/a.png", b"d/a (2).png", b"d/a (3).png"]


def test_a_long_name_is_cut_between_characters() -> None:
    name = next(candidates(b"", "ü" * 200, ".png"))
    assert name.decode().endswith("ü.png")


def test_portable_replaces_what_windows_shares_refuse() -> None:
    assert portable('a:b?c"<>|*.') == "a_b_c_____"
    assert portable("...") == "photo"
    assert portable("\udcff") == "_"


@pytest.mark.parametrize("name", ["CON", "con.front", "Lpt1", "AUX .x", "nul"])
def test_portable_gives_no_name_that_windows_takes_for_a_device(name: str) -> None:
    assert portable(name) == f"_{name}"


@pytest.mark.parametrize("name", ["console", "com10", "contact.1", "beacon", "com"])
def test_portable_leaves_names_that_only_begin_like_one(name: str) -> None:
    assert portable(name) == name


def test_temporaries_say_whose_they_are() -> None:
    one = Temporary("0a1b", 12, 3, 1)
    assert parse_temporary(one.name()) == one
    for name in (
        b".cutoutd-0a1b-12-3.part",
        b"cutoutd-0a1b-12-3-1.part",
        b".cutoutd-xyz-1-1-1.part",
        b"a.jpg",
    ):
        assert parse_temporary(name) is None
