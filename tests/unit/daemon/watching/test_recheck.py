"""Photos that a walk says nothing about: gone, or readable again though nothing about the file has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.watching import recheck
from cutoutd.daemon.watching.recheck import Recheck


class Box:
    """An inbox on disk, its rows, and one look after the other."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root = root
        self.ledger = ledger
        self.gone: list[int] = []
        self.refused: set[bytes] = set()
        self._said: SimpleQueue[Done] = SimpleQueue()
        self.io = IoThread("box", self._said.put)
        self._recheck = Recheck(os.fsencode(root), ledger, self.io, self)

    def file_gone(self, photo: int) -> None:
        self.gone.append(photo)

    def file_complete(self, photo: int) -> None: ...

    def photo_stirs(self) -> None: ...

    def left_alone(self, suffix: str) -> None: ...

    def photo(self, name: str, state: State, reason: str = "", *, settled: bool = True) -> int:
        (self.root / name).write_bytes(b"a photo")
        intake = Intake(self.ledger)
        photo = intake.observe(
            os.fsencode(self.root),
            name.encode(),
            Facts(7, 1, 1),
            settled=Settled.KNOWN if settled else Settled.NOT,
        )[1]
        assert photo is not None
        self.ledger.write(
            "UPDATE photos SET state = ?, reason = ?, attempts = 3 WHERE id = ?", (state, reason, photo)
        )
        return photo

    def look(self, *, cleanly: bool = True) -> None:
        self._recheck.look(walked_cleanly=cleanly)
        self.io.call(lambda: None, lambda _value, _error: None)
        while True:
            done = self._said.get(timeout=30)
            done.then(done.value, done.error)
            if self._said.empty() and self.io.waiting == 0:
                return

    def row(self, photo: int) -> tuple[str, str, int]:
        found = Intake(self.ledger).get(photo)
        assert found is not None
        return found.state, found.reason, found.attempts


@pytest.fixture
def box(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    one = Box(tmp_path, ledger)

    def is_readable(_fs: RealFileSystem, path: bytes) -> bool:  # whoever runs the tests may read everything
        return os.path.basename(path) not in one.refused

    monkeypatch.setattr(RealFileSystem, "is_readable", is_readable)
    yield one
    one.io.stop()


def test_a_failed_photo_whose_file_is_gone_is_forgotten_beside_a_clean_walk_only(box: Box) -> None:
    photo = box.photo("a.jpg", State.FAILED, Reason.UNREADABLE)
    (box.root / "a.jpg").unlink()
    box.look(cleanly=False)
    assert box.row(photo) == (State.FAILED, Reason.UNREADABLE, 3)
    box.look()
    assert box.row(photo)[:2] == (State.SKIPPED, Reason.VANISHED)


def test_a_photo_in_hand_that_still_settles_and_is_gone_is_told(box: Box) -> None:
    photo = box.photo("a.jpg", State.RUNNING, settled=False)
    box.look()
    assert box.gone == []
    (box.root / "a.jpg").unlink()
    box.look()
    assert box.gone == [photo]


@pytest.mark.parametrize("cleanly", [True, False])
def test_what_may_be_read_again_is_owed_again(box: Box, cleanly: bool) -> None:
    photo = box.photo("a.jpg", State.FAILED, Reason.NO_PERMISSION)
    box.refused = {b"a.jpg"}
    box.look(cleanly=cleanly)
    assert box.row(photo) == (State.FAILED, Reason.NO_PERMISSION, 3)
    box.refused = set()
    box.look(cleanly=cleanly)
    assert box.row(photo) == (State.PENDING, "", 0)


def test_it_is_tried_once_each_time_the_permission_comes_back(box: Box) -> None:
    """A photo that only the workers may not read would go round for ever."""
    photo = box.photo("a.jpg", State.FAILED, Reason.NO_PERMISSION)

    def look_after(*steps: Callable[[], None]) -> str:
        for step in steps:
            step()
        box.look()
        return box.row(photo)[0]

    def fail() -> None:
        box.ledger.write("UPDATE photos SET state = 'failed', reason = 'no-permission'")

    assert look_after() == State.PENDING
    assert look_after() == State.PENDING  # a walk while it is tried again forgets nothing
    other = box.photo("b.jpg", State.FAILED, Reason.UNREADABLE)
    assert look_after() == State.PENDING
    box.ledger.write("DELETE FROM photos WHERE id = ?", (other,))
    assert look_after(fail) == State.FAILED
    assert look_after(lambda: box.refused.add(b"a.jpg")) == State.FAILED
    assert look_after(box.refused.clear) == State.PENDING


def test_other_failures_stay_what_they_are(box: Box) -> None:
    photo = box.photo("a.jpg", State.FAILED, Reason.UNREADABLE)
    box.look()
    assert box.row(photo) == (State.FAILED, Reason.UNREADABLE, 3)


def test_a_file_that_was_skipped_unopened_and_is_gone_is_not_counted_any_more(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "UNOPENED_AT_ONCE", 2)
    names = ("a.mov", "b.mov", "c.mov", "d.mov")
    photos = {name: box.photo(name, State.SKIPPED, Reason.NOT_A_PHOTO) for name in names}
    link = box.photo("link.jpg", State.SKIPPED, Reason.NOT_A_REGULAR_FILE)
    (box.root / "link.jpg").unlink()
    (box.root / "link.jpg").symlink_to("elsewhere")
    raw = box.photo("pair.nef", State.SKIPPED, Reason.RAW_PAIR)
    for name in ("a.mov", "c.mov", "d.mov", "pair.nef"):
        (box.root / name).unlink()
    box.look(cleanly=False)
    assert Intake(box.ledger).get(photos["a.mov"]) is not None
    for _ in range(3):  # some behind each walk
        box.look()
    left = {row["id"] for row in box.ledger.read("SELECT id FROM photos")}
    assert left == {photos["b.mov"], link, raw}
