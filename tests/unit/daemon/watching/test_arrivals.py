"""Files of one inbox from a walk to their rows: real files, a real ledger and I/O thread, a clock turned by hand."""

from __future__ import annotations

import errno
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.config.settings import Inbox
from cutoutd.daemon.files.iothread import Done, IoThread
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.retention import History
from cutoutd.daemon.watching.arrivals import Arrivals, FileNews
from cutoutd.daemon.watching.filters import Rules
from cutoutd.daemon.watching.scan import walk
from cutoutd.daemon.watching.settle import LIMIT
from cutoutd.daemon.watching.watcher import Hint


class Unheard(FileNews):
    """Nobody listens to what becomes of files."""

    def file_complete(self, photo: int) -> None: ...

    def file_gone(self, photo: int) -> None: ...

    def photo_stirs(self) -> None: ...

    def left_alone(self, suffix: str) -> None: ...


class Box:
    """An inbox and the part of a daemon that settles its files."""

    def __init__(self, root: Path, ledger: Ledger, limit: int = LIMIT, **table: Any) -> None:
        self.root = root / "in"
        self.root.mkdir()
        self.ledger = ledger
        self.now = 1000.0
        self.doubts: list[float] = []
        self.fs = FaultyFileSystem()
        self.posted: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.io = IoThread("inbox", self.posted.put)
        settings = Inbox(path=self.root, outbox=root / "out", **table)
        self.rules = Rules(include=settings.include, exclude=settings.exclude)
        self.arrivals = Arrivals(
            settings,
            self.rules,
            Intake(ledger),
            self.io,
            Unheard(),
            doubt=lambda: self.doubts.append(self.now),
            clock=lambda: self.now,
            fs=self.fs,
            limit=limit,
        )

    def put(self, *names: str) -> None:
        for name in names:
            (self.root / name).write_bytes(b"data of " + name.encode())

    def scan(self, *, old: bool = False) -> None:
        """A walk is taken in; `old`: every file has lain there for long."""
        found = walk(self.root, self.rules, recursive=True)
        self.arrivals.take([(replace(one, ctime_ns=0) if old else one, None) for one in found])

    def tick(self) -> None:
        """What is due now, until the I/O thread has answered."""
        self.arrivals.tick(self.now)
        answered: list[bool] = []
        self.io.call(lambda: True, lambda value, _error: answered.append(value))
        while not answered:
            done = self.posted.get(timeout=30)
            done.then(done.value, done.error)

    def rest(self, seconds: float = 30.0) -> None:
        """Time passes, and everything that falls due meanwhile is done."""
        until = self.now + seconds
        while (due := self.arrivals.next_due()) <= until:
            self.now = max(self.now, due)
            self.tick()
        self.now = until

    def rounds(self) -> int:
        """Scans come as often as they are asked for, until nothing is in doubt. Returns how many it took."""
        for number in range(1, 50):
            self.doubts.clear()
            self.scan()
            self.rest(3.0)
            if not self.doubts:
                self.rest()
                return number
        raise AssertionError(f"it starts over and over: {Counter(self.rows().values())}")

    def rows(self) -> dict[str, str]:
        """State, or reason where there is one, by name."""
        rows = self.ledger.read("SELECT path, state, reason FROM photos WHERE live = 1")
        return {row["path"].decode(): row["reason"] or row["state"] for row in rows}


@pytest.fixture
def box(tmp_path: Path, ledger: Ledger) -> Iterator[Callable[..., Box]]:
    made: list[Box] = []

    def make(limit: int = LIMIT, **table: Any) -> Box:
        made.append(Box(tmp_path, ledger, limit, **table))
        return made[-1]

    yield make
    for one in made:
        one.io.stop()
        one.io.join(10.0)


def pairs(count: int) -> list[str]:
    return [f"DSC_{number:04}.{kind}" for number in range(count) for kind in ("NEF", "JPG")]


def test_new_pairs_cost_one_listing_a_look_and_not_one_each(box: Callable[..., Box]) -> None:
    one = box()
    one.put(*pairs(40))
    one.scan()
    one.tick()
    assert one.fs.counts()["scandir"] == 1
    one.rest()
    assert Counter(one.rows().values()) == {"pending": 40, "raw-pair": 40}


def test_a_burst_of_pairs_costs_a_listing_now_and_then_and_not_one_each(box: Callable[..., Box]) -> None:
    one = box()
    one.put(*pairs(40))
    for name in pairs(40):
        one.arrivals.hint(Hint("in", name.encode(), "closed"))
        one.rest(0.05)
    one.rest()
    assert one.fs.counts()["scandir"] <= 4
    assert Counter(one.rows().values()) == {"pending": 40, "raw-pair": 40}


def test_a_jpeg_that_was_settled_before_its_folder_was_listed_anew_is_still_the_one(
    box: Callable[..., Box],
) -> None:
    one = box()
    one.put("a.NEF")
    one.arrivals.hint(Hint("in", b"a.NEF", "moved"))
    one.tick()
    one.put("a.jpg")
    one.scan(old=True)
    assert one.rows() == {"a.jpg": "pending"}
    one.rest()
    assert one.rows() == {"a.NEF": "raw-pair", "a.jpg": "pending"}


def test_pairs_that_are_known_are_not_looked_at_again(box: Callable[..., Box]) -> None:
    """Each was, and listed its folder, at every scan: 38 s for 2,000 pairs."""
    one = box()
    one.put(*pairs(40))
    one.scan()
    one.rest()
    one.fs.calls.clear()
    one.scan()
    assert one.arrivals.next_due() == float("inf")
    one.rest()
    assert one.fs.calls == []


def test_pairs_that_lie_there_for_long_need_no_look(box: Callable[..., Box]) -> None:
    one = box()
    one.put(*pairs(3))
    one.scan(old=True)
    assert Counter(one.rows().values()) == {"pending": 3, "raw-pair": 3}
    assert one.fs.calls == []


def test_a_raw_that_failed_on_its_own_is_left_in_peace_until_its_jpeg_comes(box: Callable[..., Box]) -> None:
    one = box()
    one.put("a.NEF")
    one.scan()
    one.rest()
    one.ledger.write("UPDATE photos SET state = 'failed', reason = 'unsupported'")
    one.scan()
    assert one.arrivals.next_due() == float("inf")
    one.put("a.jpg")
    one.scan()
    one.rest()
    assert one.rows() == {"a.NEF": "raw-pair", "a.jpg": "pending"}


def test_a_raw_whose_jpeg_went_before_it_was_settled_runs_alone(box: Callable[..., Box]) -> None:
    one = box()
    one.put("a.NEF", "a.jpg", "b.NEF", "b.jpg")
    one.scan()
    (one.root / "a.jpg").unlink()
    one.rest()
    assert one.rows() == {"a.NEF": "pending", "b.NEF": "raw-pair", "b.jpg": "pending"}


def test_a_raw_that_changed_after_its_jpeg_went_runs_alone(box: Callable[..., Box]) -> None:
    one = box()
    one.put("a.NEF", "a.jpg")
    one.scan()
    one.rest()
    (one.root / "a.jpg").unlink()
    (one.root / "a.NEF").write_bytes(b"another shot under the same name")
    one.scan()
    one.rest()
    assert one.rows()["a.NEF"] == "pending"


def test_a_jpeg_that_comes_while_its_raw_waits_is_the_one_cut_out(box: Callable[..., Box]) -> None:
    one = box()
    one.put("a.NEF")
    one.scan()
    one.rest(5.0)
    one.put("a.jpg")
    one.arrivals.hint(Hint("in", b"a.jpg", "closed"))
    one.rest()
    assert one.rows() == {"a.NEF": "raw-pair", "a.jpg": "pending"}


def test_a_jpeg_that_the_inbox_excludes_stands_for_no_raw(box: Callable[..., Box]) -> None:
    """The RAW was skipped for a JPEG that nobody was to cut out: the shot was lost."""
    one = box(exclude=("*.jpg",))
    one.put("a.NEF", "a.jpg")
    one.scan()
    one.rest()
    assert one.rows() == {"a.NEF": "pending"}


def test_a_folder_that_cannot_be_listed_makes_no_raw_a_lone_one(box: Callable[..., Box]) -> None:
    """Its JPEG was cut out and it too."""
    one = box()
    one.put("a.NEF", "a.jpg")
    one.scan()
    one.fs.faults.append(Fault("scandir", errno.EIO))
    one.rest()
    assert one.rows() == {"a.jpg": "pending"}
    assert one.doubts
    one.scan()
    one.rest()
    assert one.rows() == {"a.NEF": "raw-pair", "a.jpg": "pending"}


def test_a_raw_taken_up_alone_and_written_again_is_finished_beside_its_late_jpeg(
    box: Callable[..., Box],
) -> None:
    """It stayed unsettled for ever: neither published nor skipped."""
    one = box()
    one.put("a.NEF")
    one.scan()
    one.rest()
    one.ledger.write("UPDATE photos SET settled = 0")
    one.put("a.jpg")
    one.scan()
    one.rest()
    assert [row["settled"] for row in one.ledger.read("SELECT settled FROM photos ORDER BY path")] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "ends"),
    [
        ([f"{number:03}.jpg" for number in range(50)], {"pending": 50}),
        (pairs(50), {"pending": 50, "raw-pair": 50}),
        ([f"{number:03}.NEF" for number in range(50)], {"pending": 50}),
    ],
    ids=["photos", "pairs", "raws"],
)
def test_more_new_files_than_settle_together_take_their_turns(
    names: list[str], ends: dict[str, int], box: Callable[..., Box]
) -> None:
    """Pairs took the same room at every scan: what lay behind them was never looked at."""
    one = box(limit=10)
    one.put(*names)
    assert 1 < one.rounds() <= 16
    assert Counter(one.rows().values()) == ends
    assert one.rounds() == 1
    assert one.arrivals.next_due() == float("inf")


def of_a_minute_ago(one: Box) -> None:
    """A walk is taken in; every file was written a minute ago."""
    found = walk(one.root, one.rules, recursive=True)
    one.arrivals.take([(replace(each, ctime_ns=time.time_ns() - 60 * 10**9), None) for each in found])


@pytest.mark.parametrize(("count", "doubts"), [(110, False), (111, True)])
def test_files_that_lay_still_have_their_look_in_turn_from_one_walk(
    count: int, doubts: bool, box: Callable[..., Box]
) -> None:
    """Each ten of them took another walk of all: a hundred thousand photos were known after four minutes."""
    one = box(limit=10)
    one.put(*(f"{number:03}.jpg" for number in range(count)))
    of_a_minute_ago(one)
    assert one.doubts == []
    one.rest(1.0)
    assert bool(one.doubts) == doubts
    assert Counter(one.rows().values()) == {"pending": 110}
    assert one.arrivals.next_due() == float("inf")


def test_what_is_written_or_goes_while_it_waits_for_its_look_is_not_taken_as_it_was(
    box: Callable[..., Box],
) -> None:
    one = box(limit=2)
    one.put("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    of_a_minute_ago(one)
    (one.root / "c.jpg").write_bytes(b"more of it")
    (one.root / "d.jpg").unlink()
    one.rest(0.5)
    assert set(one.rows()) == {"a.jpg", "b.jpg"}
    one.rest()
    assert set(one.rows()) == {"a.jpg", "b.jpg", "c.jpg"}
    assert one.ledger.read("SELECT size FROM photos WHERE path = ?", (b"c.jpg",))[0]["size"] == 10


def test_a_raw_that_waits_for_its_jpeg_takes_no_room(box: Callable[..., Box]) -> None:
    one = box(limit=10)
    one.put(*(f"{number}.NEF" for number in range(10)))
    one.scan()
    one.rest(5.0)
    one.put("a.jpg")
    one.scan()
    assert one.doubts == []
    one.rest()
    assert Counter(one.rows().values()) == {"pending": 11}


def test_raws_that_find_no_room_after_their_wait_are_not_dropped(box: Callable[..., Box]) -> None:
    """They were, until the next scan by the hour."""
    one = box(limit=3)
    one.put("a.NEF", "b.NEF")
    one.scan()
    one.rest(11.0)
    one.put("c.jpg", "d.jpg", "e.jpg")
    one.scan()
    assert one.doubts == []
    one.rest(1.9)
    assert one.doubts
    one.rounds()
    assert Counter(one.rows().values()) == {"pending": 5}


def _finished(one: Box, reason: str = "") -> None:
    one.scan()
    one.rest()
    one.ledger.write(
        "UPDATE photos SET state = ?, reason = ?, finished = 1", ("failed" if reason else "done", reason)
    )


def test_permissions_changed_on_everything_let_each_be_read_once_and_are_no_reason_to_settle_for_ever(
    box: Callable[..., Box],
) -> None:
    """A chmod changes the change time, and so does other content of equal size and time: the digest tells."""
    one = box(limit=10)
    one.put(*(f"{number}.NEF" for number in range(10)))
    _finished(one)
    for path in one.root.iterdir():
        path.chmod(0o600)
    one.scan()
    one.rest()
    one.scan()
    assert one.arrivals.next_due() == float("inf")
    assert Counter(one.rows().values()) == {"pending": 10}


def test_files_whose_rows_are_long_gone_take_no_room(box: Callable[..., Box]) -> None:
    one = box()
    one.put("a.NEF", "b.jpg")
    _finished(one)
    History(one.ledger).trim(-1.0)
    one.scan()
    assert one.arrivals.next_due() == float("inf")
    assert one.rows() == {}


def test_photos_that_failed_take_no_room_where_files_are_polled(box: Callable[..., Box]) -> None:
    one = box()
    one.arrivals.poll()
    one.put("a.jpg", "b.NEF")
    _finished(one, "unsupported")
    one.scan()
    assert one.arrivals.next_due() == float("inf")
    assert one.rows() == {"a.jpg": "unsupported", "b.NEF": "unsupported"}


@pytest.mark.parametrize("answer", [None, 7, [7], object(), [], ValueError("odd"), MemoryError()])
def test_an_answer_about_no_file_fails_its_batch_by_name_until_a_scan_meets_it_again(
    box: Callable[..., Box], monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    one = box()
    one.put("a.jpg", "b.jpg")
    one.scan()

    def odd(_work: object, then: Callable[[object, object], None]) -> None:
        error = answer if isinstance(answer, Exception) else None
        then(None if error is not None else answer, error)

    with monkeypatch.context() as patch:
        patch.setattr(one.io, "call", odd)
        one.now = one.arrivals.next_due()
        one.arrivals.tick(one.now)
    assert one.rows() == {"a.jpg": "unreadable", "b.jpg": "unreadable"}
    one.rounds()
    assert one.rows() == {"a.jpg": "pending", "b.jpg": "pending"}


def test_work_never_begins_with_what_a_look_saw_before_the_close(
    box: Callable[..., Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = box()
    path = one.root / "a.jpg"
    path.write_bytes(b"the first half")

    def halfway(name: bytes) -> os.stat_result:
        """What a look sees while the writer is at work, who is done before the look is."""
        monkeypatch.undo()
        seen = one.fs.lstat(name)
        path.write_bytes(b"the first half and the second")
        one.now += 0.01
        one.arrivals.hint(Hint(str(one.root), b"a.jpg", "closed"))
        one.now += 0.01
        return seen

    monkeypatch.setattr(one.fs, "lstat", halfway)
    one.arrivals.hint(Hint(str(one.root), b"a.jpg", "created"))
    one.tick()
    assert one.rows() == {}
    one.tick()
    (row,) = one.ledger.read("SELECT size, settled FROM photos")
    assert dict(row) == {"size": len(b"the first half and the second"), "settled": 0}
    one.rest(0.6)
    (row,) = one.ledger.read("SELECT size, settled FROM photos")
    assert row["settled"] == 1


def test_an_inbox_that_could_not_be_looked_at_is_scanned_soon(
    box: Callable[..., Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = box()
    one.put("a.jpg")
    one.scan()

    def fails(_work: object, then: Callable[[object, object], None]) -> None:
        then(None, OSError(errno.EIO, "disk"))

    with monkeypatch.context() as patch:
        patch.setattr(one.io, "call", fails)
        one.now = one.arrivals.next_due()
        one.arrivals.tick(one.now)
    assert one.rows() == {}
    assert one.doubts
    one.rounds()
    assert one.rows() == {"a.jpg": "pending"}


def test_a_name_under_which_a_photo_was_written_is_not_counted_once_it_is_renamed(
    box: Callable[..., Box],
) -> None:
    one = box()
    one.put("a.jpg.written", "film.mov")
    one.scan(old=True)
    one.rest()
    counted = "SELECT path FROM photos WHERE reason = 'not-a-photo' ORDER BY path"
    assert [row["path"] for row in one.ledger.read(counted)] == [b"a.jpg.written", b"film.mov"]
    (one.root / "a.jpg.written").rename(one.root / "a.jpg")
    one.arrivals.hint(Hint("in", b"a.jpg.written", "deleted"))
    one.arrivals.hint(Hint("in", b"a.jpg", "moved"))
    one.arrivals.hint(Hint("in", b"film.mov", "deleted"))  # and it was made anew at once
    one.rest()
    assert [row["path"] for row in one.ledger.read(counted)] == [b"film.mov"]
