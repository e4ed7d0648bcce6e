"""A process of this interpreter behind two pipes: what it is given, what it hears, and what it inherits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.conditions import wait_until

from cutoutd.daemon import piped

ECHO = """
import json, os, signal, sys
path, word, calls, answers = sys.argv[1:]
asked = os.read(int(calls), 100).decode()
blocked = sorted(int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
more = []
for number in range(3, 256):
    try:
        os.fstat(number)
    except OSError:
        continue
    more.append(number)
more = sorted(set(more) - {int(calls), int(answers)})
said = {"path": json.loads(path), "word": word, "asked": asked, "blocked": blocked, "more": more}
os.write(int(answers), json.dumps(said).encode())
"""


def test_it_is_given_its_words_and_inherits_two_pipes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    kept = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(kept, True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    one = piped.start("cutoutd test", ECHO, "a word", quiet=False)
    try:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        os.write(one.calls, b"a question")
        said = json.loads(os.read(one.answers, 100_000))
    finally:
        os.close(kept)
        one.process.kill()
        one.process.wait()
        one.close()
    assert said["word"] == "a word"
    assert said["asked"] == "a question"
    assert said["path"] == sys.path[1:], "the folder we stand in may not decide what is imported"
    assert set(said["blocked"]) >= {signal.SIGINT, signal.SIGTERM}
    assert said["more"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps no name that a process may change")
def test_it_is_found_by_its_name() -> None:
    """Whoever wonders what computes sees no bare interpreter, whichever of its names a list shows."""
    say = "import os, sys; os.write(int(sys.argv[-1]), b'up'); os.read(int(sys.argv[-2]), 1)"
    one = piped.start("cutoutd worker", say, quiet=True)
    try:
        assert os.read(one.answers, 2) == b"up"
        process = Path(f"/proc/{one.process.pid}")
        assert (process / "comm").read_text() == "cutoutd worker\n"
        assert b"cutoutd worker" in (process / "cmdline").read_bytes()
    finally:
        one.close()
        one.process.wait()


def test_its_pipe_ends_with_us() -> None:
    one = piped.start("cutoutd test", "import os, sys; os.read(int(sys.argv[-2]), 1)", quiet=True)
    one.close()
    wait_until(lambda: one.process.poll() is not None, "the end of a process that nobody speaks to")
    assert one.process.returncode == 0


def test_where_nothing_can_be_started_no_pipe_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_words: object, **_options: object) -> object:
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    listed = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")
    before = len(list(listed.iterdir()))
    with pytest.raises(OSError, match="no more processes"):
        piped.start("cutoutd test", "", quiet=True)
    assert len(list(listed.iterdir())) == before
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, ())
