"""What people read of the running daemon in a log; and that nothing which draws is loaded for it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.support.live_samples import DONE, FAILED, STATUS

from cutoutd.daemon.live_status import (
    SandboxStatus,
)
from cutoutd.service.listeners.lines import LogListener, closing_line, outcome_text, ready_lines


def test_at_the_start_everything_needed_is_said_and_ready_comes_last() -> None:
    lines = ready_lines(STATUS)
    text = "\n".join(lines)
    assert lines[-1] == "ready"
    assert "Drop photos into   /in" in text
    assert "Cutouts appear in  /out" in text
    assert "waiting: the folder is missing" in text
    assert "cutout-m on cpu, 1 worker\n" in text
    assert "network: refused; files: confined" in text
    assert "Privacy" not in "\n".join(ready_lines(replace(STATUS, sandbox=SandboxStatus())))


def test_a_result_is_one_line() -> None:
    assert outcome_text(FAILED) == "b.jpg: unreadable. It is cut off."
    assert outcome_text(DONE) == "a.jpg → a.png, a-white.jpg in 1.2 s"


def test_the_log_has_a_line_per_event_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    listener = LogListener()
    with caplog.at_level(logging.INFO, logger="cutoutd"):
        listener.starting("Loading the model")
        listener.photo_done(DONE)
        listener.photo_failed(FAILED)
        listener.photo_retry(FAILED)
        listener.notice("Something")
        listener.warning("Careful")
        listener.stopping()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "INFO", "ERROR", "WARNING", "INFO", "WARNING", "INFO"]
    assert "a.jpg" in caplog.messages[1]
    assert "tried again" in caplog.messages[3]


def test_what_came_of_a_session_is_one_line() -> None:
    assert (
        closing_line(38, 4, 2)
        == "38 done, 4 failed (`cutoutd failures` says why), 2 left: done at the next start"
    )
    assert closing_line(1, 0, 0) == "1 done, 0 failed"


@pytest.mark.slow
def test_a_service_loads_nothing_that_draws() -> None:
    """A tenth of a second of each start, and what it would hold for good."""
    code = (
        "import sys; from cutoutd.service.cli import run; from cutoutd.config.settings import Settings; "
        "run.listeners(Settings(inbox=[{'path': '/in', 'outbox': '/out'}])); sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, stdout=subprocess.DEVNULL)
