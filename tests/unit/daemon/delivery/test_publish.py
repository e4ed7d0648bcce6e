"""Publication on real files, with a file system that fails at every call in turn."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.publish import How, Published, digest_of
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported
from cutoutd.daemon.files.names import Temporary, candidates
from cutoutd.daemon.files.temporary import write_temporary

DATA = b"a cutout " * 1000


class Unable(RealFileSystem):
    """A share that cannot rename without replacing."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(target))


def _temporary(folder: Path, photo: int = 1) -> bytes:
    return os.fsencode(folder / os.fsdecode(Temporary("ab12", photo, 0, 0).name()))


def _written(folder: Path, data: bytes = DATA, photo: int = 1) -> bytes:
    temporary = _temporary(folder, photo)
    write_temporary(os.fsencode(folder), temporary, data)
    return temporary


def _publish(folder: Path, temporary: bytes, data: bytes = DATA, **more: Any) -> Published:
    return publish.publish(os.fsencode(folder), b"a.png", temporary, digest_of(data), **more)  # type: ignore[arg-type]


def test_publication_gives_the_name_and_the_mode(tmp_path: Path) -> None:
    assert _publish(tmp_path, _written(tmp_path), mode=0o640) is Published.DONE
    assert (tmp_path / "a.png").read_bytes() == DATA
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("fs", [RealFileSystem(), Unable()])
def test_a_strangers_file_is_never_replaced(tmp_path: Path, fs: RealFileSystem) -> None:
    (tmp_path / "a.png").write_bytes(b"theirs")
    assert _publish(tmp_path, _written(tmp_path), fs=fs) is Published.TAKEN
    assert _publish(tmp_path, _written(tmp_path), replaces=digest_of(b"other"), fs=fs) is Published.TAKEN
    assert (tmp_path / "a.png").read_bytes() == b"theirs"


@pytest.mark.parametrize("fs", [RealFileSystem(), Unable()])
def test_our_own_is_replaced_in_one_step(tmp_path: Path, fs: RealFileSystem) -> None:
    (tmp_path / "a.png").write_bytes(b"ours, earlier")
    assert (
        _publish(tmp_path, _written(tmp_path), replaces=digest_of(b"ours, earlier"), fs=fs) is Published.DONE
    )
    assert (tmp_path / "a.png").read_bytes() == DATA


def test_a_folder_or_link_under_the_name_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("elsewhere")
    assert _publish(tmp_path, _written(tmp_path)) is Published.TAKEN
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()
    assert _publish(tmp_path, _written(tmp_path)) is Published.TAKEN


@pytest.mark.parametrize("fs", [RealFileSystem(), Unable()])
def test_a_crash_at_any_call_is_finished_by_repeating(tmp_path: Path, fs: RealFileSystem) -> None:
    """Whatever call a publication dies before, doing it again gives the name exactly once."""
    for replaces, nth in itertools.product((b"", b"ours, earlier"), range(1, 30)):
        folder = tmp_path / f"{bool(replaces)}-{nth}"
        folder.mkdir()
        if replaces:
            (folder / "a.png").write_bytes(replaces)
        named: dict[str, Any] = {"replaces": digest_of(replaces) if replaces else ""}
        temporary = _written(folder)
        dying = FaultyFileSystem(Fault("*", errno.EIO, nth=nth, times=-1), inner=fs)
        try:
            died = _publish(folder, temporary, fs=dying, **named) is not Published.DONE
        except OSError:
            died = True
        if not died and len(dying.calls) < nth:
            break
        assert _publish(folder, temporary, fs=fs, **named) is Published.DONE
        assert os.listdir(folder) == ["a.png"]
        assert (folder / "a.png").read_bytes() == DATA
    else:
        raise AssertionError("a publication has fewer calls than that")


def test_with_neither_name_nor_temporary_it_is_gone(tmp_path: Path) -> None:
    assert _publish(tmp_path, _temporary(tmp_path)) is Published.GONE
    (tmp_path / "a.png").write_bytes(b"theirs")
    assert _publish(tmp_path, _temporary(tmp_path)) is Published.GONE


def test_the_first_free_or_identical_name_is_found(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    (tmp_path / "a.png").write_bytes(b"theirs")
    (tmp_path / "a (3).png").write_bytes(DATA)
    digest = digest_of(DATA)

    def find(taken: frozenset[str]) -> publish.Place:
        names = candidates(b"", "a", ".png")
        return publish.find_place(root, names, taken=taken, digest=digest, size=len(DATA))

    assert (find(frozenset()).name, find(frozenset()).how) == (b"a (2).png", How.NEW)
    place = find(frozenset({"a (2).png"}))
    assert (place.name, place.how) == (b"a (3).png", How.ADOPT)
    assert find(frozenset({"a (2).png", "a (3).png"})).name == b"a (4).png"


def test_what_the_user_edited_is_no_longer_ours_to_replace(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    assert publish.may_replace(root, b"a.png", digest_of(DATA), len(DATA)) is How.NEW
    (tmp_path / "a.png").write_bytes(DATA)
    assert publish.may_replace(root, b"a.png", digest_of(DATA), len(DATA)) is How.REPLACE
    (tmp_path / "a.png").write_bytes(DATA[:-1] + b"!")
    assert publish.may_replace(root, b"a.png", digest_of(DATA), len(DATA)) is None


def test_a_file_that_may_not_be_read_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(DATA)
    fs = FaultyFileSystem(Fault("open", errno.EACCES, path=b"a.png", times=-1))
    assert publish.may_replace(os.fsencode(tmp_path), b"a.png", digest_of(DATA), len(DATA), fs) is None


def test_sweeping_takes_ours_and_old_foreign_temporaries_only(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ours, kept = _written(tmp_path / "sub", photo=1), _written(tmp_path, photo=2)
    foreign = tmp_path / ".cutoutd-ffff-1-0-0.part"
    foreign.write_bytes(b"")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"")
    now = os.stat(foreign).st_mtime
    assert publish.sweep(os.fsencode(tmp_path), "ab12", frozenset({kept}), now=now + 60) == 1
    assert not os.path.exists(ours)
    assert os.path.exists(kept)
    assert foreign.exists()
    assert publish.sweep(os.fsencode(tmp_path), "ab12", frozenset({kept}), now=now + 90_000) == 1
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".hidden", "a.png", "sub", os.fsdecode(os.path.basename(kept))]
    )


def test_discarding_what_is_gone_is_fine(tmp_path: Path) -> None:
    publish.discard([_temporary(tmp_path), os.fsencode(tmp_path / "no" / "folder")])
