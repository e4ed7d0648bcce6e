"""Others may write to the folders too: what they lay in our way is neither followed, waited for, changed nor taken."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

Make = Callable[..., Daemon]
PHOTO = encoded("astronaut", size=(160, 120))
SECRET = encoded("chelsea", size=(160, 120))
KINDS = ("link", "pipe", "socket", "folder")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Daemons below folders of their own, gone after the test, and a neighbour's folder that stays as it is."""
    made: list[Daemon] = []
    outside = tmp_path / "outside"
    (outside / "album").mkdir(parents=True)
    for name in ("secret.jpg", "album/a.jpg", "album/a.png"):
        (outside / name).write_bytes(SECRET)
        (outside / name).chmod(0o600)
    before = seen(outside)

    def one(**options: object) -> Daemon:
        made.append(Daemon(tmp_path / "one", **options))  # type: ignore[arg-type]
        made[-1].root.mkdir(parents=True)
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()
    assert seen(outside) == before


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder that somebody could change."""
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return {
        str(path): (facts.st_mode, facts.st_nlink, path.read_bytes() if path.is_file() else b"")
        for path, facts in found
    }


def lay(kind: str, path: Path, outside: Path) -> None:
    """Something that is no photo, under a photo's name."""
    match kind:
        case "link":
            path.symlink_to(outside / "secret.jpg")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket may not be long
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
            os.chdir(here)


def test_what_lies_under_a_photos_name_is_no_photo_and_holds_up_none(make: Make, tmp_path: Path) -> None:
    """Swapped in while a photo settles; a whole sub-folder too."""
    one, outside = make(config='settle = "1s"').start(), tmp_path / "outside"
    for kind in KINDS:
        (one.inbox / f"{kind}.jpg").write_bytes(PHOTO + kind.encode())
    (one.inbox / "album").mkdir()
    (one.inbox / "album" / "a.jpg").write_bytes(PHOTO + b"album")
    time.sleep(0.3)  # within the second that each rests
    for kind in KINDS:
        (one.inbox / f"{kind}.jpg").unlink()
        lay(kind, one.inbox / f"{kind}.jpg", outside)
    (one.inbox / "album").rename(one.root / "album away")
    (one.inbox / "album").symlink_to(outside / "album")
    (one.inbox / "last.jpg").write_bytes(PHOTO)
    one.wait(lambda: "last.png" in one.outputs() and one.settled(), "the photo behind them", 90)
    one.cli("rescan")
    one.wait(one.settled, "a look at all")
    assert one.outputs() == ["last.png"]
    assert one.stop() == 0
    assert not one.said("Traceback")


def test_an_outbox_folder_that_became_a_link_costs_its_own_photos_alone(make: Make, tmp_path: Path) -> None:
    one, outside = make(tables="[engine]\nworkers = 1"), tmp_path / "outside"
    one.outbox.mkdir(parents=True)
    (one.outbox / "album").symlink_to(outside / "album")
    for kind in KINDS:
        lay(kind, one.outbox / f"{kind}.png", outside)
    one.start()
    (one.inbox / "album").mkdir()
    (one.inbox / "album" / "a.jpg").write_bytes(PHOTO + b"album")
    for kind in KINDS:
        (one.inbox / f"{kind}.jpg").write_bytes(PHOTO + kind.encode())
    taken = [one.outbox / f"{kind} (2).png" for kind in KINDS]
    one.wait(lambda: all(path.exists() for path in taken), "the other photos", 90)
    one.wait(lambda: one.state_of("album/a.jpg") == "failed", "its own", 90)
    row = one.row("album/a.jpg")
    assert row is not None
    assert row["reason"] == "cannot-render"
    assert "link" in row["detail"]
    (one.outbox / "album").unlink()
    one.cli("retry", "--all")
    one.wait((one.outbox / "album" / "a.png").exists, "a second try without the link", 60)
    assert one.stop() == 0


@pytest.mark.parametrize("moment", ["archive name", "original"])
def test_a_pipe_in_the_way_of_an_original_holds_up_none(moment: str, make: Make, tmp_path: Path) -> None:
    archive = tmp_path / "one" / "archive"
    one = make(config=f'[inbox.after]\naction = "archive"\narchive = "{archive}"\n').start()
    if moment == "archive name":
        archive.mkdir(exist_ok=True)
        os.mkfifo(archive / "a.jpg")
        (one.inbox / "a.jpg").write_bytes(PHOTO)
    else:
        (one.inbox / "z.jpg").write_bytes(PHOTO + b"z")
        one.wait((archive / "z.jpg").exists, "a first one in the archive", 90)
        archive.rename(tmp_path / "away")
        (one.inbox / "a.jpg").write_bytes(PHOTO)
        one.wait(lambda: "a.png" in one.outputs(), "its cutout", 60)
        with contextlib.suppress(FileNotFoundError):
            (one.inbox / "a.jpg").unlink()
        os.mkfifo(one.inbox / "a.jpg")
        (tmp_path / "away").rename(archive)
    (one.inbox / "b.jpg").write_bytes(PHOTO + b"b")
    one.wait((archive / "b.jpg").exists, "the next original in the archive", 60)
    assert "b.png" in one.outputs()
    assert stat.S_ISFIFO(
        (archive if moment == "archive name" else one.inbox).joinpath("a.jpg").lstat().st_mode
    )
    if moment == "archive name":
        kept = [path for folder in (one.inbox, archive) for path in folder.rglob("*") if path.is_file()]
        assert PHOTO in [path.read_bytes() for path in kept]
    assert one.stop() == 0
    one.start()
    (one.inbox / "c.jpg").write_bytes(PHOTO + b"c")
    one.wait(lambda: "c.png" in one.outputs(), "work after a start", 60)
    assert one.stop() == 0


def test_temporaries_that_are_swapped_all_the_time_are_made_again(make: Make, tmp_path: Path) -> None:
    one, outside = make(tables="[engine]\nworkers = 2").start(), tmp_path / "outside"
    ended = threading.Event()

    def swap() -> None:
        turn = 0
        while not ended.is_set():
            for path in one.outbox.glob(".cutoutd-*.part"):
                turn += 1
                with contextlib.suppress(OSError):
                    path.unlink()
                    lay(KINDS[turn % 3], path, outside)
            time.sleep(0.002)

    neighbour = threading.Thread(target=swap)
    neighbour.start()
    try:
        for number in range(4):
            (one.inbox / f"{number}.jpg").write_bytes(PHOTO + b"%d" % number)
        time.sleep(5)  # the attack lasts so long: while it does no condition need ever hold
    finally:
        ended.set()
        neighbour.join()
    one.wait(one.settled, "them all", 120)
    one.cli("retry", "--all")
    one.wait(lambda: one.outputs() == [f"{number}.png" for number in range(4)], "a cutout each", 60)
    for path in one.outbox.iterdir():
        assert path.name.startswith(".") or (path.is_file() and not path.is_symlink())
    assert one.stop() == 0
