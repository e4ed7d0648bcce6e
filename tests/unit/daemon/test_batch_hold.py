"""What killed batches leave in an output folder, and what is left alone there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon import batch_hold
from cutoutd.daemon.batch_hold import held_folder
from cutoutd.daemon.delivery.leftovers import FOREIGN_TEMPORARY_AGE_S
from cutoutd.daemon.files.names import Temporary

DEAD, DAEMON = "dead0000", "daeb0000"


def _leave(path: Path, content: bytes = b"half a cutout") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _named(folder: Path, *parts: object) -> Path:
    return folder / os.fsdecode(Temporary(*parts).name())  # type: ignore[arg-type]


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _dead_batch(folder: Path) -> Path:
    """The mark of one, with what it leaves."""
    _leave(_named(folder, DEAD, 1, 0, 0))
    _leave(_named(folder / "day" / "two", DEAD, 12, 1, 3))
    _leave(
        folder / "day" / "b.png",
        b"The cutout of cutoutd's photo " + DEAD.encode() + b"-3 is about to lie here.\n",
    )
    return _leave(_named(folder, DEAD, 0, 0, 0), b"")


def test_it_holds_an_id_and_its_mark_goes_with_it(tmp_path: Path) -> None:
    with held_folder(tmp_path) as instance:
        assert _names(tmp_path) == {_named(tmp_path, instance, 0, 0, 0).name}
        with held_folder(tmp_path) as other:
            assert other != instance
            assert len(_names(tmp_path)) == 2
    assert _names(tmp_path) == set()


def test_what_a_dead_one_left_goes_and_nothing_else(tmp_path: Path) -> None:
    _dead_batch(tmp_path)
    kept = [
        _leave(_named(tmp_path, DAEMON, 1, 0, 0)),  # a daemon's, which has no mark
        _leave(_named(tmp_path, DAEMON, 0, os.getpid(), 1), b""),  # its probe
        _leave(tmp_path / "a.png", b"The cutout of cutoutd's photo abc is mine.\n"),
        _leave(tmp_path / f".cutoutd-{DEAD}-1-0-0.part.txt"),
        _leave(tmp_path / "day" / "c.png", b"The cutout of cutoutd's photo cc-3 is about to lie here.\n"),
    ]
    with held_folder(tmp_path) as alive:
        working = _leave(_named(tmp_path, alive, 1, 0, 0))
        with held_folder(tmp_path):
            pass
        assert working.exists()
        working.unlink()
    assert _names(tmp_path) == {str(path.relative_to(tmp_path)) for path in kept}


@pytest.mark.parametrize("kind", ["a photo's", "link", "pipe", "folder"])
def test_what_has_a_marks_name_and_is_none_says_nothing_of_anyone(tmp_path: Path, kind: str) -> None:
    """Earlier versions gave the first photo's temporary that name."""
    mark = _dead_batch(tmp_path)
    mark.unlink()
    match kind:
        case "link":
            mark.symlink_to(_leave(tmp_path / "elsewhere", b""))
        case "pipe":
            os.mkfifo(mark)
        case "folder":
            mark.mkdir()
        case _:
            _leave(mark)
    before = _names(tmp_path)
    with held_folder(tmp_path):
        pass
    assert _names(tmp_path) == before


def test_on_a_share_only_what_is_old_counts_as_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks may be unknown to the machine that looks."""
    monkeypatch.setattr(batch_hold, "needs_polling", bool)
    mark = _dead_batch(tmp_path)
    before = _names(tmp_path)
    with held_folder(tmp_path):
        pass
    assert _names(tmp_path) == before
    old = time.time() - FOREIGN_TEMPORARY_AGE_S - 60
    os.utime(mark, (old, old))
    with held_folder(tmp_path):
        pass
    assert _names(tmp_path) == set()


def test_a_folder_that_takes_no_mark_holds_up_nothing(tmp_path: Path) -> None:
    with held_folder(tmp_path / "missing") as instance:
        assert instance


def test_one_that_is_killed_is_known_to_be_dead_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time\nfrom cutoutd.daemon.batch_hold import held_folder\n"
        "with held_folder(pathlib.Path(sys.argv[1])) as one:\n"
        "    (pathlib.Path(sys.argv[1]) / f'.cutoutd-{one}-1-0-0.part').write_bytes(b'x')\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        try:
            wait_until(lambda: len(_names(tmp_path)) == 2, "its mark and its temporary", 30)
            with held_folder(tmp_path):
                assert len(_names(tmp_path)) == 3
        finally:
            process.send_signal(signal.SIGKILL)
    assert len(_names(tmp_path)) == 2
    with held_folder(tmp_path):
        pass
    assert _names(tmp_path) == set()
