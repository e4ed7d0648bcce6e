"""How an inbox is opened: whether it is there, and whether its events come or it is polled."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.folders import inode_of
from cutoutd.daemon.files.mounts import identify
from cutoutd.daemon.watching import opening
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.opening import Opened, events_arrive, open_inbox

linux = pytest.mark.skipif(sys.platform != "linux", reason="native events are asked for on Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def heard() -> list[Any]:
    return []


@pytest.fixture
def opened(folder: Path, heard: list[Any]) -> Iterator[Any]:
    """Opens the inbox; its watches go with the test."""
    all_of_them: list[Opened] = []

    def open_it(events: str = "auto", recorded: Any = None) -> Opened:
        settings = Inbox.model_validate({"path": folder, "outbox": folder.parent / "out", "events": events})
        all_of_them.append(open_inbox(settings, recorded, heard.append))
        return all_of_them[-1]

    yield open_it
    for one in all_of_them:
        if one.watcher is not None:
            one.watcher.stop()


@linux
@pytest.mark.parametrize("events", ["auto", "native"])
def test_a_folder_of_this_machine_is_watched(opened: Any, folder: Path, events: str) -> None:
    one = opened(events)
    assert one.watcher is not None
    assert (one.polled, one.trouble, one.no_events) == (False, "", None)
    assert (one.inode, one.identity) == (inode_of(folder), identify(folder))
    assert list(folder.iterdir()) == [], "a probe leaves nothing behind"


def test_who_wants_polling_gets_it_and_nothing_is_missing(opened: Any, folder: Path) -> None:
    one = opened("poll")
    assert (one.watcher, one.polled, one.no_events, one.inode) == (None, True, None, inode_of(folder))


def test_a_folder_that_is_gone_is_away_and_not_polled(opened: Any, folder: Path) -> None:
    folder.rmdir()
    one = opened()
    assert (one.watcher, one.polled) == (None, False)
    assert "does not exist" in one.trouble


def test_an_unmounted_share_is_away_though_a_folder_lies_in_its_place(opened: Any, folder: Path) -> None:
    was = replace(identify(folder), mount_point=str(folder), fstype="nfs4", source="server:/photos")
    one = opened("auto", was)
    assert (one.watcher, one.polled) == (None, False)
    assert "not mounted" in one.trouble


def test_where_no_events_come_it_is_polled_and_why_is_known(
    opened: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = NoEvents("a share gives none", "mount")
    monkeypatch.setattr(opening, "probe_events", lambda *_arguments: why)
    one = opened("auto")
    assert (one.watcher, one.polled, one.no_events) == (None, True, why)
    settings = Inbox.model_validate({"path": folder, "outbox": folder.parent / "out"})
    assert not events_arrive(settings)
    monkeypatch.setattr(opening, "probe_events", lambda *_arguments: None)
    assert events_arrive(settings)
