"""A gallery is kept up to date: the newest first, each picture made once, and nothing of what was forgotten."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.support.shoot import Shoot

from cutoutd.config.errors import UsageError
from cutoutd.daemon.ledger.previews import PICTURES
from cutoutd.daemon.ledger.retention import History
from cutoutd.service.gallery.maker import Maker, Wishes
from cutoutd.service.gallery.thumbnails import PictureJob, Small, Studio


class Drawer(Studio):
    """A studio without a worker: it remembers what it was asked for, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._hand: tuple[int, PictureJob] | None = None

    def may_read(self, folders: frozenset[Path]) -> None:
        self.folders = folders

    def submit(self, number: int, job: PictureJob) -> bool:
        self.asked.append(job.path)
        self._hand = (number, job)
        return True

    def wait(self, timeout_s: float) -> tuple[int, Small | str] | None:
        if self._hand is None:
            return None
        (number, job), self._hand = self._hand, None
        path = Path(job.path.decode())
        return number, Small(b"RIFF\x04\0\0\0WEBP", (3, 2), (6, 4)) if path.exists() else "It is gone."


@pytest.fixture
def shoot(tmp_path: Path) -> Generator[Shoot]:
    shoot = Shoot(tmp_path)
    shoot.add(b"a.jpg")
    shoot.add(b"b.jpg")
    yield shoot
    shoot.ledger.close()


def maker_of(shoot: Shoot, drawer: Drawer, folder: Path | None = None, **wishes: Any) -> Maker:
    home = shoot.state / "gallery"
    return Maker(shoot.ledger, home, drawer, Wishes(folder or home, 30, **wishes))


def all_made(maker: Maker) -> None:
    maker._version = -1  # pyright: ignore[reportPrivateUsage] - the same process wrote: SQLite calls that no change
    maker.look()
    while maker.left:
        maker.work()
    maker.tell(live=True)


def told(maker: Maker) -> dict[str, Any]:
    text = maker.page.with_name(maker.page.stem + "-feed.js").read_text()
    return json.loads(text.removeprefix("cutoutd.feed(").removesuffix(");\n"))


def test_the_newest_cutout_is_made_first_and_nothing_twice(shoot: Shoot) -> None:
    drawer = Drawer()
    maker = maker_of(shoot, drawer)
    all_made(maker)
    assert [Path(path.decode()).name for path in drawer.asked] == [
        "2-master.png",
        "b.jpg",
        "1-master.png",
        "a.jpg",
    ]
    assert shoot.inbox in drawer.folders
    assert maker.shown == 2
    again = Drawer()
    all_made(maker_of(shoot, again))
    assert again.asked == []
    assert [one["id"] for one in told(maker)["photos"]] == [2, 1]


def test_a_photo_is_on_the_page_while_it_is_in_hand(shoot: Shoot) -> None:
    drawer = Drawer()
    maker = maker_of(shoot, drawer)
    photo = shoot.started(b"c.jpg")
    all_made(maker)
    assert (told(maker)["photos"][0]["state"], told(maker)["busy"]) == ("working", True)
    shoot.done(photo)
    all_made(maker)
    assert (told(maker)["photos"][0]["state"], told(maker)["busy"]) == ("done", False)
    assert len(drawer.asked) == len(set(drawer.asked)) == 6


@pytest.mark.slow
def test_backlog_is_told_together_and_the_newest_at_once(shoot: Shoot) -> None:
    for number in range(15):
        shoot.add(b"%d.jpg" % number)
    maker = maker_of(shoot, Drawer())
    maker.look()
    now = [0.0]
    written: list[bool] = []
    while maker.left:
        maker.work()
        now[0] += 0.01
        written.append(maker.tell(live=True, clock=lambda: now[0]))
    assert sum(written[:24]) == 24
    assert sum(written[24:]) < 2
    now[0] += 5
    assert maker.tell(live=True, clock=lambda: now[0])
    assert not maker.tell(live=True, clock=lambda: now[0])


def test_what_is_gone_is_asked_for_once(shoot: Shoot) -> None:
    (shoot.outbox / "1-master.png").unlink()
    (shoot.inbox / "a.jpg").unlink()
    drawer = Drawer()
    maker = maker_of(shoot, drawer)
    all_made(maker)
    all_made(maker)
    assert len(drawer.asked) == 4
    assert [one["id"] for one in told(maker)["photos"]] == [2]
    assert told(maker)["absent"] == 1


def test_what_is_forgotten_goes_here_and_in_another_folder(shoot: Shoot, tmp_path: Path) -> None:
    here, there = (
        maker_of(shoot, Drawer()),
        maker_of(shoot, Drawer(), tmp_path / "usb", client=True, full=True),
    )
    all_made(here)
    all_made(there)
    History(shoot.ledger).forget(everything=False, photos=[2])
    assert not (shoot.state / "gallery" / "index-feed.js").exists()
    all_made(here)
    all_made(there)
    for maker in (here, there):
        folder = maker.page.parent
        assert {path.name.split("-")[0] for path in (folder / PICTURES).iterdir()} == {"1"}
        assert [one["id"] for one in told(maker)["photos"]] == [1]
    assert sorted(path.name for path in (tmp_path / "usb").iterdir()) == [
        "client-feed.js", "client-pulse.gif", "client.html", "full", "pictures",
    ]  # fmt: skip
    assert {path.name.split("-")[0] for path in (tmp_path / "usb" / "full").iterdir()} == {"1"}


def test_the_page_hears_when_nothing_more_comes(shoot: Shoot) -> None:
    maker = maker_of(shoot, Drawer())
    all_made(maker)
    assert told(maker)["live"]
    maker.finish()
    assert not told(maker)["live"]
    for path in (shoot.state / "gallery").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_with_other_things_is_refused(shoot: Shoot, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="no gallery"):
        maker_of(shoot, Drawer(), tmp_path / "mine")
