"""Walks of an inbox: handed over in batches, no faster than they are taken, and of the folder that was opened."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import pytest
from tests.support.conditions import wait_until

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.folders import inode_of
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.files.mounts import identify
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.watching import walker as walker_module
from cutoutd.daemon.watching.arrivals import Arrivals
from cutoutd.daemon.watching.filters import Rules
from cutoutd.daemon.watching.opening import Opened
from cutoutd.daemon.watching.walker import AHEAD, BATCH, MOST_IN_PART, Walker


class Arriving:
    """Takes what walks find, in place of `Arrivals`."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.hints: set[Any] = set()
        self.fail = False

    def take(self, batch: list[tuple[Any, Any]]) -> None:
        if self.fail:
            raise ValueError("a mistake of ours")
        self.names += [found.path for found, _ in batch]
        self.hints |= {hint for _, hint in batch}


class Walked:
    """A walker on a real folder; the test is its loop."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.queue: SimpleQueue[Done] = SimpleQueue()
        self.arriving = Arriving()
        self.faults: list[Exception] = []
        settings = Inbox.model_validate({"path": folder, "outbox": folder.parent / "out"})
        self.walker = Walker(
            settings,
            Rules(),
            arrivals=cast("Arrivals", self.arriving),
            history=History(ledger),
            post=self.queue.put,
            fault=self.faults.append,
        )
        self.opened(polled=False)

    def opened(self, *, polled: bool) -> None:
        folder = self.folder
        self.walker.opened(Opened(None, identify(folder), polled=polled, inode=inode_of(folder)))

    def fill(self, count: int) -> set[bytes]:
        names = {b"%05d.jpg" % number for number in range(count)}
        for name in names:
            (self.folder / name.decode()).write_bytes(b"photo")
        return names

    def take_one(self) -> None:
        message = self.queue.get(timeout=20)
        message.then(message.value, message.error)


@pytest.fixture
def walked(tmp_path: Path, ledger: Ledger) -> Walked:
    folder = tmp_path / "in"
    folder.mkdir()
    return Walked(folder, ledger)


def test_a_walk_holds_still_while_the_loop_takes_nothing_and_loses_nothing(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker_module, "BATCH", 2)
    names = walked.fill(2 * AHEAD + 5)
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(walked.walker.walk_all(stones=False)))
    thread.start()
    wait_until(lambda: walked.queue.qsize() == AHEAD and walked.walker.found == 2 * AHEAD + 2, "a full queue")
    assert thread.is_alive()
    for _ in range(AHEAD + 3):
        walked.take_one()
    thread.join(20)
    assert clean == [True]
    assert (set(walked.arriving.names), len(walked.arriving.names)) == (names, len(names))


def test_a_walk_that_waits_for_a_loop_that_has_ended_goes_home(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker_module, "BATCH", 1)
    walked.fill(AHEAD + 3)
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(walked.walker.walk_all(stones=False)))
    thread.start()
    wait_until(lambda: walked.queue.qsize() == AHEAD, "a full queue")
    walked.walker.close()
    thread.join(20)
    assert not thread.is_alive()
    assert clean == [False]


def test_another_folder_in_its_place_is_not_walked(walked: Walked) -> None:
    walked.folder.rename(walked.folder.parent / "aside")
    walked.folder.mkdir()
    walked.fill(1)
    with pytest.raises(OSError, match="another folder") as caught:
        walked.walker.walk_all(stones=False)
    assert caught.value.errno == errno.ESTALE
    assert walked.queue.empty()


def test_a_huge_new_folder_is_left_to_the_next_walk_of_all(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_IN_PART == AHEAD * BATCH
    monkeypatch.setattr(walker_module, "MOST_IN_PART", 3)
    (walked.folder / "new").mkdir()
    for number in range(5):
        (walked.folder / "new" / f"{number}.jpg").write_bytes(b"photo")
    walked.fill(2)
    found = walked.walker.walk_part(b"new")
    assert len(found) == 3
    assert all(one.path.startswith(b"new/") for one in found)


def test_a_polled_inbox_says_which_files_changed_since_the_last_walk(walked: Walked) -> None:
    walked.opened(polled=True)
    walked.fill(2)
    for _ in range(2):
        walked.arriving.hints.clear()
        assert walked.walker.walk_all(stones=False)
        walked.take_one()
    quiet = walked.arriving.hints.copy()
    (walked.folder / "00000.jpg").write_bytes(b"written again, and longer")
    walked.arriving.hints.clear()
    assert walked.walker.walk_all(stones=False)
    walked.take_one()
    assert walked.arriving.hints != quiet


def test_a_mistake_with_what_was_found_is_told_and_the_walk_goes_on(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker_module, "BATCH", 1)
    walked.fill(2)
    assert walked.walker.walk_all(stones=False)
    walked.arriving.fail = True
    walked.take_one()
    walked.arriving.fail = False
    walked.take_one()
    assert [str(one) for one in walked.faults] == ["a mistake of ours"]
    assert len(walked.arriving.names) == 1
