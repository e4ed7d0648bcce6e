"""With `log.filenames = false` no log line, notification, status line or error holds a photo's name, whatever fails."""

from __future__ import annotations

import errno
import io
import itertools
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded
from tests.support.simulation import BROKEN, InlineIo, Simulation, simulated

from cutoutd.config.errors import Reason
from cutoutd.config.load import parse_settings
from cutoutd.config.reporting import Notify
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.live_status import LiveStatus
from cutoutd.daemon.workers import protocol
from cutoutd.service.listeners.desktop import DesktopListener
from cutoutd.service.listeners.everyone import listeners
from cutoutd.service.listeners.lines import LogListener
from cutoutd.service.listeners.terminal import TerminalListener
from cutoutd.service.text import status_line

FOLDER, STEM = "Dr. med. Huber", "Anna Meier passport"
PATH = f"{FOLDER}/{STEM}.jpg"
# Parts of them that would tell as well.
TELLING = ("Anna", "Meier", "passport", "Huber", "med.")
SILENT = {"log": {"filenames": False, "level": "debug"}}


class Everything(Listener):
    """All that the daemon says, by every way that it has to a person."""

    def __init__(self) -> None:
        self.notified = io.StringIO()
        self.drawn = io.StringIO()
        self.lines = io.StringIO()
        wanted = Notify(done=True, failed=True, at_most_every=1)
        wanted = Notify(done=True, failed=True, at_most_every=1)
        self.also: tuple[Listener, ...] = (
            LogListener(),
            DesktopListener(wanted, ("show",), self._show, itertools.count().__next__),
            TerminalListener(Console(file=self.drawn, width=300)),
            self,
        )

    def _show(self, command: Sequence[str]) -> Any:
        self.notified.write("\n".join(command))

        class Ended:
            def poll(self) -> int:
                return 0

        return Ended()

    def status(self, status: LiveStatus) -> None:
        self.lines.write(status_line(status))

    def said(self) -> str:
        return self.notified.getvalue() + self.drawn.getvalue() + self.lines.getvalue()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a daemon with these settings writes to its standard error."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    listeners(
        parse_settings(
            '[[inbox]]\npath = "/in"\noutbox = "/out"\n[log]\nfilenames = false\nlevel = "debug"\n'
        )
    )
    yield stream
    root.handlers = before


def one_of(root: Path, everything: Everything, **tables: Any) -> Simulation:
    after = {
        "action": "archive",
        "archive": root / "archive",
        "failed": root / "failed",
        "failed_after": 1,
        "rest": 1,
    }
    return Simulation(
        root,
        inbox_table={"manifest": True, "after": after},
        tables={**SILENT, **tables},
        also=everything.also,
    )


def assert_told_nothing(everything: Everything, logged: io.StringIO) -> None:
    for text in (everything.said(), logged.getvalue()):
        assert [word for word in TELLING if word in text] == [], text


NAMING_ERRORS: tuple[Callable[[str], BaseException], ...] = (
    lambda path: OSError(errno.EIO, os.strerror(errno.EIO), os.path.basename(path).encode()),
    lambda path: PermissionError(errno.EACCES, os.strerror(errno.EACCES), path),
    lambda path: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path, None, path.encode()),
    lambda path: UnsafePath("a link where a file should be", path.encode()),
    lambda path: ValueError(f"{os.path.basename(path)} is odd"),
    lambda path: KeyError(os.path.basename(path).encode()),
    lambda path: UnicodeDecodeError("utf-8", path.encode(), 0, 1, path),
)


@pytest.mark.parametrize("error", range(len(NAMING_ERRORS)))
@pytest.mark.parametrize(
    "first", [0, 5, 9, 15, *(pytest.param(n, marks=pytest.mark.thorough) for n in (3, 7, 12, 19))]
)
def test_whatever_call_to_a_folder_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO, first: int, error: int
) -> None:
    """From the n-th call on three calls in a row fail with an error that names the photo."""
    number = itertools.count()
    raised: list[BaseException] = []

    with simulated(monkeypatch):

        def call(self: InlineIo, work: Callable[[], Any], then: Any) -> None:
            fails = first <= next(number) < first + 3

            def done(value: Any, own: BaseException | None) -> None:
                if fails:
                    raised.append(NAMING_ERRORS[error](f"{tmp_path}/inbox/{PATH}"))
                    value, own = None, raised[-1]
                then(value, own)

            self.calls.append((work, done))

        monkeypatch.setattr(InlineIo, "call", call)
        everything = Everything()
        one = one_of(tmp_path, everything)
        one.put(PATH, b"photo")
        one.put(f"{FOLDER}/{STEM} (2).jpg", BROKEN)
        one.boot().run(120)
        one.pass_time(700)
        one.finish()
        one.stop()
    assert raised
    assert_told_nothing(everything, logged)
    assert logged.getvalue()


def test_whatever_becomes_of_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    """Refused by a worker, crashed on, without a place in the outbox, without an archive, with a broken manifest."""
    everything = Everything()
    with simulated(monkeypatch):
        one = one_of(tmp_path, everything, limits={"attempts_after_death": 1})
        one.boot()
        (tmp_path / "archive").write_text("no folder")
        one.put(f"{FOLDER}/{STEM} 1.jpg", b"one")
        one.run(60)
        one.workers.kill_next = True
        one.put(f"{FOLDER}/{STEM} 2.jpg", b"two")
        one.run(60)
        one.workers.refuse = protocol.Refused(Reason.UNREADABLE, f"{STEM}.jpg is no photo")
        one.put(f"{FOLDER}/{STEM} 3.jpg", b"three")
        one.run(60)
        one.workers.refuse = None
        shutil.rmtree(one.outbox / FOLDER)
        (one.outbox / FOLDER).write_text("no folder")
        one.put(f"{FOLDER}/{STEM} 4.jpg", b"four")
        one.run(400)
        (one.outbox / FOLDER).unlink()
        (one.outbox / "manifest.jsonl").unlink(missing_ok=True)
        (one.outbox / "manifest.jsonl").mkdir()
        one.put(f"{FOLDER}/{STEM} 5.jpg", b"five")
        one.run(60)
        (one.inbox / FOLDER).rename(tmp_path / "away")
        (one.inbox / FOLDER).symlink_to(tmp_path / "away")
        one.run(60)
        monkeypatch.setattr(type(one.parts.dispatcher), "_start", _mistaken)
        (one.inbox / FOLDER).unlink()
        one.put(f"{FOLDER}/{STEM} 6.jpg", b"six")
        one.run(60)
        one.parts.ledger.write("UPDATE photos SET state = 'pending'")
        one.run(20)
        one.die()
    assert "failed" in everything.said()
    assert "_mistaken" in logged.getvalue()
    assert_told_nothing(everything, logged)


def _mistaken(_self: object, row: Any, _allowance: float) -> None:
    raise RuntimeError(f"nobody thought of {os.fsdecode(row.path)}")


HOOK = """
import json, sys
sys.exit("no such customer: " + json.load(sys.stdin)["original"])
"""


@pytest.mark.slow
def test_a_real_daemon_and_its_hooks_say_no_name(tmp_path: Path) -> None:
    """From its first line to its exit: failures, a dead worker, a damaged ledger, a failing hook, a broken config."""
    (tmp_path / "hook.py").write_text(HOOK)
    hook = f'[[hook]]\non = ["done", "failed"]\ncommand = ["{sys.executable}", "{tmp_path}/hook.py"]\nattempts = 1\n'
    one = Daemon(
        tmp_path / "daemon",
        config=f'[inbox.after]\naction = "archive"\narchive = "{tmp_path}/archive"\n',
        tables=f'[log]\nfilenames = false\nlevel = "debug"\n[limits]\nattempts_after_death = 1\n{hook}',
        environment={"PYTHONWARNINGS": "always"},
    ).start()
    try:
        hooks = ("hooks", "--once", "-c", str(one.write_config()))
        assert one.cli(*hooks).returncode == 0  # a hook begins with what happens from now on
        (one.inbox / FOLDER).mkdir()
        photo = encoded("chelsea", size=(160, 120))
        (one.inbox / PATH).write_bytes(photo)
        (one.inbox / f"{STEM}.png").write_bytes(b"\xff\xd8\xff no photo")
        (one.inbox / f"{STEM}.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(40))
        (one.inbox / FOLDER / f"{STEM} 2.jpg").symlink_to(tmp_path)
        one.wait(lambda: len(one.rows("state = 'failed'")) >= 1, "failures", 60)
        one.wait((tmp_path / "archive" / PATH).exists, "the archive", 60)
        said = one.cli(*hooks)
        assert "exit code 1" in said.stderr
        assert [word for word in TELLING if word in said.stdout + said.stderr] == []
        ledger = one.state / "ledger.sqlite"
        one.send(signal.SIGSTOP)
        data = bytearray(ledger.read_bytes())
        data[100:116] = b"\xff" * 16
        ledger.write_bytes(data)
        one.send(signal.SIGCONT)
        (one.inbox / f"{STEM} again.jpg").write_bytes(photo + b"x")
        one.wait(lambda: f"{STEM} again.png" in one.outputs(), "a cutout with another ledger", 90)
        assert one.stop() == 0
    finally:
        one.kill()
    text = one.log.read_text(errors="replace")
    assert "unreadable" in text
    assert [word for word in TELLING if word in text] == [], text
    # `failures` is for the owner, who asks for names.
    assert any(STEM in json.dumps(row) for row in json.loads(one.cli("failures", "--json").stdout))
