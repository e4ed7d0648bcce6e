"""Publication on real files, with a file system that fails at every call in turn."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.digests import cutout_digest_of
from tests.support.faulty_filesystem import Fault, FaultyFileSystem
from tests.support.folders import give_default_acl

from cutoutd.daemon.delivery import publish
from cutoutd.daemon.delivery.publish import How, Published
from cutoutd.daemon.files.filesystem import RealFileSystem, RenameUnsupported
from cutoutd.daemon.files.names import Temporary, candidates
from cutoutd.daemon.files.temporary import write_temporary

DATA = b"a cutout " * 1000
FS = RealFileSystem(b"/")


class Unable(RealFileSystem):
    """A share that cannot rename without replacing."""

    def rename_noreplace(self, source: bytes, target: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(target))

    def exchange(self, one: bytes, other: bytes) -> None:
        raise RenameUnsupported(errno.EINVAL, "no", os.fsdecode(other))


class Unlinked(Unable):
    """One without links either."""

    def link(self, source: bytes, target: bytes) -> None:
        raise OSError(errno.EPERM, "no", os.fsdecode(target))


WAYS = (FS, Unable(b"/"), Unlinked(b"/"))


def _temporary(folder: Path, photo: int = 1) -> bytes:
    return os.fsencode(folder / os.fsdecode(Temporary("ab12", photo, 0, 0).name()))


def _written(folder: Path, data: bytes = DATA, photo: int = 1) -> bytes:
    temporary = _temporary(folder, photo)
    write_temporary(os.fsencode(folder), temporary, data)
    return temporary


def _publish(folder: Path, temporary: bytes, data: bytes = DATA, **more: Any) -> Published:
    more = {"fs": FS, "leases": True, **more}
    return publish.publish(os.fsencode(folder), b"a.png", temporary, cutout_digest_of(data), **more)


def test_publication_gives_the_name_and_the_mode(tmp_path: Path) -> None:
    assert _publish(tmp_path, _written(tmp_path), mode=0o640) is Published.DONE
    assert (tmp_path / "a.png").read_bytes() == DATA
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("fs", WAYS)
def test_a_strangers_file_is_never_replaced(tmp_path: Path, fs: RealFileSystem) -> None:
    (tmp_path / "a.png").write_bytes(b"theirs")
    assert _publish(tmp_path, _written(tmp_path), fs=fs) is Published.TAKEN
    assert (
        _publish(tmp_path, _written(tmp_path), replaces=cutout_digest_of(b"other"), fs=fs) is Published.TAKEN
    )
    assert (tmp_path / "a.png").read_bytes() == b"theirs"


@pytest.mark.parametrize("fs", WAYS)
def test_our_own_is_replaced_in_one_step(tmp_path: Path, fs: RealFileSystem) -> None:
    (tmp_path / "a.png").write_bytes(b"ours, earlier")
    assert (
        _publish(tmp_path, _written(tmp_path), replaces=cutout_digest_of(b"ours, earlier"), fs=fs)
        is Published.DONE
    )
    assert (tmp_path / "a.png").read_bytes() == DATA


def test_a_folder_or_link_under_the_name_counts_as_taken(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("elsewhere")
    assert _publish(tmp_path, _written(tmp_path)) is Published.TAKEN
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()
    assert _publish(tmp_path, _written(tmp_path)) is Published.TAKEN


@pytest.mark.parametrize("fs", WAYS)
def test_a_crash_at_any_call_is_finished_by_repeating(tmp_path: Path, fs: RealFileSystem) -> None:
    """Whatever call a publication dies before, doing it again gives the name exactly once."""
    for replaces, nth in itertools.product((b"", b"ours, earlier"), range(1, 30)):
        folder = tmp_path / f"{bool(replaces)}-{nth}"
        folder.mkdir()
        if replaces:
            (folder / "a.png").write_bytes(replaces)
        named: dict[str, Any] = {"replaces": cutout_digest_of(replaces) if replaces else ""}
        temporary = _written(folder)
        dying = FaultyFileSystem(Fault("*", errno.EIO, nth=nth, times=-1), inner=fs)
        try:
            died = _publish(folder, temporary, fs=dying, **named) is not Published.DONE
        except OSError:
            died = True
        if not died and len(dying.calls) < nth:
            break
        again = _publish(folder, temporary, fs=fs, **named)
        if isinstance(fs, Unlinked) and (folder / "a.png").read_bytes() == b"":
            # It died before its placeholder said whose it is: an empty file may be one that a user just saves.
            assert again is Published.TAKEN
            continue
        assert again is Published.DONE
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
    digest = cutout_digest_of(DATA)

    def find(taken: frozenset[str]) -> publish.Place:
        names = candidates(b"", "a", ".png")
        return publish.find_place(root, names, taken=taken, digest=digest, size=len(DATA), fs=FS)

    assert (find(frozenset()).name, find(frozenset()).how) == (b"a (2).png", How.NEW)
    place = find(frozenset({"a (2).png"}))
    assert (place.name, place.how) == (b"a (3).png", How.ADOPT)
    assert find(frozenset({"a (2).png", "a (3).png"})).name == b"a (4).png"


def test_what_the_user_edited_is_no_longer_ours_to_replace(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    assert publish.may_replace(root, b"a.png", cutout_digest_of(DATA), len(DATA), FS) is How.NEW
    (tmp_path / "a.png").write_bytes(DATA)
    assert publish.may_replace(root, b"a.png", cutout_digest_of(DATA), len(DATA), FS) is How.REPLACE
    (tmp_path / "a.png").write_bytes(DATA[:-1] + b"!")
    assert publish.may_replace(root, b"a.png", cutout_digest_of(DATA), len(DATA), FS) is None


def test_a_file_that_may_not_be_read_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(DATA)
    fs = FaultyFileSystem(Fault("open", errno.EACCES, path=b"a.png", times=-1))
    assert publish.may_replace(os.fsencode(tmp_path), b"a.png", cutout_digest_of(DATA), len(DATA), fs) is None


def test_discarding_what_is_gone_is_fine(tmp_path: Path) -> None:
    publish.discard([_temporary(tmp_path), os.fsencode(tmp_path / "no" / "folder")], FS)


def _swap_for(kind: str, path: bytes, victim: Path) -> None:
    os.unlink(path)
    match kind:
        case "link":
            os.symlink(victim, path)
        case "second name":
            os.link(victim, path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            os.mkdir(path)
        case _:
            Path(os.fsdecode(path)).write_bytes(b"x" * len(DATA))


KINDS = ("link", "second name", "pipe", "folder", "other file")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_swapped_in_for_a_temporary_is_neither_published_nor_changed(
    kind: str, tmp_path: Path
) -> None:
    outbox, victim = tmp_path / "outbox", tmp_path / "victim"
    outbox.mkdir()
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    temporary = _written(outbox)
    _swap_for(kind, temporary, victim)
    fs = RealFileSystem(os.fsencode(outbox))
    assert _publish(outbox, temporary, fs=fs, mode=0o666) is Published.GONE
    assert not os.path.lexists(outbox / "a.png")
    assert (victim.read_bytes(), victim.stat().st_mode & 0o777) == (b"precious", 0o600)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_temporary_swapped_at_the_last_moment_is_not_called_published(
    kind: str, way: RealFileSystem, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    temporary = _written(tmp_path)

    class Swapping(FaultyFileSystem):
        def fchmod(self, fd: int, mode: int) -> None:
            super().fchmod(fd, mode)
            _swap_for(kind, temporary, victim)

    outcome: Published | None = None
    with contextlib.suppress(OSError):
        outcome = _publish(
            tmp_path, temporary, fs=Swapping(inner=way), size=len(DATA), fresh=True, mode=0o666
        )
    assert outcome is not Published.DONE
    assert (victim.read_bytes(), victim.stat().st_mode & 0o777) == (b"precious", 0o600)


def test_a_folder_swapped_for_a_link_takes_nothing_outside(tmp_path: Path) -> None:
    """Before and while a cutout is published into a sub-folder, at each call."""
    for nth in range(12):
        outbox, outside = tmp_path / f"{nth}" / "outbox", tmp_path / f"{nth}" / "outside"
        (outbox / "sub").mkdir(parents=True)
        outside.mkdir()
        temporary = _written(outbox / "sub")
        (outside / os.path.basename(os.fsdecode(temporary))).write_bytes(DATA)
        (outside / "a.png").write_bytes(b"ours, earlier")
        (outbox / "sub" / "a.png").write_bytes(b"ours, earlier")
        before = {path.name: path.read_bytes() for path in outside.iterdir()}

        class Swapping(FaultyFileSystem):
            def gate(self, call: str, *paths: bytes) -> Fault | None:
                if len(self.calls) == nth:  # noqa: B023 - used within this turn
                    (outbox / "sub").rename(outbox / "away")  # noqa: B023
                    (outbox / "sub").symlink_to(outside)  # noqa: B023
                return super().gate(call, *paths)

        fs = Swapping(inner=RealFileSystem(os.fsencode(outbox)))
        with contextlib.suppress(OSError):
            publish.publish(
                os.fsencode(outbox), b"sub/a.png", temporary, cutout_digest_of(DATA), fs=fs,
                replaces=cutout_digest_of(b"ours, earlier"), mode=0o666,
            )  # fmt: skip
        assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
        assert (outside / "a.png").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("moment", ["before", "at the exchange"])
@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
def test_a_version_that_the_user_just_saves_is_never_replaced(
    moment: str, *, truncated: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"ours, earlier")
    temporary = _written(tmp_path)
    opened: list[Any] = []

    def save() -> None:
        opened.append((tmp_path / "a.png").open("wb" if truncated else "r+b"))

    class Saving(FaultyFileSystem):
        def exchange(self, one: bytes, other: bytes) -> None:
            if moment == "at the exchange" and not opened:
                save()
            super().exchange(one, other)

    if moment == "before":
        save()
    fs = Saving()
    outcome = _publish(tmp_path, temporary, fs=fs, replaces=cutout_digest_of(b"ours, earlier"))
    opened[0].write(b"the user's version")
    opened[0].close()
    assert outcome is Published.TAKEN
    assert (tmp_path / "a.png").read_bytes() == b"the user's version"
    assert Path(os.fsdecode(temporary)).read_bytes() == DATA


def test_where_leases_say_nothing_about_writers_they_are_not_asked(tmp_path: Path) -> None:
    """A share refuses leases for reasons of its own: each cutout that is made again would get another name."""
    (tmp_path / "a.png").write_bytes(b"ours, earlier")
    with (tmp_path / "a.png").open("r+b"):
        outcome = _publish(
            tmp_path, _written(tmp_path), replaces=cutout_digest_of(b"ours, earlier"), leases=False
        )
    assert outcome is Published.DONE
    assert (tmp_path / "a.png").read_bytes() == DATA


@pytest.mark.parametrize("fs", WAYS)
def test_an_empty_file_is_never_taken_for_a_placeholder(fs: RealFileSystem, tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as saving:
        for replaces in ("", cutout_digest_of(b"ours, earlier")):
            assert _publish(tmp_path, _written(tmp_path), fs=fs, replaces=replaces) is Published.TAKEN
        saving.write(b"a stranger's")
    assert (tmp_path / "a.png").read_bytes() == b"a stranger's"


# As large as a file on ext4 may be: hours of reading.
SPARSE_BYTES = (1 << 43) + 1


def _sparse(path: Path | bytes) -> None:
    with open(path, "wb") as file:
        os.truncate(file.fileno(), SPARSE_BYTES)


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("where", ["temporary", "name", "both"])
def test_a_file_with_huge_holes_in_place_of_ours_is_not_read(
    tmp_path: Path, where: str, *, fresh: bool
) -> None:
    """A worker that was taken over, or a neighbour, puts it there."""
    temporary, fs = _written(tmp_path), FaultyFileSystem()
    if where in ("temporary", "both"):
        _sparse(temporary)
    if where in ("name", "both"):
        _sparse(tmp_path / "a.png")
    outcome = _publish(
        tmp_path,
        temporary,
        fs=fs,
        size=len(DATA),
        fresh=fresh,
        replaces=cutout_digest_of(b"earlier"),
        replaces_size=7,
    )
    assert outcome is (Published.TAKEN if where == "name" else Published.GONE)
    assert fs.counts()["read"] <= 2  # of our own temporary


def test_a_folder_full_of_files_of_our_name_and_size_is_not_read_for_each_cutout(tmp_path: Path) -> None:
    names = [b"a-%d.png" % number for number in range(3 * publish.MOST_COMPARED)]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"X" * len(DATA))
    fs = FaultyFileSystem()
    place = publish.find_place(
        os.fsencode(tmp_path),
        [*names, b"free.png"],
        taken=frozenset[str](),
        digest=cutout_digest_of(DATA),
        size=len(DATA),
        fs=fs,
    )
    assert (place.name, place.how) == (b"free.png", How.NEW)
    assert fs.counts()["open"] == publish.MOST_COMPARED


def test_what_was_given_up_is_known_by_its_size_first(tmp_path: Path) -> None:
    _sparse(tmp_path / "a.png")
    root, fs = os.fsencode(tmp_path), FaultyFileSystem()
    gone = {"a.png": {cutout_digest_of(b"gone"): 4}}
    names = [b"a.png", b"b.png"]
    place = publish.find_place(
        root,
        names,
        taken=frozenset[str](),
        digest=cutout_digest_of(DATA),
        size=len(DATA),
        fs=fs,
        given_up=gone,
    )
    assert place.name == b"b.png"
    assert "read" not in fs.counts()
    (tmp_path / "a.png").write_bytes(b"gone")
    place = publish.find_place(
        root,
        names,
        taken=frozenset[str](),
        digest=cutout_digest_of(DATA),
        size=len(DATA),
        fs=fs,
        given_up=gone,
    )
    assert (place.name, place.how, place.replaces) == (b"a.png", How.REPLACE, cutout_digest_of(b"gone"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("rights", "mode"), [((6, 6, 0), 0o660), ((6, 0, 0), 0o600), ((7, 5, 5), 0o644)])
def test_a_folder_that_gives_rights_of_its_own_gives_them_to_cutouts_too(
    tmp_path: Path, way: RealFileSystem, rights: tuple[int, int, int], mode: int
) -> None:
    """A shared folder of a team: cutouts were open to others, and the team could not write them."""
    user, group, others = rights
    give_default_acl(tmp_path, user=user, group=group, others=others)
    before = os.umask(0o077)
    try:
        outcome = _publish(tmp_path, _written(tmp_path), fs=way, mode=0o644)
    finally:
        os.umask(before)
    assert outcome is Published.DONE
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == mode
