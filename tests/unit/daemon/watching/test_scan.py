"""Walks over real folders, with failures injected where root would not meet them."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import errno
import os
import resource
import socket
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem
from tests.support.folders import nested

from cutoutd.config.errors import Reason
from cutoutd.daemon.files.filesystem import FileFacts, RealFileSystem
from cutoutd.daemon.watching.filters import Kind, Rules
from cutoutd.daemon.watching.scan import SF_DATALESS, Found, PollState, examine, partners, problem_of, walk

PLAIN = Rules()


def files(root: Path, *names: str | bytes) -> None:
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"data")


def paths(root: Path, rules: Rules = PLAIN, *, recursive: bool = True, under: bytes = b"") -> set[bytes]:
    return {found.path for found in walk(root, rules, recursive=recursive, under=under)}


def test_a_walk_finds_photos_raws_and_others_and_no_junk(tmp_path: Path) -> None:
    files(
        tmp_path,
        "a.jpg",
        "day/b.NEF",
        "day/c.mov",
        ".x.jpg",
        "b.xmp",
        "@eaDir/t.jpg",
        "CaptureOne/c.jpg",
        "tmpfileAb12Cd",
    )
    kinds = {found.path: found.kind for found in walk(tmp_path, PLAIN, recursive=True)}
    assert kinds == {b"a.jpg": Kind.PHOTO, b"day/b.NEF": Kind.RAW, b"day/c.mov": Kind.OTHER}


def test_a_raw_is_told_from_one_whose_jpeg_lies_beside_it(tmp_path: Path) -> None:
    files(
        tmp_path, "a.NEF", "A.jpg", "b.NEF", "day/a.NEF", "day/c.CR3", "day/c.heic", "day/d.dng", "day/d.png"
    )
    raws = {
        found.path: found.partner for found in walk(tmp_path, PLAIN, recursive=True) if found.kind is Kind.RAW
    }
    assert raws == {
        b"a.NEF": True,
        b"b.NEF": False,
        b"day/a.NEF": False,
        b"day/c.CR3": True,
        b"day/d.dng": False,
    }


def test_a_jpeg_that_nobody_cuts_out_stands_for_no_raw(tmp_path: Path) -> None:
    files(tmp_path, "a.NEF", "a.jpg", "b.NEF", "c.NEF", "c.jpg", "d.NEF")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "d.jpg").mkdir()
    assert partners(bytes(tmp_path), b"", Rules(exclude=("c.jpg",))) == {b"a"}


def test_a_folder_is_listed_twice_only_for_its_raws(tmp_path: Path) -> None:
    files(tmp_path, *(f"{number}.{kind}" for number in range(50) for kind in ("NEF", "jpg")), "day/a.jpg")
    fs = FaultyFileSystem()
    list(walk(tmp_path, PLAIN, recursive=True, fs=fs))
    assert fs.counts()["scandir"] == 3


def test_raws_of_a_folder_that_cannot_be_listed_again_are_not_called_alone(tmp_path: Path) -> None:
    files(tmp_path, "day/a.NEF", "day/a.jpg", "b.jpg")
    fs = FaultyFileSystem(Fault("scandir", errno.EIO, nth=2, path=b"day"))
    found = {one.path: one.error for one in walk(tmp_path, PLAIN, recursive=True, fs=fs)}
    assert found == {b"b.jpg": 0, b"day/a.jpg": 0, b"day": errno.EIO}


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(0, -5_000_000_000))  # a camera set before 1970
    (found,) = walk(tmp_path, PLAIN, recursive=True)
    assert found.facts == FileFacts.of((tmp_path / "a.jpg").stat())
    assert found.mtime_ns == -5_000_000_000
    assert found.uid == os.geteuid()
    assert found.ctime_ns == (tmp_path / "a.jpg").stat().st_ctime_ns  # by this machine's clock
    assert found.problem is None


def test_junk_is_not_even_looked_at(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", ".b.jpg", "c.part", "@eaDir/d.jpg")
    fs = FaultyFileSystem()
    assert {found.path for found in walk(tmp_path, PLAIN, recursive=True, fs=fs)} == {b"a.jpg"}
    touched = [path for call, given in fs.calls if call in ("lstat", "scandir") for path in given]
    assert touched == [os.fsencode(tmp_path), os.fsencode(tmp_path / "a.jpg")]


def test_recursion_is_a_choice(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "sub/b.jpg")
    assert paths(tmp_path, recursive=False) == {b"a.jpg"}
    assert paths(tmp_path, recursive=False, under=b"sub") == set()


def test_excluded_folders_are_not_entered(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "rejects/b.jpg", "x/rejects/c.jpg", "x/d.jpg")
    fs = FaultyFileSystem()
    rules = Rules(exclude=("rejects",))
    assert {found.path for found in walk(tmp_path, rules, recursive=True, fs=fs)} == {b"a.jpg", b"x/d.jpg"}
    assert fs.counts()["scandir"] == 2


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = {b"\xff\xfe.jpg", b"caf\xe9/\xe4.jpg", b"new\nline.jpg", b"a" * 251 + b".jpg"}
    files(tmp_path, *names)
    assert paths(tmp_path) == names


def test_links_fifos_and_sockets_are_named_and_never_followed(tmp_path: Path) -> None:
    outside, inbox = tmp_path / "outside", tmp_path / "in"
    files(outside, "secret.jpg")
    files(inbox, "a.jpg")
    (inbox / "link.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "album").symlink_to(outside)
    (inbox / "loop").symlink_to(inbox)
    (inbox / ".hidden").symlink_to(outside)
    os.mkfifo(inbox / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(inbox)  # the name of a socket may not be long
        try:
            server.bind("s.jpg")
        finally:
            os.chdir(here)
        problems = {found.path: found.problem for found in walk(inbox, PLAIN, recursive=True)}
    odd = Reason.NOT_A_REGULAR_FILE
    assert problems == {
        b"a.jpg": None,
        b"link.jpg": odd,
        b"album": odd,
        b"loop": odd,
        b"pipe.jpg": odd,
        b"s.jpg": odd,
    }


def test_a_part_of_an_inbox(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "day/b.jpg", "day/sub/c.jpg", "@eaDir/x/d.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "day")
    assert paths(tmp_path, under=b"day") == {b"day/b.jpg", b"day/sub/c.jpg"}
    assert paths(tmp_path, under=b"gone") == set()
    assert paths(tmp_path, under=b"a.jpg") == set()
    assert paths(tmp_path, under=b"link/sub") == set()  # leads out of the tree
    assert paths(tmp_path, under=b"@eaDir/x") == set()


@pytest.mark.parametrize("under", [b"", b"day"])
def test_a_missing_inbox_is_an_error_and_not_an_empty_one(tmp_path: Path, under: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk(tmp_path / "gone", PLAIN, recursive=True, under=under))


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.EACCES, Reason.NO_PERMISSION), (errno.EIO, Reason.UNREADABLE)]
)
@pytest.mark.parametrize("call", ["scandir", "lstat"])
def test_one_bad_entry_is_told_and_the_walk_goes_on(
    call: str, code: int, reason: Reason, tmp_path: Path
) -> None:
    files(tmp_path, "a.jpg", "bad/b.jpg", "c.jpg", "z/d.jpg")
    bad = b"bad" if call == "scandir" else b"bad/b.jpg"
    fs = FaultyFileSystem(Fault(call, code, path=b"/" + bad))
    found = {one.path: one for one in walk(tmp_path, PLAIN, recursive=True, fs=fs)}
    assert found.keys() == {b"a.jpg", b"c.jpg", b"z/d.jpg", bad}
    assert (found[bad].problem, found[bad].error) == (reason, code)
    assert all(one.error == 0 for path, one in found.items() if path != bad)


def test_what_vanishes_during_the_walk_is_left_out(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "b.jpg", "day/c.jpg")
    fs = FaultyFileSystem(
        Fault("lstat", errno.ENOENT, path=b"b.jpg"), Fault("scandir", errno.ENOENT, path=b"day")
    )
    assert [found.path for found in walk(tmp_path, PLAIN, recursive=True, fs=fs)] == [b"a.jpg"]


def test_an_error_of_the_inbox_itself_is_raised(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("scandir", errno.ENOTCONN))
    with pytest.raises(OSError, match="not connected"):
        list(walk(tmp_path, PLAIN, recursive=True, fs=fs))


def test_an_inbox_replaced_during_the_walk_is_an_error_and_not_the_end_of_its_files(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    files(inbox, "a.jpg", "day/b.jpg")
    steps = walk(inbox, PLAIN, recursive=True)
    next(steps)
    inbox.rename(tmp_path / "away")
    inbox.mkdir()
    with pytest.raises(OSError, match="replaced") as caught:
        list(steps)
    assert caught.value.errno == errno.ESTALE


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder; the injected error above stands in")
def test_a_folder_without_permission_for_real(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "shut/b.jpg")
    (tmp_path / "shut").chmod(0)
    try:
        found = {one.path: one.problem for one in walk(tmp_path, PLAIN, recursive=True)}
    finally:
        (tmp_path / "shut").chmod(0o700)
    assert found == {b"a.jpg": None, b"shut": Reason.NO_PERMISSION}


def test_a_cloud_placeholder_is_known_without_opening_it(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg")
    real = (tmp_path / "a.jpg").stat()

    class Cloud(RealFileSystem):
        def lstat(self, path: bytes) -> os.stat_result:
            facts = {name: getattr(real, name) for name in dir(real) if name.startswith("st_")}
            return SimpleNamespace(**facts | {"st_flags": SF_DATALESS | 0x20})  # pyright: ignore[reportReturnType]

    found = examine(tmp_path, b"a.jpg", PLAIN, Cloud(os.fsencode(tmp_path)))
    assert found is not None
    assert found.problem is Reason.PLACEHOLDER


def test_a_sparse_file_is_no_placeholder(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1_000_000)
    stat = (tmp_path / "a.jpg").stat()
    assert stat.st_blocks == 0
    assert problem_of(stat) is None


def test_deep_trees_cost_no_descriptors(tmp_path: Path) -> None:
    here, deep = Path.cwd(), 300
    os.chdir(tmp_path)
    try:
        for _ in range(deep):
            os.mkdir("d")
            os.chdir("d")
        Path("a.jpg").touch()
    finally:
        os.chdir(here)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        (found,) = walk(tmp_path, PLAIN, recursive=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.path == b"d/" * deep + b"a.jpg"


def test_a_path_too_long_for_one_call_is_found_all_the_same(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("a.jpg").touch()
    finally:
        os.chdir(here)
    (found,) = walk(tmp_path, PLAIN, recursive=True)
    assert (found.kind, found.problem, found.error) == (Kind.PHOTO, None, 0)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.jpg").touch()
        tracemalloc.start()
        try:
            assert sum(1 for _ in walk(folder, PLAIN, recursive=True)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # caches of the first use
    assert peak(4000) < peak(100) + 100_000


def test_one_path_alone(tmp_path: Path) -> None:
    files(tmp_path, "day/a.jpg", "b.xmp")
    found = examine(tmp_path, b"day/a.jpg", PLAIN)
    assert found is not None
    assert found == next(walk(tmp_path, PLAIN, recursive=True, under=b"day"))
    assert examine(tmp_path, b"day", PLAIN) is None
    assert examine(tmp_path, b"b.xmp", PLAIN) is None
    assert examine(tmp_path, b"gone.jpg", PLAIN) is None
    denied = examine(tmp_path, b"x.jpg", PLAIN, FaultyFileSystem(Fault("lstat", errno.EACCES)))
    assert denied is not None
    assert denied.problem is Reason.NO_PERMISSION
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        examine(tmp_path, b"x.jpg", PLAIN, FaultyFileSystem(Fault("lstat", errno.EIO)))


def seen(path: bytes, size: int = 1, mtime_ns: int = 1) -> Found:
    return Found(path, size, mtime_ns, 1, 1, 0o100644, Kind.PHOTO)


def test_a_poll_tells_new_changed_and_unchanged() -> None:
    polls = PollState()
    polls.begin()
    assert [polls.see(seen(b"a")), polls.see(seen(b"b"))] == ["created", "created"]
    assert polls.end(complete=True) == 0
    polls.begin()
    assert [polls.see(seen(b"b")), polls.see(seen(b"a", size=2)), polls.see(seen(b"c"))] == [
        None,
        "modified",
        "created",
    ]
    assert polls.end(complete=True) == 0
    polls.begin()
    assert polls.see(seen(b"a", size=2, mtime_ns=2)) == "modified"
    assert polls.end(complete=True) == 2
    assert len(polls) == 1


def test_a_poll_with_errors_forgets_nothing() -> None:
    polls = PollState()
    polls.begin()
    polls.see(seen(b"a"))
    polls.see(seen(b"b"))
    polls.end(complete=True)
    polls.begin()
    polls.see(seen(b"a"))
    assert polls.end(complete=False) == 0
    polls.begin()
    assert polls.see(seen(b"b")) is None
    polls.begin()  # that pass was broken off
    assert [polls.see(seen(b"a")), polls.see(seen(b"b"))] == [None, None]


@pytest.mark.slow
def test_a_poll_keeps_sixteen_bytes_a_file() -> None:
    polls = PollState()
    polls.begin()
    for number in range(20_000):
        polls.see(seen(b"shoot/IMG_%05d.jpg" % number))
    polls.end(complete=True)
    assert sys.getsizeof(polls._keys) + sys.getsizeof(polls._signs) < 20_000 * 20
    assert polls._next == []


@pytest.mark.parametrize("name", ["d", "d" * 100])
def test_a_tree_of_thousands_of_folders_in_one_another_is_left_at_the_400th(
    tmp_path: Path, name: str
) -> None:
    files(tmp_path, "a.jpg", "x/b.jpg", "/".join(["y"] * 400) + "/c.jpg", "/".join(["z"] * 401) + "/d.jpg")
    with nested(tmp_path / "x", 3000, name):
        before = time.thread_time()
        assert {path.rpartition(b"/")[2] for path in paths(tmp_path)} == {b"a.jpg", b"b.jpg", b"c.jpg"}
        assert time.thread_time() - before < 5.0  # to go down all of it is millions of calls
