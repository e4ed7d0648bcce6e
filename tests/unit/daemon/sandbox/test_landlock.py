"""Asks this kernel, in child processes, what remains possible after `landlock.confine`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cutoutd.daemon.sandbox import landlock
from cutoutd.daemon.sandbox.landlock import Access

needs_landlock = pytest.mark.skipif(
    sys.platform != "linux" or landlock.abi() == 0, reason="this kernel has no Landlock"
)

CONFINE_AND_TRY = """
import json, os, sys
from pathlib import Path
from cutoutd.daemon.sandbox import landlock
inbox, outbox, attempts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
done = landlock.confine([Path(inbox), Path(inbox) / "not-there"], [Path(outbox)], [Path("/dev/null")])
answers = {}
for attempt in attempts:
    try:
        eval(attempt, {"os": os, "inbox": inbox, "outbox": outbox})
        answers[attempt] = "done"
    except OSError as error:
        answers[attempt] = type(error).__name__
print(json.dumps({"answers": answers, "absent": [str(p) for p in done.absent], "abi": done.abi}))
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    outbox.mkdir()
    (inbox / "photo.jpg").write_bytes(b"photo")
    (outbox / "there.png").write_bytes(b"there")
    (tmp_path / "secret").write_bytes(b"secret")
    return inbox, outbox


def confined(folders: tuple[Path, Path], attempts: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CONFINE_AND_TRY, *map(str, folders), json.dumps(attempts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ALLOWED = [
    "open(inbox + '/photo.jpg').read()",
    "os.listdir(inbox)",
    "open(outbox + '/new.part', 'xb').write(b'cutout')",
    "os.fsync(os.open(outbox, os.O_RDONLY))",
    "os.mkdir(outbox + '/day 1')",
    "open(outbox + '/there.png', 'rb').read()",
    "open('/dev/null', 'w').write('x')",
    "os.stat('/etc/passwd')",
]
REFUSED = [
    "open('/etc/passwd').read()",
    "os.listdir('/')",
    "open(inbox + '/../secret').read()",
    "open(inbox + '/photo.jpg', 'r+b')",
    "open(inbox + '/new.jpg', 'wb')",
    "os.unlink(inbox + '/photo.jpg')",
    "os.unlink(outbox + '/there.png')",
    "os.rename(outbox + '/there.png', outbox + '/other.png')",
    "os.rename(inbox + '/photo.jpg', outbox + '/photo.jpg')",
    "os.link(inbox + '/photo.jpg', outbox + '/photo.jpg')",
    "os.symlink('/etc/passwd', outbox + '/link')",
    "os.mkfifo(outbox + '/fifo')",
    "os.rmdir(outbox)",
    "os.execv('/bin/true', ['true'])",
    "open('/proc/1/environ').read()",
]


@pytest.mark.slow
@needs_landlock
def test_a_confined_process_reads_inboxes_and_creates_in_outboxes(folders: tuple[Path, Path]) -> None:
    assert confined(folders, ALLOWED)["answers"] == dict.fromkeys(ALLOWED, "done")


@needs_landlock
def test_nothing_else_is_possible_to_it(folders: tuple[Path, Path]) -> None:
    answers: dict[str, str] = confined(folders, REFUSED)["answers"]
    assert "done" not in answers.values(), answers
    # Across folders the kernel says EXDEV, as for another file system, where a rule could have allowed it.
    assert set(answers.values()) <= {"PermissionError", "OSError"}
    assert (folders[1] / "there.png").read_bytes() == b"there"
    assert (folders[0] / "photo.jpg").exists()


@needs_landlock
def test_a_folder_that_is_not_there_is_named_not_fatal(folders: tuple[Path, Path]) -> None:
    report = confined(folders, [])
    assert report["absent"] == [str(folders[0] / "not-there")]
    assert report["abi"] == landlock.abi()


@needs_landlock
def test_a_folder_made_anew_lies_outside(folders: tuple[Path, Path]) -> None:
    script = CONFINE_AND_TRY.replace(
        "answers = {}", "answers = {}\nprint('confined', flush=True)\nsys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, folders), json.dumps(["os.listdir(inbox)"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "confined\n"
        folders[0].rename(folders[0].with_name("moved"))
        folders[0].mkdir()
        out, _ = process.communicate("\n", timeout=60)
    assert json.loads(out)["answers"] == {"os.listdir(inbox)": "PermissionError"}


def test_only_rights_that_a_kernel_knows_are_asked_for() -> None:
    assert Access.REFER not in landlock.handled(1)
    assert Access.REFER in landlock.handled(2)
    assert Access.TRUNCATE not in landlock.handled(2)
    assert Access.TRUNCATE in landlock.handled(3)
    assert Access.IOCTL_DEV not in landlock.handled(4)
    assert landlock.handled(5) == landlock.handled(99)
    assert landlock.handled(5) == (1 << 16) - 1


def test_outboxes_never_grant_removing_or_renaming() -> None:
    for right in (Access.REMOVE_FILE, Access.REMOVE_DIR, Access.REFER, Access.EXECUTE, Access.MAKE_SYM):
        assert right not in landlock.CREATE
