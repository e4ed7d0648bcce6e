"""The tables of names, each row with the program that writes it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.daemon.files.names import MOST_LEVELS
from cutoutd.daemon.watching import filters
from cutoutd.daemon.watching.filters import (
    Kind,
    Rules,
    classify,
    is_excluded_folder,
    is_ignored_folder,
    raw_pair_key,
)

PLAIN = Rules()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"a.jpg", Kind.PHOTO),
        (b"A.JPG", Kind.PHOTO),
        (b"shoot/2026-11-02/IMG_0001.HEIC", Kind.PHOTO),
        (b"a.b.c.webp", Kind.PHOTO),
        (b"photo (2).jpeg", Kind.PHOTO),
        (b"caf\xe9 \xff.Jpg", Kind.PHOTO),  # Latin-1 bytes
        ("Ärger.TIFF".encode(), Kind.PHOTO),
        (b"my_bus_stop.txt", Kind.OTHER),
        (b"DSC_1.NEF", Kind.RAW),
        (b"x.dng", Kind.RAW),
        (b"IMG.CR3", Kind.RAW),
        (b"clip.mov", Kind.OTHER),
        (b"order.pdf", Kind.OTHER),
        (b"selects.zip", Kind.OTHER),
        (b"a.unheardof", Kind.OTHER),
        (b"noextension", Kind.JUNK),
        (b".DS_Store", Kind.JUNK),
        (b"._IMG_1.jpg", Kind.JUNK),  # macOS resource fork
        (b".hidden.jpg", Kind.JUNK),
        (b".IMG_1.jpg.icloud", Kind.JUNK),
        (b".in.IMG_1.JPG.", Kind.JUNK),  # ProFTPD
        (b".pureftpd-upload.5f.jpg", Kind.JUNK),
        (b"Desktop.ini", Kind.JUNK),
        (b"Thumbs.db", Kind.JUNK),
        (b"IMG_1.jpg.part", Kind.JUNK),
        (b"IMG_1.jpg.filepart", Kind.JUNK),
        (b"IMG_1.jpg.crdownload", Kind.JUNK),
        (b"IMG_1.tmp", Kind.JUNK),
        (b"~$shotlist.jpg", Kind.JUNK),
        (b"IMG_1.jpg~", Kind.JUNK),
        (b"tmpfile8sK2xZ", Kind.JUNK),  # gphoto2
        (b"Camera-tmp1-4711.digikamtempfile.IMG_1.JPG", Kind.JUNK),
        (b".cutoutd-7f-12-1.part", Kind.JUNK),
        (b"IMG_1.xmp", Kind.JUNK),
        (b"IMG_1.NEF.XMP", Kind.JUNK),
        (b"IMG_1.cos", Kind.JUNK),
        (b"IMG_1.nksc", Kind.JUNK),
        (b"IMG_1.pp3", Kind.JUNK),
        (b"IMG_1.dop", Kind.JUNK),
        (b"@eaDir/IMG_1.jpg", Kind.JUNK),
        (b"a/@eaDir/b/IMG_1.jpg", Kind.JUNK),
        (b".stversions/IMG_1.jpg", Kind.JUNK),
        (b".Trashes/501/IMG_1.jpg", Kind.JUNK),
        (b"__MACOSX/IMG_1.jpg", Kind.JUNK),
        (b"CaptureOne/Cache/IMG_1.jpg", Kind.JUNK),
        (b"NKSC_PARAM/IMG_1.jpg", Kind.JUNK),
        (b"Previews.lrdata/IMG_1.jpg", Kind.JUNK),
        # What programs write beside a photo until it is whole, and what systems keep of it.
        (b"IMG_1.jpg_exiftool_tmp", Kind.JUNK),
        (b"IMG_1.jpg.!sync", Kind.JUNK),
        (b"IMG_1.jpg.aria2", Kind.JUNK),
        (b"IMG_1.jpg.crswap", Kind.JUNK),
        (b"IMG_1.jpg.tacitpart", Kind.JUNK),
        (b"IMG_1.jpg.lftp-pget-status", Kind.JUNK),
        (b"IMG_1.jpg.1a2b3c4d.partial", Kind.JUNK),  # rclone
        (b"~syncthing~IMG_1.jpg.tmp", Kind.JUNK),
        (b"IMG_1.jpg:Zone.Identifier", Kind.JUNK),
        (b"#IMG_1.jpg#", Kind.JUNK),
        (b"IMG_1.jpg.sb-2f5a7e3c-Ab3dEf/IMG_1.jpg", Kind.JUNK),
        (b"(A Document Being Saved By Preview 2)/IMG_1.jpg", Kind.JUNK),
        (b"IMG_1.jpg.download/IMG_1.jpg", Kind.JUNK),
        (b"Temporary Items/x/IMG_1.jpg", Kind.JUNK),
        (b"Network Trash Folder/IMG_1.jpg", Kind.JUNK),
        (b"#snapshot/GMT+01-2026.05.04-10.15.00/IMG_1.jpg", Kind.JUNK),
        (b"@Recently-Snapshot/daily/IMG_1.jpg", Kind.JUNK),
        (b"~snapshot/hourly.0/IMG_1.jpg", Kind.JUNK),
        (b"@tmp/IMG_1.jpg", Kind.JUNK),
        (b"FOUND.000/IMG_1.jpg", Kind.JUNK),
        (b"Shop.lrlibrary/x/IMG_1.jpg", Kind.JUNK),
        (b"#1/IMG_1.jpg", Kind.PHOTO),
        (b"IMG#1.jpg", Kind.PHOTO),
        (b"found.jpg/IMG_1.jpg", Kind.PHOTO),
        (b"~ my shoot/IMG_1.jpg", Kind.PHOTO),
        (b"My captureone shoot/IMG_1.jpg", Kind.PHOTO),  # only the exact folder name is Capture One's
        (b"tmpfile.jpg", Kind.PHOTO),
        (b"particle.jpg", Kind.PHOTO),
    ],
)
def test_a_name_says_what_it_is(path: bytes, kind: Kind) -> None:
    assert classify(path, PLAIN) is kind


@pytest.mark.parametrize(
    ("pattern", "path", "seen"),
    [
        ("*.jpg", b"a.jpg", True),
        ("*.jpg", b"deep/down/a.JPG", True),
        ("*.jpg", b"a.png", False),
        ("selects/**", b"selects/a.jpg", True),
        ("selects/**", b"selects/x/y/a.jpg", True),
        ("selects/**", b"other/selects/a.jpg", False),
        ("**/selects/*", b"other/selects/a.jpg", True),
        ("**/selects/*", b"selects/a.jpg", True),
        ("**/selects/*", b"selects/x/a.jpg", False),
        ("IMG_????.*", b"IMG_0001.jpg", True),
        ("IMG_????.*", b"IMG_001.jpg", False),
        ("[a-c]*.jpg", b"b1.jpg", True),
        ("[!a-c]*.jpg", b"b1.jpg", False),
        ("[!a-c]*.jpg", b"d1.jpg", True),
        ("caf\udce9*.jpg", b"caf\xe9 1.jpg", True),
    ],
)
def test_include_shows_only_what_matches(pattern: str, path: bytes, seen: bool) -> None:
    assert (classify(path, Rules(include=(pattern,))) is not Kind.JUNK) is seen


@pytest.mark.parametrize(
    ("pattern", "path", "seen"),
    [
        ("*_small.jpg", b"a/b_small.jpg", False),
        ("rejects", b"rejects/a.jpg", False),
        ("rejects/", b"rejects/a.jpg", False),
        ("Rejects", b"x/rejects/y/a.jpg", False),
        ("x/rejects", b"x/rejects/y/a.jpg", False),
        ("x/rejects", b"rejects/a.jpg", True),
        ("x/**", b"x/a.jpg", False),
        ("./x/*.jpg", b"x/a.jpg", False),
        ("x/*.jpg", b"x/y/a.jpg", True),
        ("rejects", b"a_rejects.jpg", True),
        ("a.b", b"axb/p.jpg", True),  # a dot is a dot
    ],
)
def test_exclude_hides_files_and_whole_folders(pattern: str, path: bytes, seen: bool) -> None:
    assert (classify(path, Rules(exclude=(pattern,))) is not Kind.JUNK) is seen


def test_exclude_wins_over_include_and_nothing_includes_junk() -> None:
    rules = Rules(include=("*.jpg", "*.part"), exclude=("b*",))
    assert classify(b"a.jpg", rules) is Kind.PHOTO
    assert classify(b"b.jpg", rules) is Kind.JUNK
    assert classify(b"a.jpg.part", rules) is Kind.JUNK


def test_a_walk_need_not_enter_what_is_excluded() -> None:
    assert is_ignored_folder(b"@eaDir")
    assert is_ignored_folder(b".git")
    assert not is_ignored_folder(b"2026-11-02")
    rules = Rules(exclude=("rejects", "old/**"))
    assert is_excluded_folder(b"a/rejects", rules)
    assert is_excluded_folder(b"old", rules)
    assert not is_excluded_folder(b"older", rules)
    assert not is_excluded_folder(b"a", Rules(exclude=("*.jpg", "a/*.jpg")))


def test_a_raw_and_its_jpeg_share_a_key() -> None:
    assert raw_pair_key(b"a/DSC_1.NEF") == raw_pair_key(b"a/dsc_1.jpg")
    assert raw_pair_key(b"a/DSC_1.NEF") != raw_pair_key(b"b/DSC_1.JPG")
    assert raw_pair_key(b"A/DSC_1.NEF") != raw_pair_key(b"a/DSC_1.JPG")  # folders are told apart by case
    assert raw_pair_key(b"DSC_1.NEF") != raw_pair_key(b"DSC_1.2.JPG")
    assert raw_pair_key(b"\xff1.NEF") == raw_pair_key(b"\xff1.JPG") != raw_pair_key(b"\xfe1.JPG")
    assert filters.is_pair_partner(b"a/x.JPG")
    assert not filters.is_pair_partner(b"a/x.png")


def test_the_tables_do_not_contradict_each_other() -> None:
    kinds = [filters.PHOTO_EXTENSIONS, filters.RAW_EXTENSIONS, frozenset(filters.SIDECARS)]
    assert sum(map(len, kinds)) == len({name for kind in kinds for name in kind})
    assert filters.PAIR_EXTENSIONS <= filters.PHOTO_EXTENSIONS
    assert all(
        reason
        for table in (filters.SIDECARS, filters.JUNK_NAMES, filters.JUNK_FOLDERS)
        for reason in table.values()
    )


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path))
def test_any_bytes_are_a_name(path: bytes) -> None:
    assert classify(path, Rules(include=("**",), exclude=("[z]",))) in Kind
    assert raw_pair_key(path) == raw_pair_key(path)


@pytest.mark.slow
@given(st.text(string.ascii_letters + "*?[]!-^\\&~|./", min_size=1, max_size=12), st.binary(max_size=12))
def test_any_pattern_is_a_pattern(pattern: str, path: bytes) -> None:
    assert classify(path + b".jpg", Rules(include=(pattern,))) in Kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"d/DSC_1.NEF", b"d/dsc_1.jpg"),
        (b"PXL_1.RAW-01.COVER.jpg", b"PXL_1.RAW-02.ORIGINAL.dng"),
        (b"PXL_1.RAW-01.MP.COVER.jpg", b"PXL_1.RAW-02.ORIGINAL.dng"),
        (b"PXL_1.MP.jpg", b"PXL_1.dng"),
    ],
)
def test_the_two_files_of_one_shot_share_a_key(one: bytes, other: bytes) -> None:
    assert raw_pair_key(one) == raw_pair_key(other)
    assert raw_pair_key(one) != raw_pair_key(other.replace(b"1", b"2", 1))


def test_every_extension_is_in_one_table() -> None:
    from cutoutd.models.decoding import formats

    for kind, names in formats.EXTENSIONS.items():
        for name in names:
            wanted = Kind.RAW if kind == formats.RAW else Kind.PHOTO
            assert classify(b"a." + name.upper().encode(), Rules()) is wanted, name


def test_what_lies_too_deep_is_not_seen() -> None:
    deepest = b"a/" * MOST_LEVELS
    assert classify(deepest + b"b.jpg", PLAIN) is Kind.PHOTO
    assert classify(deepest + b"a/b.jpg", PLAIN) is Kind.JUNK
    assert not is_excluded_folder(deepest[:-1], PLAIN)
    assert is_excluded_folder(deepest + b"a", PLAIN)
