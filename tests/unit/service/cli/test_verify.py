"""`cutoutd verify` as people see it; what it tries is shown elsewhere, with a real daemon."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from cutoutd.config.errors import UsageError
from cutoutd.config.load import parse_settings
from cutoutd.service.cli.verify import _folder, show  # pyright: ignore[reportPrivateUsage]
from cutoutd.service.verify.judge import Check, Verdict

CONFIG = '[[inbox]]\npath = "/in"\noutbox = "/out"\n'
KEPT, SOFT = (
    Check("network", "a socket", "refused", Verdict.HOLDS),
    Check("files", "Landlock", "no", Verdict.NOT_ENFORCED, required=False),
)
BROKEN = Check("network", "a ring", "allowed", Verdict.BROKEN)


def shown(*checks: Check, extra: str = "") -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    show(list(checks), parse_settings(CONFIG + extra), 12.3, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_all_promises_kept() -> None:
    assert "All 1 promises hold; shown in 12 s." in shown(KEPT)


def test_what_a_platform_lacks_is_said_beside_them() -> None:
    text = shown(KEPT, SOFT)
    assert "not enforced here: no" in text
    assert "All 2 promises hold (1 is not enforced on this platform)" in text


def test_a_broken_one_is_counted_and_its_likely_cause_named() -> None:
    assert "1 of 2 promises do not hold." in shown(KEPT, BROKEN)
    assert "engine.sandbox is off" not in shown(BROKEN)
    assert "engine.sandbox is off" in shown(BROKEN, extra="[engine]\nsandbox = false\n")


def test_a_folder_to_keep_must_be_new_and_is_private(tmp_path: Path) -> None:
    with ExitStack() as stack:
        kept = _folder(tmp_path / "new", stack)
        assert kept.stat().st_mode & 0o777 == 0o700
        with pytest.raises(UsageError, match="cannot be made"):
            _folder(tmp_path / "new", stack)
        passing = _folder(None, stack)
        assert passing.is_dir()
    assert kept.is_dir()
    assert not passing.exists()
