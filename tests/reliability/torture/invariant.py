"""The promise, checked from outside: files on disk and rows in the ledger, against what the harness itself threw."""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tests.reliability.torture.world import Content, World

# What a photo may be blamed for while workers and daemons are killed, hung and starved with it in hand, and while a
# link lies in the place of its outbox folder. It is tried once more in peace, and then no good frame may fail for
# anything.
BLAME_FOR_ATTACKS = {"crashed", "too-slow", "out-of-memory", "cannot-render"}


@dataclass
class Verdict:
    """What a run came to; every figure but `photos` and `cutouts` must be zero."""

    photos: int = 0
    cutouts: int = 0
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    harmed: list[str] = field(default_factory=list[str])
    other: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.harmed or self.other)


def shows(cutout: Path, contents: dict[str, Content]) -> str | None:
    """The digest of the frame that a whole, clean cutout was made from; None when it is none of ours.

    Raises:
        ValueError: it is not whole, or carries what it must not.
    """
    data = cutout.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            rgba = np.asarray(image)
            info = dict(image.info)
    except OSError as error:
        raise ValueError(f"not whole: {error}") from error
    if rgba.ndim != 3 or rgba.shape[2] != 4:
        raise ValueError(f"no RGBA: {rgba.shape}")
    if info:
        raise ValueError(f"metadata: {sorted(info)}")
    alpha = rgba[..., 3]
    if rgba[alpha == 0][:, :3].any():
        raise ValueError("colours under alpha 0")
    opaque = alpha == 255
    if opaque.sum() < 20:
        raise ValueError("hardly anything is opaque")
    for digest, content in contents.items():
        if content.rgb.shape[:2] == alpha.shape and (
            np.abs(rgba[opaque][:, :3].astype(int) - content.rgb[opaque]).max() <= 3
        ):
            return digest
    return None


def check(world: World) -> Verdict:
    """Looks at everything after a clean stop."""
    daemon = world.daemon
    verdict = Verdict()
    contents = {c.digest: c for versions in world.frames.values() for c in versions}
    lying = _originals(world, verdict)
    made = _cutouts(world, contents, verdict)
    verdict.photos = len(contents)
    verdict.cutouts = sum(made.values())
    rows = daemon.rows()
    for row in rows:
        if row["state"] in ("pending", "running", "delivering"):
            verdict.lost.append(f"still owed: {row['path']!r} {row['state']} {row['reason']} {row['detail']}")
    for digest, paths in lying.items():
        _account(world, digest, paths, made, rows, verdict)
    current = set(lying)
    if not world.lost_ledger:
        for digest, count in made.items():
            names = [
                name for name, versions in world.frames.items() if any(c.digest == digest for c in versions)
            ]
            # One that `once` cut out beside the daemon has two by right.
            if count > 1 + any(name in world.frozen for name in names) and digest not in current:
                verdict.doubled.append(f"{count} cutouts of {names}, which is gone, in {daemon.outputs()}")
    verdict.other += [f"left over: {path}" for path in _leftovers(world)]
    verdict.other += world.findings + daemon.bad_exits
    if (integrity := daemon.integrity()) != "ok":
        verdict.other.append(f"ledger: {integrity}")
    verdict.other += [f"in the log: {text}" for text in tracebacks(daemon.logs())]
    if world.elsewhere_before and world.elsewhere_now() != world.elsewhere_before:
        verdict.harmed.append("what a neighbour's links led to was changed")
    verdict.harmed += _junk_gone(world)
    for name, data in world.theirs.items():
        path = daemon.outbox / name
        if not path.exists() or path.read_bytes() != data:
            verdict.harmed.append(f"the user's own {name} in the outbox was changed")
    return verdict


def tracebacks(logs: str) -> list[str]:
    """Tracebacks in the logs, but for three that are none of ours.

    A process that Python is starting when its daemon is killed says EOFError before a line of ours ran, and
    MemoryError, or that a library cannot be mapped, when it is starved then; libfaketime makes watchdog's sleep fail
    when the faked clock jumps during it.
    """
    harmless = ("EOFError", "BrokenPipe", "MemoryError", "failed to map segment")
    found = logs.split("Traceback (most recent call last):")[1:]
    return [
        text[:1500]
        for text in found
        if not ("multiprocessing/spawn.py" in text and any(name in text for name in harmless))
        and "watchdog/utils/delayed_queue.py" not in text
    ]


def _junk_gone(world: World) -> list[str]:
    """What can be no cutout is still somebody's file: here, or where failed ones go, byte for byte."""
    folders = (world.daemon.inbox, world.daemon.failed)
    lying = [
        path.read_bytes()
        for folder in folders
        if folder.exists()
        for path in folder.rglob("*.jpg")
        if path.is_file() and not path.is_symlink()
    ]
    return [
        f"{name}, which fails, is gone or changed" for name, data in world.junk.items() if data not in lying
    ]


def _originals(world: World, verdict: Verdict) -> dict[str, list[str]]:
    """By digest, the paths of all frames that lie in the inbox or the archive; notes harmed ones."""
    by_bytes: dict[bytes, list[str]] = {}
    for root in (world.daemon.inbox, world.daemon.archive, world.daemon.failed):
        for path in sorted(root.rglob("*")) if root.exists() else ():
            if path.is_file() and not path.is_symlink():
                by_bytes.setdefault(path.read_bytes(), []).append(os.fspath(path))
    lying: dict[str, list[str]] = {}
    for name, versions in world.frames.items():
        last = versions[-1]
        if last.data in by_bytes:
            lying[last.digest] = by_bytes[last.data]
        elif name not in world.left:
            verdict.harmed.append(f"the original {name!r} is gone or changed")
    for content in {c.digest: c for versions in world.frames.values() for c in versions}.values():
        if content.data in by_bytes:
            lying[content.digest] = by_bytes[content.data]  # an earlier frame that was archived
    return lying


def _cutouts(world: World, contents: dict[str, Content], verdict: Verdict) -> Counter[str]:
    """How many cutouts of each frame lie in the outbox; notes those that are broken or of nothing we know."""
    made: Counter[str] = Counter()
    for name in world.daemon.outputs():
        if name in world.theirs or name == "filler":
            continue
        try:
            digest = shows(world.daemon.outbox / name, contents)
        except ValueError as error:
            verdict.harmed.append(f"the cutout {name} is {error}")
            continue
        if digest is None:
            verdict.other.append(f"the cutout {name} shows no photo that was thrown")
        else:
            made[digest] += 1
    return made


def _account(
    world: World,
    digest: str,
    paths: list[str],
    made: Counter[str],
    rows: list[dict[str, object]],
    verdict: Verdict,
) -> None:
    """One frame that lies somewhere: as many cutouts as it lies there."""
    names = sorted(
        name for name, versions in world.frames.items() if any(c.digest == digest for c in versions)
    )
    count, touched = made[digest], any(name in world.frozen for name in names)
    inbox = os.fsencode(world.daemon.inbox) + b"/"
    inside = [os.fsencode(path)[len(inbox) :] for path in paths if os.fsencode(path).startswith(inbox)]
    failed = [row for row in rows if row["path"] in inside and row["live"] and row["state"] == "failed"]
    if failed:
        verdict.other.append(f"{names} is blamed: {failed[0]['reason']}: {failed[0]['detail']}")
    if count == 0 and not failed and not touched:
        verdict.lost.append(f"no cutout of {names} ({paths})")
    # A ledger that was lost after a photo was renamed does not know the cutout under its former name to be ours.
    allowed = len(names) if world.lost_ledger else len(paths)
    if count > max(len(paths), allowed) and not (touched and count <= len(paths) + 1):
        verdict.doubled.append(f"{count} cutouts of {names}, which lies at {paths}")


def _leftovers(world: World) -> list[str]:
    folders = (world.daemon.inbox, world.daemon.outbox, world.daemon.archive, world.daemon.failed)
    return [str(path) for folder in folders if folder.exists() for path in folder.rglob(".cutoutd-*")]
