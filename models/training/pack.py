"""Packs the data folder into parts small enough to carry to a GPU in steps, and unpacks them there.

Not for changing the data: photos and masks go as they are, they are compressed already::

    python -m cutoutd.models.training.pack pack DATA PARTS            # PARTS/part-00.tar ...
    python -m cutoutd.models.training.pack unpack PARTS /dev/shm/data

Needs nothing but the standard library, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cutoutd.models.training.terminal import say

FOLDERS: Final = ("segmentation", "cutouts_rgba", "backgrounds")
BLOCK: Final = 512  # tar rounds each file up to this and puts one more before it
PART_MIB: Final = 36


def parts(data: Path, limit: int) -> Iterator[list[Path]]:
    """The files in lists whose tar stays below `limit` bytes; a photo and its mask stay together."""
    groups: dict[Path, list[Path]] = {}
    for folder in FOLDERS:
        for path in sorted((data / folder).rglob("*")):
            if path.is_file():
                groups.setdefault(path.with_suffix(""), []).append(path)
    # 20 blocks end a tar file: tarfile fills up to a record of 10,240 bytes.
    used, chosen = 20 * BLOCK, list[Path]()
    for files in groups.values():
        size = sum(BLOCK + -(-path.stat().st_size // BLOCK) * BLOCK for path in files)
        if chosen and used + size > limit:
            yield chosen
            used, chosen = 20 * BLOCK, []
        used, chosen = used + size, chosen + files
    if chosen:
        yield chosen


def pack(data: Path, out: Path, limit: int) -> list[Path]:
    """Write the parts; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for number, files in enumerate(parts(data, limit)):
        target = out / f"part-{number:02}.tar"
        with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
            for path in files:
                tar.add(path, path.relative_to(data).as_posix(), filter=_anonymous)
        written.append(target)
    return written


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Equal data give equal parts: no owner, no time."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def unpack(folder: Path, out: Path) -> int:
    """Unpack every part into `out`; returns how many files there were."""
    count = 0
    for part in sorted(folder.glob("part-*.tar")):
        with tarfile.open(part) as tar:
            count += len(tar.getmembers())
            tar.extractall(out, filter="data")
    return count


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.pack", description=__doc__.split("\n")[0]
    )
    p.add_argument("action", choices=("pack", "unpack"))
    p.add_argument("source", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--part-mib", type=int, default=PART_MIB, help="largest part in MiB")
    options = p.parse_args()
    if options.action == "pack":
        for path in pack(options.source, options.out, options.part_mib << 20):
            say(f"{path} {path.stat().st_size}")
    else:
        say(f"{unpack(options.source, options.out)} files")


if __name__ == "__main__":
    main()
