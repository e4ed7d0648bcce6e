"""Which photos somebody means: by the original's path, its cutout's, its place in an archive, a folder, a number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutoutd.config.errors import printable
from cutoutd.daemon.ledger.addressing import AddressBook
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled

BOX = b"/inbox"


def photo(ledger: Ledger, name: bytes, archived: bytes | None = None, output: bytes | None = None) -> int:
    made = Intake(ledger).observe(BOX, name, Facts(1, 2, 3), settled=Settled.KNOWN)[1] or 0
    if archived is not None:
        ledger.write("UPDATE photos SET archived_to = ? WHERE id = ?", (archived, made))
    if output is not None:
        ledger.write(
            "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, out_size, state) "
            "VALUES (?, 'cutout', ?, ?, ?, 'd', 1, 'done')",
            (made, b"/out", output, os.fsdecode(output)),
        )
    return made


def found(ledger: Ledger, typed: str, folder: str | None = None) -> list[int]:
    return [row.id for row in AddressBook(ledger).find(typed, folder=folder)]


def test_a_photo_is_found_by_every_path_that_is_its_own(ledger: Ledger) -> None:
    one = photo(ledger, b"day/a.jpg", archived=b"/archive/day/a.jpg", output=b"day/a.png")
    photo(ledger, b"day/b.jpg")
    for typed in ("/inbox/day/a.jpg", "/archive/day/a.jpg", "/archive/day/a.jpg.txt", "/out/day/a.png"):
        assert found(ledger, typed) == [one], typed
    assert found(ledger, "a.jpg", folder="/inbox/day") == [one]


def test_an_empty_text_means_no_photo(ledger: Ledger) -> None:
    photo(ledger, b"a.jpg")
    assert found(ledger, "", folder="/inbox") == []


def test_a_name_that_begins_like_a_home_is_a_name(ledger: Ledger, tmp_path: Path) -> None:
    one, two = photo(ledger, b"~root"), photo(ledger, b"~nobody-of-that-name.jpg")
    here = str(tmp_path)
    assert found(ledger, "~root", here) == [one]
    assert found(ledger, "~nobody-of-that-name.jpg", here) == [two]


def test_a_folder_means_what_lies_in_it_and_no_neighbour(ledger: Ledger) -> None:
    one, two = photo(ledger, b"day/a.jpg"), photo(ledger, b"day/b.jpg")
    photo(ledger, b"day 2/c.jpg")
    assert found(ledger, "/inbox/day") == [one, two]
    assert found(ledger, "/inbox/day/") == [one, two]
    assert found(ledger, "/elsewhere") == []


def test_a_bare_name_is_looked_for_everywhere_and_before_a_number(ledger: Ledger, tmp_path: Path) -> None:
    one, two = photo(ledger, b"day/a.jpg"), photo(ledger, b"other/a.jpg")
    three = photo(ledger, b"1")
    here = str(tmp_path)
    assert found(ledger, "a.jpg", here) == [one, two]
    assert found(ledger, "day/a.jpg", here) == [one]
    assert found(ledger, "1", here) == [three], "a name comes before a number"


@pytest.mark.parametrize("typed", ["2", "#2", "photo 2"])
def test_a_number_as_cutoutd_prints_it_is_a_photo(typed: str, ledger: Ledger, tmp_path: Path) -> None:
    photo(ledger, b"a.jpg")
    two = photo(ledger, b"b.jpg")
    assert found(ledger, typed, str(tmp_path)) == [two]
    assert found(ledger, "99", str(tmp_path)) == []


def test_an_odd_name_is_found_as_it_was_printed(ledger: Ledger) -> None:
    one = photo(ledger, b"a\nb\xff.jpg")
    assert found(ledger, printable(b"/inbox/a\nb\xff.jpg")) == [one]
