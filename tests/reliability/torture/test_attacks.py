"""Attacks that want a script of their own: each on a real daemon, each judged by the files and rows that are left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.reliability.torture import hanging_mount
from tests.reliability.torture.mounts import own_namespace
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

# The full size of the large attacks takes minutes; every test run takes a tenth of it.
FULL = os.environ.get("CUTOUTD_FULL_ATTACKS") == "1"

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Daemons below folders of their own, gone after the test."""
    made: list[Daemon] = []

    def one(name: str = "one", **options: object) -> Daemon:
        made.append(Daemon(tmp_path / name, **options))  # type: ignore[arg-type]
        made[-1].root.mkdir(parents=True)
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()


def photos(count: int, *, subject: str = "astronaut", padding: int = 0) -> dict[str, bytes]:
    """Small photos that differ in the bytes behind their end."""
    plain = encoded(subject, size=(160, 120))
    return {f"{n:05d}.jpg": plain + b"%08d" % n + bytes(padding) for n in range(count)}


def check_one_cutout_each(one: Daemon, names: dict[str, bytes], *, folder: str = "") -> None:
    """Exactly one cutout per photo, originals as they were, nothing of ours left over."""
    wanted = sorted(f"{folder}{Path(name).stem}.png" for name in names)
    assert one.outputs() == wanted
    for name, data in names.items():
        assert hashlib.blake2b((one.inbox / folder / name).read_bytes()).digest() == (
            hashlib.blake2b(data).digest()
        )
    assert one.leftovers() == []


# --- cameras ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_a_burst_of_twenty_frames_of_25_mb_with_kills_in_between(make: Make) -> None:
    frames = photos(20 if FULL else 6, padding=25_000_000)
    one = make(tables="[engine]\nworkers = 2").start()

    def shoot() -> None:
        for name, data in frames.items():
            with (one.inbox / name).open("wb") as file:
                for at in range(0, len(data), 5_000_000):
                    file.write(data[at : at + 5_000_000])

    camera = threading.Thread(target=shoot)
    camera.start()
    for count in (1, len(frames) // 2):
        one.wait(lambda count=count: len(one.outputs()) >= count, "cutouts", 120)
        one.kill()
        one.start(ready=False)
    camera.join()
    one.wait(lambda: len(one.outputs()) >= len(frames) and one.settled(), "all cutouts", 240)
    one.stop()
    check_one_cutout_each(one, frames)


@pytest.mark.timeout(1500)
def test_ten_thousand_small_files_at_once_hide_no_photo(make: Make) -> None:
    count = 10_000 if FULL else 1_000
    good = photos(10)
    one = make(config='rescan_every = "10s"', tables="[engine]\nworkers = 2").start()
    for number in range(count - len(good)):
        kind, data = ("txt", b"notes") if number % 5 else ("jpg", b"\xff\xd8\xff no photo %d" % number)
        (one.inbox / f"small-{number}.{kind}").write_bytes(data)
        if number % (count // 10) == 0:
            name = list(good)[number // (count // 10)]
            (one.inbox / name).write_bytes(good[name])
    one.wait(lambda: len(one.outputs()) == len(good), "the photos among them", 300)
    ended = "state IN ('failed', 'skipped', 'done') AND live = 1"
    one.wait(lambda: len(one.rows(ended)) == len(os.listdir(one.inbox)), "a name for each other file", 1000)
    one.stop()
    check_one_cutout_each(one, good)
    assert {row["reason"] for row in one.rows("state = 'failed'")} == {"unreadable"}
    assert {row["reason"] for row in one.rows("state = 'skipped'")} == {"not-a-photo"}


@pytest.mark.timeout(600)
def test_deep_trees_that_appear_move_in_and_go(make: Make) -> None:
    one = make(config='rescan_every = "10s"').start()
    frames = photos(30 if FULL else 16)
    outside = one.root / "outside"
    inside = one.inbox / "new"
    deep = "/".join(f"level {n}" for n in range(15))
    for index, (name, data) in enumerate(frames.items()):
        at = (outside if index % 2 else inside) / "/".join(deep.split("/")[: index // 2])
        at.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(data)
        if index == 10:
            one.kill()
            one.start(ready=False)
    outside.rename(one.inbox / "moved in")
    one.wait(lambda: len(one.outputs()) >= len(frames) and one.settled(), "all cutouts", 120)
    (one.inbox / "moved in").rename(one.inbox / "moved on")  # names within change, contents do not
    (one.inbox / "new" / "late.jpg").write_bytes(encoded("chelsea", size=(160, 120)))
    one.wait(lambda: "new/late.png" in one.outputs() and one.settled(), "the late one", 60)
    one.stop()
    assert sorted(Path(name).name for name in one.outputs()) == sorted(
        ["late.png", *(f"{Path(name).stem}.png" for name in frames)]
    )
    assert one.leftovers() == []


# --- machines --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough  # tests/endtoend/test_watch_limits.py has a daemon that runs out of them, and gets them back
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
@pytest.mark.timeout(600)
def test_beyond_the_limit_of_watches_photos_are_found_by_walking(make: Make) -> None:
    """The limit is the test's own: it holds in a user namespace and nowhere else."""
    script = 'echo 6 > /proc/sys/user/max_inotify_watches && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not allowed here")
    one = make(wrapper=prefix, config='poll_every = "1s"\nrescan_every = "30s"')
    for number in range(12):
        (one.inbox / f"day {number}").mkdir(parents=True)
    one.start()
    frames = photos(12)
    for number, (name, data) in enumerate(frames.items()):
        (one.inbox / f"day {number}" / name).write_bytes(data)
    one.wait(lambda: len(one.outputs()) == len(frames) and one.settled(), "all cutouts", 90)
    assert one.said("sudo sysctl user.max_inotify_watches=")  # the namespace's own limit was met
    one.stop()


@pytest.mark.skipif(not hanging_mount.possible(), reason="needs root and /dev/fuse")
@pytest.mark.timeout(900)
def test_a_network_mount_that_hangs_stalls_only_its_own_inbox(make: Make) -> None:
    if not own_namespace():
        pytest.skip("no mounts of its own here")
    one = make(tables='[limits]\ntime_per_photo = "20s"\n[engine]\nworkers = 2')
    share, behind = one.root / "share", one.root / "behind"
    behind.mkdir()
    (behind / "first.jpg").write_bytes(encoded("chelsea", size=(160, 120)))
    one.tables += f'\n[[inbox]]\npath = "{share}"\noutbox = "{one.root / "outbox-share"}"\nevents = "poll"\n'
    one.tables += 'poll_every = "500ms"\nsettle_polled = "600ms"\n'
    mount = hanging_mount.HangingMount(behind, share)
    try:
        one.start()
        made = one.root / "outbox-share"
        one.wait((made / "first.png").exists, "the cutout from the share", 60)
        (behind / "second.jpg").write_bytes(encoded("astronaut", size=(160, 120)))
        mount.hang()
        one.wait(lambda: mount.asked_in_vain > 0, "the daemon to run into it")
        frames = photos(5)
        for name, data in frames.items():
            (one.inbox / name).write_bytes(data)
        one.wait(lambda: len(one.outputs()) == len(frames), "the other inbox's cutouts", 60)
        assert one.status()["counts"]["done"] >= 5

        def told() -> str:
            return next(i["trouble"] for i in one.live()["inboxes"] if i["path"] == str(share))

        one.wait(lambda: "does not answer" in told(), "the status to say which inbox hangs", 30)
        started = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - started < 45  # the grace, and not for ever
        one.start(ready=False)
        (one.inbox / "later.jpg").write_bytes(encoded("astronaut", size=(160, 120)))
        one.wait(lambda: "later.png" in one.outputs(), "work after a start beside a hung mount", 90)
    finally:
        mount.end()
    whole = hanging_mount.HangingMount(behind, share)
    try:
        one.wait((made / "second.png").exists, "the photo that had hung", 120)
        one.wait(one.settled, "nothing owed any more", 60)
        assert not one.rows("state = 'failed'")
        one.stop()
    finally:
        whole.end()


@pytest.mark.thorough  # as an inbox that hangs: the I/O thread of one folder waits, and no other
@pytest.mark.skipif(not hanging_mount.possible(), reason="needs root and /dev/fuse")
@pytest.mark.timeout(900)
def test_an_outbox_that_hangs_stalls_only_the_photos_that_go_there(make: Make) -> None:
    if not own_namespace():
        pytest.skip("no mounts of its own here")
    one = make(tables='[limits]\ntime_per_photo = "20s"\n[engine]\nworkers = 2')
    session, share, behind = one.root / "session", one.root / "share", one.root / "behind"
    for folder in (session, behind):
        folder.mkdir()
    one.tables += f'\n[[inbox]]\npath = "{session}"\noutbox = "{share}"\n'
    mount = hanging_mount.HangingMount(behind, share)
    try:
        one.start()
        frames = photos(6)
        (session / "first.jpg").write_bytes(encoded("chelsea", size=(160, 120)))
        one.wait((behind / "first.png").exists, "the cutout on the share", 60)
        one.wait(one.settled, "its row", 60)
        mount.hang()
        for name, data in frames.items():
            (session / name).write_bytes(data)
        one.wait(lambda: mount.asked_in_vain > 0, "the daemon to run into it")
        for name, data in frames.items():
            (one.inbox / name).write_bytes(data)
        one.wait(lambda: len(one.outputs()) == len(frames), "the other inbox's cutouts", 60)
        one.wait(lambda: one.said("does not answer"), "the user to be told", 60)
        (one.inbox / "later.jpg").write_bytes(encoded("astronaut", size=(160, 120)))
        one.wait(lambda: "later.png" in one.outputs(), "a photo that came while it hung", 10)
    finally:
        mount.end()
    whole = hanging_mount.HangingMount(behind, share)
    try:
        one.wait(lambda: len(list(behind.glob("*.png"))) == len(frames) + 1, "what had waited", 120)
        one.wait(one.settled, "nothing owed any more", 60)
        assert not one.rows("state = 'failed' OR attempts > 0")
        assert not one.said("Traceback")
        one.stop()
        assert not list(behind.glob(".cutoutd*"))
    finally:
        whole.end()


@pytest.mark.thorough  # likewise
@pytest.mark.skipif(not hanging_mount.possible(), reason="needs root and /dev/fuse")
@pytest.mark.timeout(900)
def test_an_archive_that_hangs_stalls_only_its_own_inbox(make: Make) -> None:
    if not own_namespace():
        pytest.skip("no mounts of its own here")
    one = make(tables="[engine]\nworkers = 2")
    session, share, behind = one.root / "session", one.root / "share", one.root / "behind"
    for folder in (session, behind):
        folder.mkdir()
    one.tables += f'\n[[inbox]]\npath = "{session}"\noutbox = "{one.root / "outbox-session"}"\n'
    one.tables += f'[inbox.after]\naction = "archive"\narchive = "{share}"\n'
    frames = photos(6)
    mount = hanging_mount.HangingMount(behind, share)
    try:
        one.start()
        (session / "first.jpg").write_bytes(encoded("chelsea", size=(160, 120)))
        one.wait((behind / "first.jpg").exists, "the original on the share", 60)
        mount.hang()
        for name, data in frames.items():
            (session / name).write_bytes(data)
        one.wait(lambda: mount.asked_in_vain > 0, "the daemon to run into it", 60)
        for name, data in frames.items():
            (one.inbox / name).write_bytes(data)
        one.wait(lambda: len(one.outputs()) == len(frames), "the other inbox's cutouts", 60)
    finally:
        mount.end()
    whole = hanging_mount.HangingMount(behind, share)
    try:
        one.wait(
            lambda: len(list(behind.glob("*.jpg"))) == len(frames) + 1, "the originals that had waited", 180
        )
        one.wait(one.settled, "nothing owed any more", 60)
        assert not one.rows("state = 'failed' OR attempts > 0")
        assert not one.said("Traceback")
        one.stop()
        assert {name: (behind / name).read_bytes() for name in frames} == frames
        assert not list(session.iterdir())
    finally:
        whole.end()


@pytest.mark.thorough  # slots that cannot start: tests/unit/daemon/workers/test_pool.py, with real processes
@pytest.mark.timeout(600)
def test_workers_that_cannot_start_blame_no_photo(make: Make) -> None:
    one = make(tables="[engine]\nworkers = 2").start()
    lock = one.state / "workers.lock"
    lock.unlink()
    lock.mkdir()  # each new worker takes a share of this lock as one of its first acts, and now cannot
    for worker in one.workers():
        os.kill(worker, signal.SIGKILL)
    frames = photos(4)
    for name, data in frames.items():
        (one.inbox / name).write_bytes(data)
    one.wait(lambda: one.log.read_text().count("could not start") >= 4, "several tries", 90)
    one.wait(lambda: len(one.rows("state = 'pending' AND attempts = 0")) == 4, "all to wait")
    lock.rmdir()
    one.wait(lambda: len(one.outputs()) == 4 and one.settled(), "all cutouts with workers that start", 120)
    assert {row["attempts"] for row in one.rows()} == {0}
    one.stop()
    check_one_cutout_each(one, frames)


# --- several daemons -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_two_daemons_with_two_ledgers_on_one_outbox(make: Make) -> None:
    """Same names, other photos, one outbox: neither takes the other's cutout away, whoever is killed when."""
    a, b = make("a"), make("b")
    shared = a.outbox
    shared.mkdir(parents=True)
    b.outbox.symlink_to(shared)
    deaths = (5, 10, 15) if FULL else (5,)
    each = deaths[-1]
    sets = ((a, photos(each)), (b, photos(each, subject="chelsea")))
    for one, _ in sets:
        one.start(ready=False)
    for count in deaths:
        for one, frames in sets:
            for name in list(frames)[count - 5 : count]:
                (one.inbox / name).write_bytes(frames[name])
        before = len(a.outputs())
        a.wait(lambda before=before: len(a.outputs()) > before, "a cutout of either", 90)
        for one, _ in sets:
            one.kill()
            one.start(ready=False)
    for one, _ in sets:
        one.wait(lambda one=one: len(_claims(one)) == each, "all done", 120)
        one.stop()
    assert not _claims(a) & _claims(b)
    assert {os.fsencode(name) for name in a.outputs()} == _claims(a) | _claims(b)
    assert a.leftovers() == []
    assert b.leftovers() == []


def _claims(one: Daemon) -> set[bytes]:
    """The names under which a daemon's own finished cutouts lie."""
    with contextlib.closing(sqlite3.connect(one.state / "ledger.sqlite", timeout=10)) as db:
        return {row[0] for row in db.execute("SELECT name FROM deliverables WHERE state = 'done'")}
