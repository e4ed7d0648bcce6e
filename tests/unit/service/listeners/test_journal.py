"""Priorities for the journal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cutoutd.service.listeners.journal import JournalFormatter, goes_to_journal


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_every_line_has_its_priority(level: int, priority: int) -> None:
    record = logging.LogRecord("x", level, "f", 1, "one %s\ntwo", ("a",), None)
    assert JournalFormatter().format(record) == f"<{priority}>one a\n<{priority}>two"


def test_only_systemds_own_stream_counts(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        found = (tmp_path / "log").stat()
        assert goes_to_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not goes_to_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not goes_to_journal(stream, {})
