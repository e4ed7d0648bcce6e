"""Names for a batch's cutouts: each its own, nobody's file in danger, and what lies there already adopted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.digests import cutout_digest_of

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.batch_places import BatchPlaces
from cutoutd.daemon.batch_settings import BatchSettings
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.temporary import write_temporary
from cutoutd.daemon.sources import Source, gather
from cutoutd.daemon.workers import protocol


class Run:
    """A run's photos and the names that it gives."""

    def __init__(self, root: Path, photos: dict[str, bytes], **changed: Any) -> None:
        self.out = root / "out"
        self.out.mkdir(exist_ok=True)
        inbox = changed.pop("inbox", root / "in")
        for name, data in photos.items():
            inbox.mkdir(exist_ok=True)
            (inbox / name).write_bytes(data)
        self.photos: list[Source] = list(gather([inbox]).photos)
        settings = BatchSettings(
            folder=self.out,
            model="tiny",
            deliverables=(Deliverable(),),
            matte=Matte(),
            limits=Limits(),
            umask=0o027,
            **changed,
        )
        self.places = BatchPlaces(settings, self.photos, RealFileSystem(os.fsencode(self.out)))

    def publish(self, number: int, cutout: bytes, *, gone: bool = False) -> str:
        """The name of a photo's cutout."""
        return os.fsdecode(self.place(number, cutout, gone=gone).name)

    def place(self, number: int, cutout: bytes, *, gone: bool = False) -> Any:
        outbox = os.fsencode(self.out)
        temporary = outbox + b"/.one.part"
        write_temporary(outbox, temporary, cutout)
        if gone:
            os.unlink(temporary)
        file = protocol.FinishedFile("", temporary, cutout_digest_of(cutout), len(cutout), 1, 1, ".png")
        result = protocol.Finished("d", 1, 0, 1, 1, 1, 0.5, (file,), {})
        return self.places.publish(self.photos[number], number, result, file, Deliverable())

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir() if not path.name.startswith(".")}


def test_cutouts_of_one_name_share_none_and_have_the_users_rights(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.jpg": b"A", "a.png": b"B"})
    assert [run.publish(0, b"cutout of A"), run.publish(1, b"cutout of B")] == ["a.png", "a (2).png"]
    assert run.files() == {"a.png": b"cutout of A", "a (2).png": b"cutout of B"}
    assert (run.out / "a.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_the_same_name_is_replaced_only_if_that_was_asked_for(
    tmp_path: Path, *, overwrite: bool
) -> None:
    run = Run(tmp_path, {"a.jpg": b"A"}, overwrite=overwrite)
    (run.out / "a.png").write_bytes(b"a stranger's")
    assert run.publish(0, b"cutout") == ("a.png" if overwrite else "a (2).png")
    assert run.files()["a.png"] == (b"cutout" if overwrite else b"a stranger's")


def test_what_one_photo_got_no_other_overwrites(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.jpg": b"A", "a.png": b"B"}, overwrite=True)
    assert [run.publish(0, b"cutout of A"), run.publish(1, b"cutout of B")] == ["a.png", "a (2).png"]


def test_none_of_the_photos_is_overwritten_by_a_cutout(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.png": b"A"}, overwrite=True, inbox=tmp_path / "out")
    assert run.publish(0, b"cutout") == "a (2).png"
    assert run.files()["a.png"] == b"A"


def test_the_one_name_is_had_or_the_photo_fails(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.jpg": b"A"}, exact="x.png")
    (run.out / "x.png").write_bytes(b"a stranger's")
    with pytest.raises(PhotoError, match="Another file has the name") as caught:
        run.publish(0, b"cutout")
    assert caught.value.reason is Reason.NAME_TAKEN
    assert run.files() == {"x.png": b"a stranger's"}
    (run.out / "x.png").write_bytes(b"cutout")
    assert run.publish(0, b"cutout") == "x.png", "exactly these bytes lie there"


def test_a_finished_file_that_is_gone_is_said_and_its_name_stays_free(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.jpg": b"A"})
    with pytest.raises(FileNotFoundError):
        run.publish(0, b"cutout", gone=True)
    assert run.publish(0, b"cutout") == "a.png"


def test_names_that_are_given_back_are_adopted_when_the_photo_is_done_again(tmp_path: Path) -> None:
    run = Run(tmp_path, {"a.jpg": b"A"})
    place = run.place(0, b"cutout")
    run.places.give_back([place])
    assert run.publish(0, b"cutout") == "a.png"
    assert run.files() == {"a.png": b"cutout"}
