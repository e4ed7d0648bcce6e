"""The self-test's run: what its daemon says is heard line by line, and every way to fail is a sentence."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutoutd.config.errors import VerifyError
from cutoutd.config.load import load_settings, parse_settings
from cutoutd.service.verify import run
from cutoutd.service.verify.canary import plant
from cutoutd.service.verify.run import Evidence, search

Says = Callable[[str], "run._Events"]


@pytest.fixture
def says(tmp_path: Path) -> Iterator[Says]:
    """Starts a process that says what a daemon under test would say."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> run._Events:
        program = f"import sys, time\nsay = lambda t: (sys.stdout.write(t), sys.stdout.flush())\n{code}"
        log = tmp_path / "log"
        with log.open("wb") as stream:
            started.append(
                subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stream)
            )
        return run._Events(started[-1], log)

    yield start
    for one in started:
        one.kill()
        one.wait()
        if one.stdout is not None:
            one.stdout.close()


WAIT = "time.sleep(60)"


def test_events_come_whole_however_they_are_written(says: Says) -> None:
    events = says(f'say(\'{{"event": "sta\'); say(\'rted"}}\\n{{"event": "ready", "n": 2}}\\n\'); {WAIT}')
    assert events.wait("started", 30.0)["event"] == "started"
    assert events.wait("ready", 30.0)["n"] == 2
    assert events.take(0.0) is None


def test_what_is_looked_at_meanwhile_is_looked_at(says: Says) -> None:
    looks: list[int] = []
    says(f'say(\'{{"event": "done"}}\\n\'); {WAIT}').wait("done", 30.0, lambda: looks.append(1))
    assert looks


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit('no disk')", "ended by itself: no disk"),
        ("sys.exit(1)", "it said nothing"),
        (f'say(\'{{"event": "failed", "reason": "crashed", "detail": "d"}}\\n\'); {WAIT}', "crashed: d"),
    ],
    ids=["ends", "ends silently", "fails"],
)
def test_a_daemon_that_does_not_get_there_is_a_sentence(says: Says, code: str, words: str) -> None:
    with pytest.raises(VerifyError, match=words) as caught:
        says(code).wait("ready", 30.0)
    assert "cutoutd doctor" in caught.value.fix


@pytest.mark.slow
def test_a_daemon_that_takes_too_long_is_a_sentence(says: Says) -> None:
    with pytest.raises(VerifyError, match="not ready within 0 s"):
        says(WAIT).wait("ready", 0.2)


def test_secrets_are_found_in_what_was_written_and_not_in_the_photo_itself(tmp_path: Path) -> None:
    canary = plant("0123456789abcdef")
    evidence = Evidence(tmp_path, canary)
    for folder in ("inbox", "outbox", "state/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "inbox" / "canary.jpg").write_bytes(canary.data)
    (tmp_path / "outbox" / "fine.png").write_bytes(b"a cutout")
    search(evidence)
    assert evidence.leaks == set()
    assert evidence.files == 1
    (tmp_path / "state/deep/ledger").write_bytes(b"... SN-0123456789abcdef-body ...")
    search(evidence)
    assert evidence.leaks == {("serial number", "state/deep/ledger")}
    assert evidence.files == 2


def test_the_test_daemon_keeps_the_users_engine_and_nothing_of_his_folders(tmp_path: Path) -> None:
    settings = parse_settings(
        '[[inbox]]\npath = "/photos/in"\noutbox = "/photos/out"\n[inbox.matte]\nengine = "plain"\n'
        '[metrics]\ntextfile = "/var/metrics/cutoutd.prom"\n[limits]\nmax_megapixels = 77\n'
    )
    path = run._house(settings, tmp_path)
    assert "/photos" not in path.read_text()
    assert "/var/metrics" not in path.read_text()
    mine = load_settings(path).settings
    assert (mine.inbox[0].matte.engine, mine.limits.max_megapixels, mine.engine.workers) == ("plain", 77, 1)
    assert mine.inbox[0].path.is_relative_to(tmp_path)


def test_nothing_of_the_users_environment_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "secret")
    monkeypatch.setenv("CUTOUTD_STATE_DIR", "/home/ann/state")
    monkeypatch.setenv("HOME", "/home/ann")
    given = run._environment(tmp_path)
    assert "AWS_SECRET" not in given
    assert [value for name, value in given.items() if "/home/ann" in value and name != "PATH"] == []
    assert given["CUTOUTD_STATE_DIR"] == str(tmp_path / "state")
