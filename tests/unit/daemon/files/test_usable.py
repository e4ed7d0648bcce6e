"""Whether a folder can be used, what is wrong with it, and when it is looked at again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.daemon.backoff import NEVER, Retry
from cutoutd.daemon.files import usable
from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.files.usable import FolderUse, Usable, by_root_alone, can_be_used, must_be_usable

NFS = MountIdentity("nas:/photos", "nfs4", "/mnt/nas", "/in", is_own_mount=False)
ROOT = MountIdentity("/dev/sda1", "ext4", "/", "/mnt/nas/in", is_own_mount=False)


@pytest.mark.parametrize(
    ("now", "recorded", "there"),
    [
        (NFS, NFS, True),
        (ROOT, NFS, False),  # the share is gone, its empty mount point shows
        (NFS, ROOT, True),  # the share came after the first start
        (replace(NFS, source="nas2:/photos"), NFS, True),  # moved to another server
        (MountIdentity("systemd-1", "autofs", "/mnt/nas", "/in", is_own_mount=False), NFS, False),
        (replace(ROOT, source="/dev/nvme0n1p2"), ROOT, True),  # the system moved to a new disk
        (replace(NFS, mount_point="/private/view"), NFS, True),  # the same place, seen elsewhere
        (  # two shares, one mounted below the other
            MountIdentity("nas:/", "nfs4", "/mnt", "/nas/in", is_own_mount=False),
            NFS,
            False,
        ),
    ],
)
def test_which_change_of_mounts_means_missing(
    now: MountIdentity, recorded: MountIdentity, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(folder: Path) -> MountIdentity:
        return now

    monkeypatch.setattr(usable, "identify", pretend)
    answer = can_be_used(tmp_path, recorded)
    assert answer.usable is (Usable.YES if there else Usable.NOT_MOUNTED)
    assert bool(answer) is there
    assert bool(answer.sentence) is not there


def test_a_hung_or_broken_share_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> MountIdentity:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(usable, "identify", broken)
    answer = can_be_used(tmp_path, NFS)
    assert answer.usable is Usable.UNREACHABLE
    assert "Transport endpoint" in answer.sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that its workers have not")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "alone"),
    [
        (4321, 4321, 0o755, True),
        (4321, 4321, 0o777, False),
        (4321, 4321, 0o1777, False),
        (4321, 0, 0o775, False),
        (4321, 4321, 0o775, True),
        (0, 0, 0o755, False),
        (0, 0, 0o555, True),
    ],
)
def test_where_root_alone_may_write(tmp_path: Path, owner: int, group: int, mode: int, alone: bool) -> None:
    tmp_path.chmod(mode)
    os.chown(tmp_path, owner, group)
    assert by_root_alone(tmp_path) is alone


def test_a_missing_folder_and_a_file_in_its_place_are_not_there(tmp_path: Path) -> None:
    answer = can_be_used(tmp_path / "gone", None)
    assert answer.usable is Usable.MISSING
    assert "does not exist" in answer.sentence
    (tmp_path / "file").touch()
    answer = can_be_used(tmp_path / "file", None)
    assert answer.usable is Usable.NOT_A_FOLDER
    assert str(tmp_path / "file") in answer.sentence
    assert not by_root_alone(tmp_path / "file")  # root's rights would not help


def test_whoever_needs_it_is_told_by_an_error_of_the_system(tmp_path: Path) -> None:
    must_be_usable(tmp_path, None)
    with pytest.raises(OSError, match="does not exist") as caught:
        must_be_usable(tmp_path / "gone", None)
    assert caught.value.errno == errno.ENODEV


def test_a_folder_in_trouble_is_looked_at_after_pauses_that_grow_until_something_goes_well() -> None:
    use = FolderUse(Retry(1.0, 3.0))
    assert use.due() == NEVER  # nobody has looked yet
    looks: list[float] = []
    for _ in range(3):
        use.failed("full", 100.0)
        looks.append(use.due() - 100.0)
    assert (use.open, use.trouble, looks) == (False, "full", [1.0, 2.0, 3.0])
    use.opened()
    assert (use.open, use.trouble, use.due()) == (True, "", NEVER)
    use.failed("full again", 200.0)
    assert use.due() == 203.0  # being there is not yet being well
    use.opened()
    use.retry.well()
    use.failed("and again", 300.0)
    assert use.due() == 301.0


def test_one_that_is_being_looked_at_is_not_looked_at_twice() -> None:
    use = FolderUse(Retry(1.0, 3.0, at=5.0))
    assert use.due() == 5.0
    use.opening = True
    use.failed("a write failed meanwhile", 6.0)
    assert (use.due(), use.opening) == (NEVER, True)
    use.opened()
    assert (use.open, use.opening) == (True, False)
