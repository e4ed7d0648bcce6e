"""What stays behind: no name where names were not to be kept, and no file outside our own folders."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

Make = Callable[..., Daemon]
# Words that nothing but the photos' names brings into a file; folders mirror into names too.
WORDS = ("quincezebra", "marmaladewalrus")
SECRET_PLACES = {
    "a photo": "quincezebra.jpg",
    "one in a folder": "marmaladewalrus/quincezebra-2.jpg",
    "one in capitals": "QUINCEZEBRA-3.JPG",
}


def names_in(folder: Path) -> set[str]:
    """Files below a folder that hold one of the words in any case, as bytes or UTF-16."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes().lower() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if any(word.encode(code) in data for word in WORDS for code in ("utf-8", "utf-16-le")):
            found.add(path.name)
    return found


def drop_everything(daemon: Daemon) -> None:
    """Photos that become cutouts, one that fails, one that is done again, one that is no photo."""
    (daemon.inbox / "marmaladewalrus").mkdir()
    for number, name in enumerate(SECRET_PLACES.values()):
        (daemon.inbox / name).write_bytes(encoded(size=(256 + number, 256)))
    # Done, not only there: a photo that changes while it is in hand is simply done once.
    daemon.wait(lambda: len(daemon.rows("state = 'done'")) == len(SECRET_PLACES), "all cutouts", 90)
    (daemon.inbox / "quincezebra.jpg").write_bytes(encoded("chelsea", size=(300, 200)))
    (daemon.inbox / "quincezebra.pdf").write_bytes(b"%PDF-1.4")
    daemon.wait(lambda: daemon.rows("previous IS NOT NULL AND state = 'done'"), "the changed photo", 60)
    daemon.wait(lambda: daemon.rows("state = 'skipped'"), "the PDF", 60)
    daemon.wait(daemon.settled, "nothing owed")
    cutouts = [name for name in daemon.outputs() if name.endswith(".png")]
    assert len(cutouts) == len(SECRET_PLACES), "the changed photo replaces its own cutout"


def test_names_are_not_kept_when_they_are_not_to_be(daemon: Make) -> None:
    running = daemon(
        config="manifest = true\n",
        tables="[history]\nfilenames = false\n[log]\nfilenames = false\nlevel = 'debug'\n",
    ).start()
    drop_everything(running)
    running.wait(lambda: not names_in(running.state), "no name in the state folder while it runs", 30)
    assert running.stop() == 0
    assert names_in(running.state) == set()
    assert [word for word in WORDS if running.said(word)] == []
    # And still nothing is done twice, nor named anew.
    before = running.outputs()
    running.start()
    running.wait(lambda: running.live()["state"] == "idle", "to be idle")
    running.cli("rescan")
    running.wait(lambda: running.settled() and running.live()["state"] == "idle", "the rescan")
    assert running.stop() == 0
    assert running.outputs() == before
    assert names_in(running.state) == set()


def test_forget_leaves_no_name_behind(daemon: Make) -> None:
    running = daemon().start()
    drop_everything(running)
    assert names_in(running.state), "by default names are kept, else this test shows nothing"
    answer = running.cli("forget")
    assert answer.returncode == 0, answer.stderr
    running.wait(lambda: not names_in(running.state), "no name in the state folder while it runs", 30)
    assert running.stop() == 0
    assert names_in(running.state) == set()
    assert "forgotten" in running.cli("forget", "--all").stdout
    assert names_in(running.state) == set()
    before = running.outputs()
    running.start()
    running.wait(lambda: running.live()["state"] == "idle", "to be idle")
    assert running.outputs() == before
    assert running.stop() == 0


def test_a_failed_photo_is_named_only_where_names_are_kept(daemon: Make) -> None:
    running = daemon(tables="[log]\nfilenames = false\n").start()
    (running.inbox / "quincezebra.jpg").write_bytes(b"\xff\xd8\xff no photo at all")
    running.wait(lambda: running.rows("state = 'failed'"), "the failure", 60)
    assert running.stop() == 0
    assert not running.said("quincezebra")
    assert running.said("unreadable")
    assert "quincezebra.jpg" in running.cli("failures", "--json").stdout


WRITING_CALLS = (
    "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
)


def _written(line: str) -> Iterator[str]:
    """The paths that one line of a trace made, changed or opened for writing."""
    call = re.match(r"\d+ +(\w+)\(", line)
    if call is None or re.search(r"= -1 E|<unfinished|resumed>", line):
        return
    flags = re.sub(r'"[^"]*"|<[^>]*>', "", line)
    if call[1].startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", flags):
        return
    for folder, path in re.findall(r'(?:<([^>]*)>, )?"([^"]*)"', line):
        yield os.path.join(folder, path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_is_written_outside_our_own_folders(daemon: Make, tmp_path: Path) -> None:
    if subprocess.run(["strace", "-f", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    trace = tmp_path / "trace"
    wrapper = ("strace", "-D", "-f", "-qq", "-s", "4096", "-y", "-e", WRITING_CALLS, "-o", str(trace))
    running = daemon(wrapper=wrapper, environment={"PYTHONDONTWRITEBYTECODE": "1"}).start()
    (running.inbox / "one.jpg").write_bytes(encoded(size=(256, 256)))
    running.wait(running.outputs, "the cutout", 90)
    assert running.stop() == 0
    written = set(
        itertools.chain.from_iterable(map(_written, trace.read_text(errors="replace").splitlines()))
    )
    assert any(path.startswith(str(running.state)) for path in written), "nothing was traced"
    # A worker sets its own oom_score_adj; the pool's semaphores are counters in memory, without content.
    ours = (str(running.root), "/dev/null", "/proc/", "/dev/shm/sem.")  # noqa: S108 - looked for, not used
    assert {path for path in written if not path.startswith(ours)} == set()


@pytest.mark.slow
def test_verify_shows_every_promise(daemon: Make, tmp_path: Path) -> None:
    asker = daemon()
    asker.root.mkdir(exist_ok=True)
    kept = tmp_path / "kept"
    answer = asker.cli("verify", "--json", "--keep", str(kept))
    facts = json.loads(answer.stdout)
    assert [check for check in facts["checks"] if not check["passes"]] == []
    assert answer.returncode == 0, answer.stderr
    with Image.open(kept / "outbox" / "canary.png") as cutout:
        assert cutout.mode == "RGBA"
    assert (kept / "inbox" / "canary.jpg").stat().st_size > 10_000


@pytest.mark.slow
def test_verify_fails_where_the_sandbox_is_off(daemon: Make) -> None:
    asker = daemon(tables="[engine]\nsandbox = false\n")
    asker.root.mkdir(exist_ok=True)
    answer = asker.cli("verify", "-c", str(asker.write_config()))
    assert answer.returncode == 12
    assert "it can be opened" in answer.stdout
    assert "engine.sandbox is off" in answer.stdout
