"""An original that cannot be moved now: who hears of it, when it is looked at again, and where it lies meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.simulation import Heard
from tests.unit.daemon.ledger.rows_in_hand import BOX, a_delivery, deliver_all, running_photo, the_row

from cutoutd.daemon.backoff import NEVER
from cutoutd.daemon.files.copying import StillWritten
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.iothread import IoThread
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.originals import setbacks as setbacks_module
from cutoutd.daemon.originals.move import Original, Step
from cutoutd.daemon.originals.retry_queue import RetryQueue
from cutoutd.daemon.originals.setbacks import Setbacks, TooLargeToCopy

NOW = 100.0


@pytest.fixture
def transitions(ledger: Ledger) -> Transitions:
    return Transitions(ledger, {})


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watched() -> set[bytes]:
    return {BOX}


@pytest.fixture
def setbacks(transitions: Transitions, heard: Heard, watched: set[bytes]) -> Setbacks:
    return Setbacks(transitions, heard, lambda: NOW, lambda inbox: inbox in watched)


@pytest.fixture
def row(transitions: Transitions) -> PhotoRow:
    """A photo whose original lies under our own name."""
    one = deliver_all(transitions, running_photo(transitions), a_delivery())
    transitions.aftercare(one.id, Aftercare.HIDDEN, hidden=b"/inbox/.h", to=b"/archive/a.jpg")
    return the_row(transitions, one.id)


def test_each_cause_is_told_once_and_the_photo_says_it(
    setbacks: Setbacks, heard: Heard, row: PhotoRow, transitions: Transitions
) -> None:
    retries = RetryQueue()
    for _ in range(2):
        setbacks.later(row, OSError(errno.ENOSPC, "No space left on device"), retries)
    assert len(heard.warnings) == 1
    assert "No space left on device" in the_row(transitions, row.id).detail
    assert row.id in retries.failed
    assert retries.next_due() > NOW
    setbacks.later(row, KeyError("ours"), retries)
    assert len(heard.warnings) == 2


def test_one_that_is_too_large_is_at_fault_itself_and_the_archive_is_not(
    setbacks: Setbacks, row: PhotoRow
) -> None:
    retries = RetryQueue(failed={row.id + 1: None})
    setbacks.later(row, TooLargeToCopy(errno.EFBIG, "it is too large"), retries)
    assert not retries.stuck
    setbacks.later(row, OSError(errno.ENOSPC, "full"), retries)
    assert retries.stuck


def test_what_left_the_config_is_not_told_of(
    setbacks: Setbacks, heard: Heard, row: PhotoRow, watched: set[bytes]
) -> None:
    watched.clear()
    retries = RetryQueue()
    setbacks.later(row, OSError(errno.ENOSPC, "full"), retries)
    assert (heard.warnings, retries.failed) == ([], {})


def test_what_is_written_is_owed_and_what_was_replaced_is_not(
    setbacks: Setbacks, row: PhotoRow, transitions: Transitions
) -> None:
    retries = RetryQueue()
    setbacks.not_now(row, Step.WRITTEN, 30.0, retries, hidden=True)
    assert the_row(transitions, row.id).aftercare == Aftercare.OWED
    assert NOW < retries.next_due() <= NOW + 30
    setbacks.not_now(row, Step.BEHIND_LINK, 0.0, retries, hidden=True)
    assert the_row(transitions, row.id).aftercare == Aftercare.OWED
    setbacks.not_now(row, Step.REPLACED, 0.0, retries, hidden=True)
    assert the_row(transitions, row.id).aftercare == Aftercare.NONE
    assert retries.next_due() == NEVER


def test_one_that_was_misread_has_the_change_time_that_we_gave_it(
    setbacks: Setbacks, row: PhotoRow, transitions: Transitions
) -> None:
    setbacks.misread(row, 77, RetryQueue())
    now = the_row(transitions, row.id)
    assert (now.aftercare, now.ctime_ns) == (Aftercare.NONE, 77)


@pytest.mark.parametrize("written", [False, True])
def test_one_that_waits_has_its_name_meanwhile(
    setbacks: Setbacks,
    row: PhotoRow,
    transitions: Transitions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    written: bool,
) -> None:
    async def at_once(_io: object, work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(setbacks_module, "run", at_once)
    (tmp_path / ".h").write_bytes(b"frame")
    path, hidden = os.fsencode(tmp_path / "a.jpg"), os.fsencode(tmp_path / ".h")
    original = Original(path, hidden, b"a.jpg", row.facts)
    error = StillWritten(errno.EBUSY, "written") if written else OSError(errno.ENOSPC, "full")
    retries, io = RetryQueue(), IoThread("unasked", lambda _done: None)
    fs = RealFileSystem(os.fsencode(tmp_path))
    asyncio.run(setbacks.put_off(row, original, io, fs, error, retries))
    io.stop()
    assert (os.path.exists(path), os.path.exists(hidden)) == (True, False)
    now = the_row(transitions, row.id)
    assert (now.aftercare, now.ctime_ns) == (Aftercare.OWED, os.stat(path).st_ctime_ns)
    assert (row.id in retries.resting, row.id in retries.failed) == (written, not written)
