"""Real tmpfs and bind mounts in a mount namespace of their own, and tables of mounts as other machines have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.daemon.files import mounts
from cutoutd.daemon.files.mounts import (
    MountIdentity,
    identify,
    mounts_without_events,
    needs_polling,
    parse_mountinfo,
)
from cutoutd.daemon.files.usable import Usable, can_be_used

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/mountinfo")

NFS = MountIdentity("nas:/photos", "nfs4", "/mnt/nas", "/in", is_own_mount=False)
ROOT = MountIdentity("/dev/sda1", "ext4", "/", "/mnt/nas/in", is_own_mount=False)


class Shell:
    """A shell in a mount namespace of its own: what it mounts, only it sees, and it ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, script: str) -> list[str]:
        """The lines that `tell FOLDER` printed: the identity of a folder, or its verdict against a recorded one."""
        prelude = f"""
set -e
cd {self.folder}
tell() {{ {sys.executable} -c '
import sys
from pathlib import Path
from cutoutd.daemon.files.mounts import MountIdentity, identify
from cutoutd.daemon.files.usable import can_be_used
record = Path(sys.argv[2])
if record.exists():
    answer = can_be_used(Path(sys.argv[1]), MountIdentity.from_json(record.read_text()))
    print(bool(answer), answer.sentence)
else:
    record.write_text(identify(Path(sys.argv[1])).to_json())
    print(record.read_text())
' "$1" "${{2:-record}}"; }}
"""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", prelude + script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    works = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    if not works:
        pytest.skip("needs the right to make a mount namespace (root)")
    return Shell(tmp_path)


def test_a_mounted_share_is_there_gone_when_unmounted_and_back_when_remounted(shell: Shell) -> None:
    told = shell.run("""
mkdir share; mount -t tmpfs first share; mkdir share/in
tell share/in
tell share/in
umount share; mkdir share/in
tell share/in
mount -t tmpfs first share; mkdir share/in
tell share/in
""")
    assert '"fstype": "tmpfs"' in told[0]
    assert told[1] == "True "
    assert told[2].startswith("False ")
    assert "is not mounted" in told[2]
    assert str(shell.folder / "share") in told[2]
    assert told[3] == "True "


def test_a_folder_that_is_itself_the_mount(shell: Shell) -> None:
    told = shell.run("""
mkdir in; mount -t tmpfs card in; tell in; umount in; tell in; mount -t tmpfs other in; tell in
""")
    assert '"is_own_mount": true' in told[0]
    assert told[1].startswith("False ")
    assert told[2] == "True "  # another card in the same reader


def test_a_tmpfs_on_a_tmpfs_is_told_apart_though_source_and_type_are_equal(shell: Shell) -> None:
    told = shell.run("""
mkdir base; mount -t tmpfs tmpfs base; mkdir base/in; mount -t tmpfs tmpfs base/in
tell base/in; tell base/in; umount base/in; tell base/in
""")
    assert [line.split(" ")[0] for line in told[1:]] == ["True", "False"]


def test_a_bind_mount_of_the_same_disk_is_told_apart_from_what_lies_beneath(shell: Shell) -> None:
    told = shell.run("""
mkdir real in; mount --bind real in; tell in; tell in; umount in; tell in
""")
    assert [line.split(" ")[0] for line in told[1:]] == ["True", "False"]


def test_a_services_private_view_of_the_files_is_the_same_place(shell: Shell) -> None:
    """systemd binds writable folders onto themselves: own mount points there, none in the user's shell."""
    told = shell.run("""
mkdir in; mount --bind in in; tell in; umount in; tell in
rm record; tell in; mount --bind in in; tell in
""")
    assert '"is_own_mount": true' in told[0]
    assert told[1] == "True "
    assert told[3] == "True "


def test_a_share_mounted_over_a_plain_folder_is_there(shell: Shell) -> None:
    told = shell.run("mkdir in; tell in; mount -t tmpfs late in; tell in")
    assert told[1] == "True "


def test_spaces_and_odd_bytes_in_mount_points(shell: Shell) -> None:
    odd = shell.folder / os.fsdecode(b"my \xff card\ttab")
    told = shell.run("""
d=$(printf 'my \\377 card\\ttab'); mkdir "$d"; mount -t tmpfs card "$d"; tell "$d"; tell "$d"; umount "$d"; tell "$d"
""")
    assert MountIdentity.from_json(told[0]).mount_point == str(odd)
    assert [line.split(" ")[0] for line in told[1:]] == ["True", "False"]


def test_a_plain_folder_stays_there(tmp_path: Path) -> None:
    recorded = identify(tmp_path)
    assert can_be_used(tmp_path, recorded)
    assert can_be_used(tmp_path, None)
    assert MountIdentity.from_json(recorded.to_json()) == recorded


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert identify(tmp_path / "link") == identify(tmp_path / "real")


def test_the_mount_table_of_other_machines() -> None:
    text = (
        b"22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"30 22 0:45 /@home/u\\040v /mnt/a\\134b rw master:2 shared:9 - btrfs /dev/mapper/x rw,subvol=/@home\n"
        b"31 22 0:50 / /mnt/nas rw - nfs4 nas:/photos rw,addr=10.0.0.2\n"
        b"a line from the future\n"
    )
    table = [
        (mount.number, mount.root, mount.mount_point, mount.fstype, mount.source)
        for mount in parse_mountinfo(text)
    ]
    assert table == [
        (22, "/", "/", "ext4", "/dev/vda"),
        (30, "/@home/u v", "/mnt/a\\b", "btrfs", "/dev/mapper/x"),
        (31, "/", "/mnt/nas", "nfs4", "nas:/photos"),
    ]


def test_without_a_mount_table_the_device_number_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = identify(tmp_path)
    assert os.path.ismount(found.mount_point)
    assert os.path.join(found.mount_point, found.place.lstrip("/")) == os.path.realpath(tmp_path)
    assert identify(Path("/")).is_own_mount


@linux
def test_the_kind_of_a_file_system() -> None:
    assert mounts.filesystem_kind(Path("/proc")) == "proc"


@pytest.mark.parametrize(
    ("kind", "poll"),
    [
        ("ext4", False),
        ("btrfs", False),
        ("tmpfs", False),
        ("overlay", False),
        ("unknown", False),
        ("fuseblk", False),  # ntfs-3g and exfat on a local disk
        ("fuse.gocryptfs", False),
        ("cifs", True),
        ("smb3", True),
        ("nfs", True),
        ("nfs4", True),
        ("9p", True),
        ("vboxsf", True),
        ("fuse.sshfs", True),
        ("fuse.rclone", True),
        ("fuse", True),
    ],
)
def test_which_kinds_need_polling(kind: str, poll: bool) -> None:
    assert needs_polling(kind) is poll


@linux
def test_without_proc_a_folder_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing mount table is not a missing folder."""
    known = identify(tmp_path)

    def refuse(folder: Path) -> int:
        raise FileNotFoundError(2, "No such file or directory", "/proc/self/fdinfo/3")

    monkeypatch.setattr(mounts, "_mount_number", refuse)
    assert identify(tmp_path).fstype == "unknown"
    assert can_be_used(tmp_path, None)
    assert can_be_used(tmp_path, known)
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "gone")
    assert can_be_used(tmp_path / "gone", None).usable is Usable.MISSING


@linux
def test_shares_below_a_folder_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of mounts is the real one; /proc stands for a share."""

    def only_proc(kind: str) -> bool:
        return kind == "proc"

    monkeypatch.setattr(mounts, "needs_polling", only_proc)
    assert (b"proc", "proc") in [(path, mount.fstype) for path, mount in mounts_without_events(Path("/"))]
    assert mounts_without_events(Path("/proc")) == []  # the folder itself is another question
    with pytest.raises(FileNotFoundError):
        mounts_without_events(Path("/gone"))


def test_what_is_mounted_below_a_folder_and_not_by_an_automounter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "{} 22 0:5 / {} rw - {} source rw\n"
    points = {31: (tmp_path, "ext4"), 32: (tmp_path / "card", "vfat"), 33: (tmp_path / "auto", "autofs")}
    points |= {34: (tmp_path / "auto" / "share", "nfs4"), 35: (tmp_path.parent / "beside", "ext4")}
    table = "".join(line.format(number, path, kind) for number, (path, kind) in points.items()).encode()

    def read(_self: Path) -> bytes:
        return table

    monkeypatch.setattr(Path, "read_bytes", read)
    assert mounts.mounts_below(tmp_path) == {(32, str(tmp_path / "card"))}
