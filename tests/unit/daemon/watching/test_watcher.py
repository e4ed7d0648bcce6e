"""Real events in real folders; limits, overflows and unmounts in processes of their own."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.conditions import wait_until
from tests.support.folders import nested
from watchdog import events
from watchdog.observers.inotify_c import InotifyFD

from cutoutd.daemon.watching import watcher as watcher_module
from cutoutd.daemon.watching.inotify import Complaint, InotifyObserver
from cutoutd.daemon.watching.limits import NoEvents
from cutoutd.daemon.watching.watcher import (
    Hint,
    Message,
    Rescan,
    Unwatched,
    Watcher,
    WatchLost,
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="these are inotify's events"),
    # Watchdog warns when a folder made twice in a row gets its watch anew.
    pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning"),
]


class Watched:
    """A folder, its watcher and what the watcher said."""

    def __init__(self, root: Path, *, recursive: bool = True) -> None:
        self.root = root
        self.said: list[Message] = []
        self.watcher = Watcher("inbox", root, recursive=recursive, post=self.said.append)

    def hints(self, path: str | bytes) -> list[str]:
        name = os.fsencode(path)
        return [one.kind for one in self.said if isinstance(one, Hint) and one.path == name]

    def rescans(self) -> list[bytes]:
        return [one.path for one in self.said if isinstance(one, Rescan)]

    def lost(self) -> list[WatchLost]:
        return [one for one in self.said if isinstance(one, WatchLost)]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, f"{what}; said so far: {self.said}")

    def flush(self) -> None:
        """Return when every event so far has been told: one more, and it arrives last."""
        name = f".flush{len(self.said)}-{time.monotonic_ns()}"
        (self.root / name).touch()
        self.wait(lambda: "closed" in self.hints(name), "the last event")


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Watched]:
    root = tmp_path / "in"
    root.mkdir()
    watched = Watched(root)
    assert watched.watcher.start()
    yield watched
    watched.watcher.stop()


def test_a_written_file_is_created_and_closed(inbox: Watched) -> None:
    (inbox.root / "a.jpg").write_bytes(b"photo")
    inbox.wait(lambda: inbox.hints("a.jpg") == ["created", "closed"], "the hints of a write")
    assert inbox.watcher.healthy()


def test_a_rename_within_the_inbox_names_both_ends(inbox: Watched) -> None:
    (inbox.root / "a.part").write_bytes(b"photo")
    (inbox.root / "a.part").rename(inbox.root / "a.jpg")
    inbox.wait(lambda: inbox.hints("a.jpg") == ["moved"], "the rename")
    assert inbox.hints("a.part")[-1] == "deleted"


def test_a_rename_from_outside_is_a_finished_file_too(inbox: Watched, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "a.jpg").rename(inbox.root / "a.jpg")
    inbox.wait(lambda: inbox.hints("a.jpg") == ["moved"], "the rename")


def test_a_hard_link_is_seen(inbox: Watched, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    os.link(tmp_path / "a.jpg", inbox.root / "a.jpg")
    inbox.wait(lambda: inbox.hints("a.jpg") == ["created"], "the link")


def test_a_file_that_leaves_is_deleted_and_holds_nothing_up(inbox: Watched, tmp_path: Path) -> None:
    def held_up_s(number: int) -> float:
        leaves, comes = f"a{number}.jpg", f"b{number}.jpg"
        (inbox.root / leaves).write_bytes(b"photo")
        inbox.flush()
        begin = time.monotonic()
        (inbox.root / leaves).rename(tmp_path / leaves)
        (inbox.root / comes).write_bytes(b"photo")
        inbox.wait(lambda: "closed" in inbox.hints(comes), "the next file")
        assert inbox.hints(leaves)[-1] == "deleted"
        return time.monotonic() - begin

    # watchdog on its own holds the next file back for 0.5 s, each time; a busy machine does so now and then.
    assert any(held_up_s(number) < 0.4 for number in range(20))


def test_our_own_reading_wakes_nobody(inbox: Watched) -> None:
    (inbox.root / "a.jpg").write_bytes(b"photo")
    inbox.flush()
    before = len(inbox.said)
    for _ in range(50):
        (inbox.root / "a.jpg").read_bytes()
        os.listdir(inbox.root)
        (inbox.root / "a.jpg").stat()
    inbox.flush()
    assert {type(one) for one in inbox.said[before:]} == {Hint}
    assert all(one.path.startswith(b".flush") for one in inbox.said[before:] if isinstance(one, Hint))


@pytest.mark.slow
def test_idle_costs_nothing(inbox: Watched) -> None:
    inbox.flush()
    before = time.process_time()
    time.sleep(1.0)  # a stretch of idleness is what is measured, not a wait for anything
    assert time.process_time() - before < 0.02


def test_a_chmod_is_a_hint(inbox: Watched) -> None:
    (inbox.root / "a.jpg").write_bytes(b"photo")
    inbox.flush()
    (inbox.root / "a.jpg").chmod(0o640)
    inbox.wait(lambda: inbox.hints("a.jpg")[-1] == "modified", "the chmod")


@pytest.mark.parametrize("folder", ["", "day"])
def test_a_folder_whose_permissions_changed_is_walked(inbox: Watched, folder: str) -> None:
    (inbox.root / "day").mkdir()
    inbox.flush()
    before = inbox.rescans().count(os.fsencode(folder))
    (inbox.root / folder).chmod(0o700)
    inbox.wait(lambda: inbox.rescans().count(os.fsencode(folder)) > before, "the chmod")
    assert inbox.lost() == []


def test_names_of_any_bytes(inbox: Watched) -> None:
    name = b"caf\xe9 \xff\n.jpg"
    with open(os.fsencode(inbox.root) + b"/" + name, "wb") as file:
        file.write(b"photo")
    inbox.wait(lambda: inbox.hints(name) == ["created", "closed"], "the odd name")


def test_a_new_tree_is_walked_after_its_watches_stand(inbox: Watched) -> None:
    (inbox.root / "day/one").mkdir(parents=True)
    inbox.wait(lambda: set(inbox.rescans()) >= {b"day", b"day/one"}, "word of the folders")
    (inbox.root / "day/one/a.jpg").write_bytes(b"photo")
    inbox.wait(lambda: "closed" in inbox.hints("day/one/a.jpg"), "an event in the new folder")


@pytest.mark.slow
def test_two_hundred_folders_each_with_a_file_at_once(inbox: Watched) -> None:
    for number in range(200):
        folder = inbox.root / f"d{number}"
        folder.mkdir()
        (folder / "a.jpg").write_bytes(b"photo")
    wanted = {b"d%d" % number for number in range(200)}
    inbox.wait(lambda: wanted <= set(inbox.rescans()), "a rescan of each folder")
    assert inbox.watcher.healthy()


def test_a_folder_moved_in_renamed_and_removed(inbox: Watched, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day/a.jpg").write_bytes(b"photo")
    (tmp_path / "day").rename(inbox.root / "day")
    inbox.wait(lambda: b"day" in inbox.rescans(), "the folder that came in")
    (inbox.root / "day").rename(inbox.root / "night")
    inbox.wait(lambda: b"night" in inbox.rescans(), "the renamed folder")
    (inbox.root / "night/b.jpg").write_bytes(b"photo")
    inbox.wait(lambda: "closed" in inbox.hints("night/b.jpg"), "an event under the new name")
    inbox.said.clear()
    shutil.rmtree(inbox.root / "night")
    inbox.wait(lambda: b"night" in inbox.rescans(), "the removed folder")
    assert inbox.hints("night/b.jpg") == ["deleted"]
    assert inbox.watcher.healthy()


def test_sub_folders_of_a_flat_inbox_mean_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path, recursive=False)
    assert watched.watcher.start()
    try:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/a.jpg").write_bytes(b"photo")
        watched.flush()
        assert watched.rescans() == []
        assert watched.hints("sub/a.jpg") == []
    finally:
        watched.watcher.stop()


def test_a_tree_of_a_thousand_folders_in_one_another_keeps_no_events_from_the_rest(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    with nested(root, 1900):
        watched = Watched(root)
        assert watched.watcher.start()
        watched.flush()
        assert watched.watcher.healthy()
        watched.watcher.stop()


def test_an_inbox_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    watched = Watched(tmp_path / "link")
    assert watched.watcher.start()
    try:
        (tmp_path / "real/a.jpg").write_bytes(b"photo")
        watched.wait(lambda: "closed" in watched.hints("a.jpg"), "an event behind the link")
        (tmp_path / "other").mkdir()
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("other")
        assert "replaced" in watched.watcher.problem()
    finally:
        watched.watcher.stop()


def test_an_inbox_removed_and_made_again_is_lost_and_can_be_taken_up(inbox: Watched) -> None:
    inbox.root.rmdir()
    inbox.wait(inbox.lost, "word of the loss")
    assert inbox.lost()[0].code == "gone"
    inbox.root.mkdir()
    assert not inbox.watcher.healthy()
    inbox.watcher.stop()
    again = Watched(inbox.root)
    assert again.watcher.start()
    again.flush()
    assert again.watcher.healthy()
    again.watcher.stop()


def test_a_card_that_is_mounted_below_the_inbox_asks_for_watches_on_it(
    inbox: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event tells of a mount: what lies on it would be found by the next regular walk, minutes later."""
    assert inbox.watcher.problem() == ""

    def card(folder: Path) -> frozenset[tuple[int, str]]:
        return frozenset({(77, f"{folder}/card")})

    monkeypatch.setattr(watcher_module, "mounts_below", card)
    assert "mounted below" in inbox.watcher.problem()
    again = Watched(inbox.root)
    assert again.watcher.start()
    again.flush()
    assert again.watcher.problem() == ""
    again.watcher.stop()


def test_an_inbox_renamed_away_is_not_healthy(inbox: Watched, tmp_path: Path) -> None:
    inbox.root.rename(tmp_path / "away")
    assert "does not exist" in inbox.watcher.problem()
    inbox.root.mkdir()
    assert "replaced" in inbox.watcher.problem()


def test_a_missing_inbox_cannot_be_started_and_says_so(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "gone")
    assert not watched.watcher.start()
    assert [one.code for one in watched.lost()] == ["gone"]
    assert not watched.watcher.healthy()
    watched.watcher.stop()


def test_a_receiver_that_raises_does_not_end_the_watch_in_silence(tmp_path: Path) -> None:
    got: list[Message] = []

    def post(message: Message) -> None:
        got.append(message)
        raise RuntimeError("full")

    watcher = Watcher("inbox", tmp_path, recursive=True, post=post)
    assert watcher.start()
    try:
        (tmp_path / "a.jpg").touch()
        (tmp_path / "b.jpg").touch()
        wait_until(
            lambda: any(isinstance(one, Hint) and one.path == b"b.jpg" for one in got), "the second file"
        )
        assert not watcher.healthy()
    finally:
        watcher.stop()


def test_an_error_in_translating_an_event_is_told_and_not_raised(inbox: Watched) -> None:
    inbox.watcher.on_event(events.FileCreatedEvent(src_path=7))  # pyright: ignore[reportArgumentType] - on purpose
    assert [one.code for one in inbox.lost()] == ["broken"]
    assert not inbox.watcher.healthy()


@pytest.mark.parametrize("victim", ["emitter", "reader"])
def test_a_dead_thread_is_noticed(inbox: Watched, victim: str) -> None:
    observer = inbox.watcher._observer
    assert isinstance(observer, InotifyObserver)
    thread = next(iter(observer.emitters)) if victim == "emitter" else observer.inotify
    thread.stop()
    wait_until(lambda: not thread.is_alive(), "the thread's end")
    assert observer.is_alive()
    assert "stopped" in inbox.watcher.problem()


def test_an_error_in_the_event_machinery_is_told_and_the_thread_lives(
    inbox: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchdog.observers.inotify import InotifyWatchGroup

    def fail(self: InotifyWatchGroup, event: object) -> None:
        raise KeyError("bookkeeping")

    monkeypatch.setattr(InotifyWatchGroup, "on_event", fail)
    (inbox.root / "a.jpg").touch()
    inbox.wait(inbox.lost, "word of the error")
    assert inbox.lost()[0].code == "broken"
    assert isinstance(inbox.watcher._observer, InotifyObserver)
    assert inbox.watcher._observer.inotify.is_alive()


def test_stopping_gives_threads_and_descriptors_back(tmp_path: Path) -> None:
    def start_and_stop() -> None:
        watched = Watched(tmp_path)
        assert watched.watcher.start()
        watched.watcher.stop()
        watched.watcher.stop()

    start_and_stop()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        start_and_stop()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


# A process that watches the folder it is given, says `ready`, and prints each message that is no hint.
CHILD = """
import sys, time
from pathlib import Path
from cutoutd.daemon.watching.watcher import Hint, Watcher

def say(*words):  # one write: the watcher speaks from a thread of its own
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def post(message):
    if not isinstance(message, Hint):
        facts = getattr(message, "code", ""), getattr(message, "path", b"")
        say(type(message).__name__, *facts, getattr(message, "why", ""))

watcher = Watcher("inbox", Path(sys.argv[1]), recursive=True, post=post)
say("ready", watcher.start(), sorted(watcher.blind), watcher.latest_blind)
for line in sys.stdin:
    say("healthy", watcher.healthy())
watcher.stop()
"""


class Child:
    """The process above, started through another command."""

    def __init__(self, root: Path, *prefix: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", CHILD, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def until(self, start: str) -> str:
        """The next line that starts so; fails at the end of output (the test's time limit guards the rest)."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line.strip()
        raise AssertionError(f"it ended without saying {start!r}")

    def ask_healthy(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.until("healthy")

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
def test_an_overflow_of_the_kernels_queue_becomes_a_rescan(tmp_path: Path) -> None:
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text("ascii"))
    if queued > 100_000:
        pytest.skip(f"this system queues {queued} events: too many to overflow quickly")
    child = Child(tmp_path)
    try:
        assert child.until("ready").startswith("ready True")
        child.process.send_signal(signal.SIGSTOP)
        os.waitpid(child.process.pid, os.WUNTRACED)  # it reads no more from here on
        for number in range(queued // 3 + 500):  # create, close and delete, each under a new name
            path = tmp_path / f"{number}.jpg"
            path.touch()
            path.unlink()
        child.process.send_signal(signal.SIGCONT)
        assert "more file events came" in child.until("Rescan")
        (tmp_path / "after").mkdir()
        assert "b'after'" in child.until("Rescan")  # and events go on
        assert child.ask_healthy() == "healthy True"
    finally:
        child.end()


def blinded(inbox: Watched, *names: str, code: int = errno.ENOSPC) -> None:
    """Folders whose watches are refused, as the event machinery tells it."""
    for name in names:
        path = os.fsencode(inbox.root / name)
        inbox.watcher._on_complaint(Complaint("unwatched", path, OSError(code, os.strerror(code))))


def test_a_folder_without_a_watch_is_known_with_all_below_it(inbox: Watched) -> None:
    (inbox.root / "day/cards").mkdir(parents=True)
    blinded(inbox, "day", "day")
    assert [one.path for one in inbox.said if isinstance(one, Unwatched)] == [b"day"]
    assert inbox.watcher.is_blind(b"day/a.jpg")
    assert inbox.watcher.is_blind(b"day/cards/a.jpg")
    assert not inbox.watcher.is_blind(b"a.jpg")
    assert not inbox.watcher.is_blind(b"day")  # the folder's own name is its parent's matter
    assert not inbox.watcher.is_blind(b"days/a.jpg")
    assert inbox.watcher.healthy()


def test_a_watch_that_could_be_set_now_is_worth_a_new_start(inbox: Watched) -> None:
    (inbox.root / "day").mkdir()
    assert not inbox.watcher.sees_more_anew()
    blinded(inbox, "day")
    assert inbox.watcher.may_see_more
    assert inbox.watcher.sees_more_anew()
    (inbox.root / "day").rmdir()
    assert not inbox.watcher.sees_more_anew()
    assert inbox.watcher.blind == frozenset()


def test_a_share_below_the_inbox_is_not_tried_again(inbox: Watched) -> None:
    (inbox.root / "nas").mkdir()
    inbox.watcher.add_blind(b"nas", NoEvents("It lies on a share.", "mount"))
    assert not inbox.watcher.may_see_more
    assert not inbox.watcher.sees_more_anew()
    assert inbox.watcher.is_blind(b"nas/a.jpg")


def test_an_inbox_whose_own_watch_is_refused_after_an_overflow_is_lost(inbox: Watched) -> None:
    """Watchdog sets all watches anew then, and passes over a refusal of the first."""
    blinded(inbox, "day")
    assert inbox.lost() == []
    inbox.watcher._on_complaint(
        Complaint("unwatched", os.fsencode(inbox.root), OSError(errno.ENOSPC, "inotify watch limit reached"))
    )
    (lost,) = inbox.lost()
    assert lost.code == "limit"
    assert not inbox.watcher.healthy()


def test_a_refused_start_leaves_no_descriptor_and_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again for as long as the limit holds."""

    def refuse(self: InotifyFD, path: bytes, mask: object) -> object:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", refuse)
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        refused = Watched(tmp_path)
        assert not refused.watcher.start()
        assert refused.watcher.refusal is not None
        assert refused.watcher.refusal.code == "limit"
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_an_instance_without_its_pipe_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", refuse)
        refused = Watched(tmp_path)
        assert not refused.watcher.start()
    assert refused.watcher.refusal is not None
    assert "ulimit -n" in refused.watcher.refusal.why
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
def test_a_sub_folder_that_moves_away_and_comes_back_is_heard_again(inbox: Watched, tmp_path: Path) -> None:
    (inbox.root / "day/cards").mkdir(parents=True)
    inbox.flush()
    for turn in range(3):
        (inbox.root / "day").rename(tmp_path / "away")
        (tmp_path / "away/cards/outside.jpg").write_bytes(b"photo")
        (tmp_path / "away").rename(inbox.root / "day")
        inbox.wait(lambda turn=turn: inbox.rescans().count(b"day") > turn, "its return")
        inbox.flush()
        (inbox.root / f"day/cards/{turn}.jpg").write_bytes(b"photo")
        inbox.wait(lambda turn=turn: "closed" in inbox.hints(f"day/cards/{turn}.jpg"), "a photo's close")
    (inbox.root / "day").rename(tmp_path / "away")
    (tmp_path / "away").rename(inbox.root / "night")
    inbox.wait(lambda: b"night" in inbox.rescans(), "its return under another name")
    inbox.flush()
    (inbox.root / "night/cards/late.jpg").write_bytes(b"photo")
    inbox.wait(lambda: "closed" in inbox.hints("night/cards/late.jpg"), "a photo's close")
    assert inbox.watcher.healthy()


def with_watch_limit(count: int) -> list[str]:
    """A command prefix under which a user namespace may hold so many watches."""
    script = f'echo {count} > /proc/sys/user/max_inotify_watches && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to make a user namespace")
    return prefix


@pytest.mark.slow
def test_a_sub_folder_beyond_the_watch_limit_is_told_with_the_setting_to_raise(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"d{number}").mkdir()
    child = Child(tmp_path, *with_watch_limit(3))  # the inbox and two of the three
    try:
        assert "b'd" in child.until("Unwatched")
        ready = child.until("ready")
        assert ready.startswith("ready True [b'd")
        # The namespace's own limit is the one that is met.
        assert "sudo sysctl user.max_inotify_watches=524288" in ready
        assert "is 3)" in ready
        assert "disk" not in ready
        (tmp_path / "new").mkdir()
        assert "b'new'" in child.until("Unwatched")
        assert child.ask_healthy() == "healthy True"
    finally:
        child.end()


@pytest.mark.slow
def test_an_inbox_beyond_the_watch_limit_is_lost_with_the_setting_to_raise(tmp_path: Path) -> None:
    child = Child(tmp_path, *with_watch_limit(0))
    try:
        lost = child.until("WatchLost")
        assert lost.startswith("WatchLost limit")
        assert "sudo sysctl user.max_inotify_watches=524288" in lost
        assert child.until("ready").startswith("ready False")
    finally:
        child.end()


@pytest.mark.slow
def test_a_sub_folder_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    # Root without its capabilities is refused like anyone; for another user this changes nothing.
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    child = Child(tmp_path, *prefix)
    try:
        assert "b'shut'" in child.until("Unwatched")
        ready = child.until("ready")
        assert ready.startswith("ready True [b'shut']")
        assert "may not be read" in ready
        (tmp_path / "shut").chmod(0o755)
        assert child.until("WatchLost").startswith("WatchLost stale")
    finally:
        child.end()


@pytest.mark.slow
def test_an_unmounted_inbox_is_lost(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to make a mount namespace (root)")
    root = tmp_path / "in"
    root.mkdir()
    script = f'mount -t tmpfs card "{root}" && mkdir "{root}/sub" && exec "$@"'
    child = Child(root, "unshare", "--mount", "sh", "-c", script, "sh")
    try:
        child.until("ready True")
        enter = ["nsenter", "--mount", "--target", str(child.process.pid)]
        subprocess.run([*enter, "umount", str(root)], check=True)
        assert child.until("WatchLost").startswith("WatchLost gone")
        assert child.ask_healthy() == "healthy False"
    finally:
        child.end()
