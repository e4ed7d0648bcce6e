"""Masks beside the ledger: copied for their owner alone, kept while a photo waits for them, and not for longer."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from cutoutd.config.errors import UsageError
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.control import CommandAnswer, CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import NOTHING_SAID, Corrections, Overrides
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.retention import History


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.png"
    path.write_bytes(b"\x89PNG")
    return path


def kept(ledger: Ledger, drawn: Path) -> str:
    name = masks.copied(ledger.path.parent, drawn)
    masks.keep(ledger, name)
    return name


def left(ledger: Ledger) -> set[str]:
    return {path.name for path in masks.folder_of(ledger.path.parent).iterdir()}


def photo(ledger: Ledger, state: str, mask: str) -> int:
    cursor = ledger.write(
        "INSERT INTO photos (inbox, path, key, state, overrides, arrived, finished) VALUES (x'00', ?, ?, ?, ?, 0, 0)",
        (state.encode(), state.encode(), state, json.dumps({"mask": mask}) if mask else ""),
    )
    return int(cursor.lastrowid or 0)


def test_a_copy_is_its_owners_alone_and_outlives_the_file(ledger: Ledger, drawn: Path) -> None:
    os.umask(0o022)
    name = masks.copied(ledger.path.parent, drawn)
    drawn.unlink()
    assert masks.is_name(name)
    assert left(ledger) == {name + masks.COPYING}
    masks.keep(ledger, name)
    path = masks.folder_of(ledger.path.parent) / name
    assert path.read_bytes() == b"\x89PNG"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "words"), [(None, "cannot be read"), (0, "is empty"), (masks.MOST_MASK_BYTES + 1, "200 MB")]
)
def test_what_can_be_no_mask_is_refused_and_leaves_nothing(
    ledger: Ledger, tmp_path: Path, size: int | None, words: str
) -> None:
    path = tmp_path / "mask.png"
    if size is not None:
        with path.open("wb") as file:
            file.truncate(size)
    masks.make_folder(ledger.path.parent)
    with pytest.raises(UsageError, match=words):
        masks.copied(ledger.path.parent, path)
    assert left(ledger) == set()


def test_masks_stay_while_a_photo_or_an_order_waits_for_them(ledger: Ledger, drawn: Path) -> None:
    waiting = [kept(ledger, drawn) for _ in range(5)]
    over = [kept(ledger, drawn) for _ in range(3)]
    for state, mask in zip(("pending", "running", "delivering", "failed"), waiting, strict=False):
        photo(ledger, state, mask)
    for state, mask in zip(("done", "superseded"), over, strict=False):
        photo(ledger, state, mask)
    control = Control(ledger)
    control.command(Verb.REDO, CommandArguments(overrides=Overrides(mask=waiting[4])))
    control.answer(
        control.command(Verb.REDO, CommandArguments(overrides=Overrides(mask=over[2]))), CommandAnswer(0)
    )
    ledger.write("INSERT INTO commands (verb, arguments, created) VALUES ('redo', 'nonsense', 0)")
    assert masks.drop_orphans(ledger) == 3
    assert left(ledger) == set(waiting)
    assert masks.drop_orphans(ledger) == 0


def test_a_mask_stays_as_long_as_its_photo_is_made_with_it(ledger: Ledger, drawn: Path) -> None:
    name, remarks, number = kept(ledger, drawn), Remarks(ledger), photo(ledger, "done", "")
    remarks.made_with(number, Corrections(mask=name))
    assert masks.drop_orphans(ledger) == 0
    remarks.made_with(number, NOTHING_SAID)
    assert masks.drop_orphans(ledger) == 1


def test_forgetting_a_photo_takes_its_mask(ledger: Ledger, drawn: Path) -> None:
    failed = photo(ledger, "failed", kept(ledger, drawn))
    photo(ledger, "pending", waiting := kept(ledger, drawn))
    History(ledger).forget(everything=False, photos=[failed])
    assert left(ledger) == {waiting}


def test_a_copy_whose_command_died_goes_after_an_hour(ledger: Ledger, drawn: Path) -> None:
    name = masks.copied(ledger.path.parent, drawn) + masks.COPYING
    assert masks.drop_orphans(ledger) == 0
    path = masks.folder_of(ledger.path.parent) / name
    os.utime(path, (1, 1))
    assert masks.drop_orphans(ledger) == 1
    assert left(ledger) == set()


def test_without_the_folder_there_is_nothing_to_drop(ledger: Ledger) -> None:
    assert masks.drop_orphans(ledger) == 0
