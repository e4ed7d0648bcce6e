"""Where the settings send an original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.mounts import MountIdentity, identify
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import Aftercare, Stage, State
from cutoutd.daemon.originals.destination import Destination, destination_of, reach

IN, OUT, ARCHIVE, FAILED = Path("/in"), Path("/out"), Path("/archive"), Path("/failed")
DISK = MountIdentity("/dev/sda1", "ext4", "/", "/in", False)


def _row(state: State) -> PhotoRow:
    return PhotoRow(
        id=1,
        inbox=b"/in",
        path=b"a.jpg",
        key=b"a.jpg",
        size=1,
        mtime_ns=0,
        inode=1,
        access=0,
        digest=None,
        megapixels=0.0,
        state=state,
        live=0,
        settled=1,
        stage=Stage.FINAL,
        forced=0,
        overrides="",
        attempts=0,
        interruptions=0,
        not_before=0.0,
        previous=None,
        aftercare=Aftercare.OWED,
        archived_to=None,
        hidden_name=None,
        reason="",
        detail="",
        model="",
        timings="",
        arrived=0.0,
        started=None,
        finished=None,
        ctime_ns=0,
        proven=0,
        confidence=None,
        doubts="",
    )


def _destination(state: State, **after: Any) -> Destination | None:
    inbox = Inbox(path=IN, outbox=OUT, after=after)  # pyright: ignore[reportArgumentType] - as the file has it
    return destination_of(_row(state), inbox, {IN: DISK}.get)


def test_a_finished_one_goes_where_its_inbox_says() -> None:
    archived = _destination(State.DONE, action="archive", archive=ARCHIVE, rest="40s")
    assert archived == Destination(ARCHIVE, 40.0, {IN: DISK})  # an archive that was never seen has no mount
    trashed = _destination(State.DONE, action="trash", archive=ARCHIVE)
    assert trashed is not None
    assert trashed.folder is None
    assert _destination(State.DONE, action="keep", failed=FAILED) is None


def test_a_failed_one_goes_only_to_the_folder_for_such() -> None:
    failed = _destination(State.FAILED, action="archive", archive=ARCHIVE, failed=FAILED, failed_after="90s")
    assert failed is not None
    assert (failed.folder, failed.rest_s) == (FAILED, 90.0)
    assert _destination(State.FAILED, action="archive", archive=ARCHIVE) is None


@pytest.mark.parametrize("state", [state for state in State if state not in (State.DONE, State.FAILED)])
def test_one_that_is_to_be_done_has_no_destination(state: State) -> None:
    assert _destination(state, action="trash", failed=FAILED) is None


def test_a_folder_that_was_never_seen_is_made_and_known_from_then_on(tmp_path: Path) -> None:
    inbox, archive = tmp_path / "in", tmp_path / "archive" / "photos"
    inbox.mkdir()
    there = reach(Destination(archive, 0.0, {inbox: identify(inbox)}), inbox, b"", 0o750)
    facts = archive.stat()
    assert (there.place, there.mount) == (bytes(archive), identify(archive))
    assert there.inode == (facts.st_dev, facts.st_ino)
    assert facts.st_mode & 0o777 == 0o750
    assert there.fs.exists(bytes(archive))


def test_one_that_was_seen_is_not_made_again_when_it_is_away(tmp_path: Path) -> None:
    inbox, archive = tmp_path / "in", tmp_path / "archive"
    inbox.mkdir()
    archive.mkdir()
    seen = {inbox: identify(inbox), archive: identify(archive)}
    archive.rmdir()
    with pytest.raises(OSError, match="does not exist"):
        reach(Destination(archive, 0.0, seen), inbox, b"", 0o755)
    assert not archive.exists()


def test_a_place_of_an_earlier_setting_is_reached_too(tmp_path: Path) -> None:
    inbox, archive, before = tmp_path / "in", tmp_path / "archive", tmp_path / "before"
    for folder in (inbox, archive, before):
        folder.mkdir()
    (before / "a.jpg").write_bytes(b"data")
    there = reach(Destination(archive, 0.0, {}), inbox, bytes(before / "a.jpg"), 0o755)
    assert there.fs.lstat(bytes(before / "a.jpg")).st_size == 4
