"""A daemon that meets the system's limits on file watches; they are lowered in a user namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reliability.torture import hanging_mount
from tests.reliability.torture.mounts import own_namespace
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's limits")

Make = Callable[..., Daemon]
# Walked often, and a whole walk comes long after each test's patience ends.
QUICK = 'poll_every = "500ms"\nsettle_polled = "600ms"\nrescan_every = "600s"'


def limited(what: str, count: int) -> tuple[str, ...]:
    """A command prefix under which a process may have so many inotify `watches` or `instances`."""
    script = f'echo {count} > /proc/sys/user/max_inotify_{what} && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to make a user namespace")
    return prefix


def raise_limit(one: Daemon, what: str) -> None:
    assert one.process is not None
    enter = ["nsenter", "--user", "--preserve-credentials", "--target", str(one.process.pid)]
    script = f"echo 10000 > /proc/sys/user/max_inotify_{what}"
    subprocess.run([*enter, "sh", "-c", script], check=True, capture_output=True)


def photo(path: Path) -> None:
    path.write_bytes(encoded("chelsea", size=(160, 120)))


@pytest.mark.parametrize("what", ["watches", pytest.param("instances", marks=pytest.mark.thorough)])
@pytest.mark.timeout(240)
def test_an_inbox_that_gets_no_watch_is_polled_until_the_limit_is_raised(daemon: Make, what: str) -> None:
    one = daemon(wrapper=limited(what, 0), config=QUICK).start()
    photo(one.inbox / "a.jpg")
    one.wait(lambda: one.outputs() == ["a.png"], "a cutout without events")
    assert one.said(f"sudo sysctl user.max_inotify_{what}=")
    (inbox,) = one.status()["inboxes"]
    assert inbox["polled"]
    assert f"(user.max_inotify_{what} is 0)" in inbox["no_events"]
    assert inbox["no_events"].endswith("Until then it is looked through every 0.5 s.")
    assert "no_events" not in one.cli("status").stdout
    assert f"user.max_inotify_{what} is 0" in " ".join(one.cli("status").stdout.split())
    raise_limit(one, what)
    one.wait(lambda: one.said("gives file events again"), "native events", 60)
    photo(one.inbox / "b.jpg")
    one.wait(lambda: one.outputs() == ["a.png", "b.png"], "a cutout by events")
    one.wait(lambda: not one.live()["inboxes"][0]["polled"], "status to say so")
    assert one.status()["inboxes"][0]["no_events"] == ""
    assert one.stop() == 0


@pytest.mark.timeout(240)
def test_a_date_folder_beyond_the_limit_is_walked_at_once_and_said(daemon: Make) -> None:
    one = daemon(wrapper=limited("watches", 2), config=QUICK)
    (one.inbox / "2026-11-28").mkdir(parents=True)
    one.start()
    assert one.status()["inboxes"][0]["no_events"] == ""
    late = one.inbox / "2026-11-29"
    late.mkdir()
    one.wait(lambda: one.said("2026-11-29 cannot be watched"), "a sentence", 20)
    assert one.said("sudo sysctl user.max_inotify_watches=524288")
    photo(late / "a.jpg")
    one.wait(lambda: one.outputs() == ["2026-11-29/a.png"], "a cutout from the folder without a watch", 30)
    (late / "deeper").mkdir()
    photo(late / "deeper" / "b.jpg")
    one.wait(lambda: "2026-11-29/deeper/b.png" in one.outputs(), "a cutout from below it", 30)
    (inbox,) = one.status()["inboxes"]
    assert not inbox["polled"]
    assert f"{late} cannot be watched" in inbox["no_events"]
    raise_limit(one, "watches")
    one.wait(lambda: one.said("gives file events again"), "native events", 60)
    photo(late / "deeper" / "c.jpg")
    one.wait(lambda: "2026-11-29/deeper/c.png" in one.outputs(), "a cutout by events", 30)
    one.wait(lambda: one.live()["inboxes"][0]["no_events"] == "", "status to say so")
    assert one.stop() == 0


@pytest.mark.timeout(120)
def test_a_folder_without_a_watch_that_goes_away_is_no_longer_spoken_of(daemon: Make) -> None:
    one = daemon(wrapper=limited("watches", 1), config=QUICK).start()
    (one.inbox / "late").mkdir()
    one.wait(lambda: one.said("late cannot be watched"), "a sentence", 20)
    (one.inbox / "late").rmdir()
    one.wait(lambda: one.live()["inboxes"][0]["no_events"] == "", "nothing to be missing", 30)
    photo(one.inbox / "a.jpg")
    one.wait(lambda: one.outputs() == ["a.png"], "a cutout by events", 30)


@pytest.mark.timeout(120)
def test_without_proc_an_inbox_is_still_there(daemon: Make) -> None:
    hide = 'mount -t tmpfs none /proc && exec "$@"'
    wrapper = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hide, "sh")
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to hide /proc from a process")
    one = daemon(wrapper=wrapper, config=QUICK).start(ready=False)
    photo(one.inbox / "a.jpg")
    one.wait(lambda: one.outputs() == ["a.png"], "a cutout", 60)
    assert not one.said("does not exist")


@pytest.mark.skipif(not hanging_mount.possible(), reason="needs root and /dev/fuse")
@pytest.mark.timeout(240)
def test_a_share_below_an_inbox_names_itself_and_is_walked(daemon: Make) -> None:
    """What another machine puts there gives no event; the rescan is ten minutes away."""
    if not own_namespace():
        pytest.skip("no mounts of its own here")
    one = daemon(config=QUICK)
    behind, share = one.root / "behind", one.inbox / "share"
    behind.mkdir()
    share.mkdir(parents=True)
    mount = hanging_mount.HangingMount(behind, share)
    try:
        one.start()
        (inbox,) = one.status()["inboxes"]
        assert not inbox["polled"]
        assert inbox["no_events"].startswith(f"{share} lies on a file system that tells nothing of changes")
        assert inbox["no_events"].endswith("It is looked through every 0.5 s.")
        assert one.said(f"{share} lies on a file system")
        photo(behind / "a.jpg")
        one.wait(lambda: one.outputs() == ["share/a.png"], "a cutout from the share", 60)
        photo(one.inbox / "b.jpg")
        one.wait(lambda: "b.png" in one.outputs(), "a cutout by events", 30)
        assert one.stop() == 0
    finally:
        mount.end()
