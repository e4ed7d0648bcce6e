"""Which file system a folder lies on, and whether that is still the one it should be; mounts nothing."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path, PurePosixPath

from msgspec import Struct
from msgspec.structs import asdict

_UNKNOWN = "unknown"

# Kinds whose names may not hold everything that a camera or a Mac writes. "fuseblk": NTFS or exFAT by a program.
PLAIN_NAMES = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "smbfs"})

# Kinds whose files other machines (or the host of a virtual machine) change without this kernel's knowledge:
# a write from here gives an event, a camera's write to the same share does not. A probe cannot tell.
POLLED_KINDS: dict[str, str] = {
    "9p": "WSL and virtual machines",
    "acfs": "cluster",
    "afs": "network share",
    "beegfs": "cluster",
    "ceph": "cluster",
    "cifs": "Windows share",
    "coda": "network share",
    "davfs": "WebDAV",
    "fakeowner": "Docker Desktop",
    "fuse": "unknown program",
    "gfs2": "cluster",
    "glusterfs": "cluster",
    "gpfs": "cluster",
    "lustre": "cluster",
    "ncpfs": "network share",
    "nfs": "network share",
    "nfs4": "network share",
    "ocfs2": "cluster",
    "orangefs": "cluster",
    "prl_fs": "Parallels shared folder",
    "smb3": "Windows share",
    "smbfs": "Windows share",
    "vboxsf": "VirtualBox shared folder",
    "virtiofs": "virtual machine's shared folder",
    "vmhgfs": "VMware shared folder",
    "webdav": "WebDAV",
}

# Programs in user space whose files change through this kernel only; every other `fuse.…` is polled.
LOCAL_FUSE = frozenset(
    {"fuse.cryfs", "fuse.encfs", "fuse.gocryptfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.veracrypt"}
)


class MountIdentity(Struct, frozen=True):
    """Which file system a folder lies on, and where in it.

    Attributes:
        source: device, share or name as mounted, e.g. `/dev/sda1`, `nas:/photos`, `tmpfs`; empty if unknown.
        fstype: e.g. `ext4`, `nfs4`, `cifs`, `fuse.sshfs`; `unknown` where the system does not say.
        mount_point: the folder at which that file system is mounted, as seen by this process.
        place: the folder's own path *within* its file system. It stays the same under bind mounts and in a
            service's private view of the files, where mount points differ.
        is_own_mount: whether the folder itself is a mount point.
    """

    source: str
    fstype: str
    mount_point: str
    place: str
    is_own_mount: bool

    def to_json(self) -> str:
        """One line of ASCII for the ledger."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> MountIdentity:
        """The identity that `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
        return cls(**json.loads(text))


class _Mount(Struct, frozen=True):
    number: int
    root: str
    mount_point: str
    fstype: str
    source: str


def inode_of(folder: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, to which rules of the kernel bind; None where it is not there."""
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def identify(folder: Path) -> MountIdentity:
    """The mount that a folder lies on. Opening it wakes an automounter; on a hung share this call hangs too.

    Raises:
        OSError: the folder does not exist or may not be looked at.
    """
    real = Path(os.path.realpath(folder, strict=True))
    if sys.platform != "linux":
        return _identify_by_device(real)
    try:
        number = _mount_number(real)
        table = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        real.stat()  # the folder itself may have gone meanwhile; else there is no /proc here, or not for us
        return _identify_by_device(real)
    mounts = parse_mountinfo(b"\n".join(line for line in table if line.startswith(b"%d " % number)))
    mount = next(iter(mounts), None)
    if mount is None:  # a mount outside this process's view, e.g. behind a chroot
        return _identify_by_device(real)
    inside = below(str(real), mount.mount_point)
    return MountIdentity(
        source=mount.source,
        fstype=mount.fstype,
        mount_point=mount.mount_point,
        place=str(PurePosixPath(mount.root) / inside),
        is_own_mount=inside == "",
    )


def filesystem_kind(path: Path) -> str:
    """The file system's type by its kernel name (`ext4`, `cifs`, `fuse.sshfs`); `unknown` where none is told.

    Raises:
        OSError: the folder cannot be looked at.
    """
    return identify(path).fstype


def needs_polling(kind: str) -> bool:
    """Whether changes on this kind of file system may come without an event."""
    return kind in POLLED_KINDS or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def takes_plain_names_only(kind: str) -> bool:
    """Whether names on this kind of file system may not hold everything that a camera or a Mac writes."""
    return kind in PLAIN_NAMES


def mounts_without_events(folder: Path) -> list[tuple[bytes, MountIdentity]]:
    """The shares that are mounted below a folder, each with its path there; empty where no table of mounts is read.

    Raises:
        OSError: the folder does not exist or may not be looked at.
    """
    real = os.path.realpath(folder, strict=True)
    inside = ((below(mount.mount_point, real), mount) for mount in _mounts() if needs_polling(mount.fstype))
    return [
        (
            os.fsencode(path),
            MountIdentity(mount.source, mount.fstype, mount.mount_point, mount.root, is_own_mount=True),
        )
        for path, mount in inside
        if path
    ]


def mounts_below(folder: Path) -> frozenset[tuple[int, str]]:
    """What is mounted below a folder, as numbers and places.

    When that changes, other files lie there, and no event tells. What an automounter mounts is left out: it comes and
    goes by itself.

    Raises:
        OSError: the folder does not exist or may not be looked at.
    """
    real = os.path.realpath(folder, strict=True)
    inside = [mount for mount in _mounts() if below(mount.mount_point, real)]
    automatic = [mount.mount_point for mount in inside if mount.fstype == "autofs"]
    return frozenset(
        (mount.number, mount.mount_point)
        for mount in inside
        if not any(mount.mount_point == point or below(mount.mount_point, point) for point in automatic)
    )


def _mounts() -> list[_Mount]:
    """All that this process sees; empty where no table of them is read."""
    try:
        return parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return []


def same_place(now: MountIdentity, recorded: MountIdentity) -> bool:
    """The same place of the same file system, wherever it may be mounted."""
    return (now.fstype, now.source, now.place) == (recorded.fstype, recorded.source, recorded.place)


def parse_mountinfo(text: bytes) -> list[_Mount]:
    """The lines of /proc/self/mountinfo (proc(5)); spaces and the like in names are octal escapes."""
    mounts: list[_Mount] = []
    for line in text.splitlines():
        fields = line.split(b" ")
        try:
            dash = fields.index(b"-", 6)
            number, root, point = int(fields[0]), fields[3], fields[4]
            fstype, source = fields[dash + 1], fields[dash + 2]
        except (ValueError, IndexError):
            continue  # a line in a form that this program does not know
        mounts.append(_Mount(number, _plain(root), _plain(point), _plain(fstype), _plain(source)))
    return mounts


def _plain(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def _mount_number(folder: Path) -> int:
    """The kernel's number of the mount that a folder lies on, also under stacked and bind mounts."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii")
    finally:
        os.close(fd)
    match = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else -1


def below(path: str, ancestor: str) -> str:
    """Path relative to ancestor: empty when equal or not below it."""
    if path == ancestor:
        return ""
    prefix = ancestor if ancestor.endswith("/") else ancestor + "/"
    return path[len(prefix) :] if path.startswith(prefix) else ""


def _identify_by_device(real: Path) -> MountIdentity:
    """Where the system has no mount table to read (macOS): the mount point is where the device changes."""
    point = real
    while not os.path.ismount(point):
        point = point.parent
    inside = below(str(real), str(point))
    return MountIdentity("", _UNKNOWN, str(point), "/" + inside, is_own_mount=inside == "")
