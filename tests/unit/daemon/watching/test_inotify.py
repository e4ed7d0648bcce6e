from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from watchdog.events import FileSystemEventHandler

from cutoutd.daemon.watching.inotify import Complaint, InotifyObserver


def test_the_end_of_a_watch_is_no_error_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    complaints: list[Complaint] = []
    observer = InotifyObserver(complaints.append)
    observer.schedule(FileSystemEventHandler(), str(tmp_path))
    observer.start()
    (emitter,) = observer.emitters
    observer.stop()
    observer.join()
    emitter.queue_events(1.0)  # what its thread does when the stop came after its look at the stop flag
    assert [record.message for record in caplog.records] == []
    assert complaints == []


def test_an_event_that_is_read_while_the_watch_ends_is_no_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other half of the same race: the event is read already, the watch is taken away before it is handed on."""
    observer = InotifyObserver(lambda _complaint: None)
    observer.schedule(FileSystemEventHandler(), str(tmp_path))
    observer.start()
    (emitter,) = observer.emitters
    group = vars(emitter)["_inotify"]
    read, reading, stopped = group.read_event, threading.Event(), threading.Event()

    def late() -> object:
        event = read()
        if event is not None:
            reading.set()
            assert stopped.wait(10)
        return event

    monkeypatch.setattr(group, "read_event", late)
    (tmp_path / "first.jpg").touch()  # wakes the read that was under way before the change above
    for number in range(20):
        (tmp_path / f"{number}.jpg").touch()
    assert reading.wait(10)
    stopper = threading.Thread(target=observer.stop)
    stopper.start()
    while vars(emitter)["_inotify"] is not None:
        pass
    stopped.set()
    stopper.join()
    observer.join()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
