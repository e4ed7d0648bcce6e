"""Small pictures beside the ledger: a photo that is forgotten, trimmed or nameless leaves none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cutoutd.config.hooks import EventKind
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.previews import FOLDER, PICTURES, WHOLE, drop_orphans, erase
from cutoutd.daemon.ledger.remarks import Remarks
from cutoutd.daemon.ledger.retention import History


@pytest.fixture
def folder(ledger: Ledger) -> Path:
    folder = ledger.path.parent / FOLDER
    for number in (1, 2, 12):
        ledger.write(
            "INSERT INTO photos (id, inbox, path, key, state, arrived, finished)"
            " VALUES (?, x'00', ?, ?, 'done', 0, 0)",
            (number, b"%d.jpg" % number, b"%d" % number),
        )
        Remarks(ledger).mark(number, EventKind.ACCEPTED, "v")
        for below in (PICTURES, WHOLE):
            (folder / below).mkdir(parents=True, exist_ok=True)
        (folder / PICTURES / f"{number}-0123456789ab-640-4x3-8x6.webp").write_bytes(b"RIFF")
        (folder / WHOLE / f"{number}-0123456789ab.png").symlink_to(ledger.path)
    for name in ("index.html", "index-feed.js", "index-pulse.gif"):
        (folder / name).write_text("2.jpg")
    ledger.commit()
    return folder


def left(folder: Path) -> set[str]:
    return {path.name.split("-")[0] for below in (PICTURES, WHOLE) for path in (folder / below).iterdir()}


def test_forget_takes_a_photos_pictures_links_remarks_and_the_feed(ledger: Ledger, folder: Path) -> None:
    History(ledger).forget(everything=False, photos=[2])
    assert left(folder) == {"1", "12"}
    assert [path.name for path in sorted(folder.iterdir()) if path.is_file()] == ["index.html"]
    assert set(Remarks(ledger).marks()) == {1, 12}
    assert ledger.path.stat().st_size > 0  # a link is removed, not what it leads to


def test_forget_all_and_trimming_take_everything(ledger: Ledger, folder: Path) -> None:
    History(ledger).forget(everything=True)
    assert left(folder) == set()
    assert b"photo mark" not in b"".join(path.read_bytes() for path in ledger.path.parent.glob("ledger*"))


def test_where_no_names_are_kept_the_sweep_takes_them(ledger: Ledger, folder: Path) -> None:
    History(ledger).sweep()
    assert left(folder) == set()


def test_while_all_names_are_kept_nothing_goes(ledger: Ledger, folder: Path) -> None:
    assert drop_orphans(ledger) == 0
    assert left(folder) == {"1", "2", "12"}
    assert (folder / "index-feed.js").exists()
    shutil.rmtree(folder)
    assert drop_orphans(ledger) == 0


def test_what_held_names_is_overwritten_and_what_a_link_leads_to_is_not(tmp_path: Path) -> None:
    feed, other = tmp_path / "feed.js", tmp_path / "other"
    feed.write_text("DSC_1.jpg")
    kept = tmp_path / "kept"
    kept.hardlink_to(feed)
    erase(feed)
    assert not feed.exists()
    assert kept.read_bytes() == bytes(9)
    other.write_text("mine")
    (tmp_path / "link").symlink_to(other)
    erase(tmp_path / "link")
    assert other.read_text() == "mine"
    erase(tmp_path / "link")
