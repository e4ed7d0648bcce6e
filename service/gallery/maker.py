"""Keeps a gallery up to date: hears of photos from the ledger, has their small pictures made, tells the page.

The newest photo comes first, whatever else is to be made; a picture that was made once is never made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.folders import Folders
from cutoutd.daemon.ledger.previews import named_photos
from cutoutd.daemon.ledger.shots import Picture, Shot, last_shots, standing
from cutoutd.service.gallery import page as pages
from cutoutd.service.gallery.feed import Tone, as_script, feed, gallery_id, pulse
from cutoutd.service.gallery.shelf import Shelf, copy_out, link_whole
from cutoutd.service.gallery.thumbnails import LONGEST_SIDE, PictureJob, Small, Studio

# Between two looks at whether the ledger has changed; one costs two small reads.
LOOK_EVERY_S: Final = 0.1
# A client waits for the newest photos; the others are told of together.
_NEWEST: Final = 12
_TOGETHER_S: Final = 1.0


class Wishes(Struct, frozen=True):
    """What is wanted of a gallery.

    Attributes:
        folder: of the page.
        last: photos at most.
        side: pixels of the small pictures' longest side.
        client: tell no names, times, networks or failures.
        full: let the page show the files themselves.
        mode: permission bits of the page's files.
    """

    folder: Path
    last: int
    side: int = LONGEST_SIDE
    client: bool = False
    full: bool = False
    mode: int = 0o600


class Maker:
    """One page, made and kept up to date.

    Args:
        ledger: read only.
        home: the gallery's folder in the state folder, where small pictures are kept.
        studio: makes them.
        wishes: what is wanted.

    Raises:
        FolderError, UsageError: the folder cannot be used, or holds something that is no gallery.
    """

    def __init__(self, ledger: Ledger, home: Path, studio: Studio, wishes: Wishes) -> None:
        self._elsewhere = wishes.folder != home
        # The folder in the state folder is ours, and another page may just be coming into it.
        if self._elsewhere:
            pages.check_folder(wishes.folder)
        self._ledger, self._studio, self._wishes = ledger, studio, wishes
        self._stem = pages.CLIENT if wishes.client else pages.OWN
        self._shelf = Shelf(home, wishes.side)
        wishes.folder.mkdir(parents=True, exist_ok=True)
        pages.write(self.page, pages.page(self._stem).encode(), wishes.mode)
        self._version = -1
        self._shots: list[Shot] = []
        self._missing: list[tuple[Shot, Picture]] = []
        self._failed: set[tuple[int, Picture]] = set()
        self._asked: dict[int, tuple[Shot, Picture]] = {}
        self._number = 0
        self._told = ""
        self._told_at = float("-inf")
        self._urgent = self._changed = True

    @property
    def page(self) -> Path:
        """The page's file."""
        return self._wishes.folder / f"{self._stem}.html"

    @property
    def left(self) -> int:
        """Small pictures that are still to be made."""
        return len(self._missing) + len(self._asked)

    @property
    def shown(self) -> int:
        """Photos on the page with a finished cutout."""
        return sum(any(self._shelf.get(shot.photo, one.picture) for one in shot.made) for shot in self._shots)

    def look(self) -> None:
        """Reads the ledger, if anybody has written to it since the last look."""
        if (version := self._ledger.data_version()) == self._version:
            return
        self._version = version
        before = self._shots
        self._shots = last_shots(self._ledger, self._wishes.last)
        if self._shots != before:
            # Only where a photo or a cutout is gone there is something to tidy away.
            gone = {(shot.photo, picture) for shot in before for picture in shot.pictures}
            now = {(shot.photo, picture) for shot in self._shots for picture in shot.pictures}
            if not before or gone - now:
                self._shelf.tidy(self._shots, named_photos(self._ledger))
        self._missing = self._lacking()
        self._changed = self._urgent = True

    def _lacking(self) -> list[tuple[Shot, Picture]]:
        """What is to be made, the most urgent last: of the newest photo first its cutouts, then the original."""
        asked = set(self._asked.values())
        found = [
            (shot, picture)
            for shot in reversed(self._shots)
            for picture in shot.pictures
            if self._shelf.get(shot.photo, picture) is None
            and (shot.photo, picture) not in self._failed
            and (shot, picture) not in asked
            and not (self._wishes.client and not shot.made)
        ]
        seen: set[tuple[int, Picture]] = set()
        return [
            one for one in found if not ((one[0].photo, one[1]) in seen or seen.add((one[0].photo, one[1])))
        ]

    def work(self, timeout_s: float = LOOK_EVERY_S) -> None:
        """Gets on with small pictures, and waits for the next at most so many seconds.

        Raises:
            EngineError: no worker can start.
            FolderError: a picture cannot be kept.
        """
        if self._missing:
            shot, picture = self._missing[-1]
            self._studio.may_read(self._folders())
            if self._studio.submit(self._number + 1, PictureJob(picture.path, self._wishes.side)):
                self._number += 1
                self._asked[self._number] = self._missing.pop()
        done = self._studio.wait(timeout_s)
        if done is None:
            return
        shot, picture = self._asked.pop(done[0])
        small = done[1]
        if not isinstance(small, Small) or self._shelf.put(shot.photo, picture, small) is None:
            self._failed.add((shot.photo, picture))
        self._changed = True
        self._urgent |= shot.photo in {one.photo for one in self._shots[:_NEWEST]}

    def _folders(self) -> frozenset[Path]:
        """What the worker may read: the inboxes and outboxes, and where else pictures lie."""
        known = set(Folders(self._ledger).all())
        others = {
            os.path.dirname(picture.path)  # noqa: PTH120 - bytes
            for _, picture in self._missing
            if not any(picture.path.startswith(folder + b"/") for folder in known)
        }
        return frozenset(Path(os.fsdecode(folder)) for folder in known | others)

    def tell(self, *, live: bool, clock: Callable[[], float] = time.monotonic) -> bool:
        """Writes the feed if there is something to tell: of the newest at once, of others once a second.

        Args:
            live: more may come.
            clock: monotonic seconds.

        Returns:
            Whether it was written.

        Raises:
            FolderError: it cannot be written.
        """
        now = clock()
        if not self._changed or (live and not self._urgent and now - self._told_at < _TOGETHER_S):
            return False
        self._changed = self._urgent = False
        self._told_at = now
        wishes = self._wishes
        tone = Tone(gallery_id(self._ledger.key), wishes.client, live)
        told = feed(self._shots, self._shelf.get, self._whole, tone, standing(self._ledger), making=self.left)
        script = as_script(told)
        there = (wishes.folder / f"{self._stem}-feed.js").exists()
        if script == self._told and there:
            return False
        self._told = script
        if self._elsewhere:
            names = [
                kept.name
                for shot in self._shots
                for picture in shot.pictures
                if (kept := self._shelf.get(shot.photo, picture))
            ]
            copy_out(self._shelf.folder, wishes.folder, names, wishes.mode)
        pages.write(wishes.folder / f"{self._stem}-feed.js", script.encode(), wishes.mode)
        pages.write(wishes.folder / f"{self._stem}-pulse.gif", pulse(int(time.time() * 100)), wishes.mode)
        return True

    def finish(self) -> None:
        """Tells the page that nothing more comes."""
        self._changed = self._urgent = True
        self.tell(live=False)

    def _whole(self, photo: int, picture: Picture) -> str:
        return link_whole(self._wishes.folder, photo, picture) if self._wishes.full else ""
