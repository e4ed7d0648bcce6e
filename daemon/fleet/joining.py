"""What head and node must have in common before a photo travels, and what a node's workers are made of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import CutoutError, printable
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.config.version import VERSION
from cutoutd.daemon.files.mounts import inode_of
from cutoutd.daemon.fleet.paths import NotSharedError, PathMap
from cutoutd.daemon.fleet.records import Shared, Terms
from cutoutd.daemon.plan import Plan, accelerator_for, bundled_folder, usable_cache
from cutoutd.daemon.workers.engines import WARM_UP
from cutoutd.daemon.workers.pool import WorkerSetup
from cutoutd.daemon.workers.sizing import PoolSize, pool_size_for
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import ModelSpec, find_model

# A node's share answers within this time, or it counts as away.
SHARE_S: Final = 2.0


class JoinError(CutoutError):
    """A node does not fit into the fleet; a sentence, for the head's `fleet status` and the node's log.

    Attributes:
        again: it may fit in a while, without anybody changing the program or its models.
    """

    def __init__(self, what: str, *, again: bool = False) -> None:
        super().__init__(what)
        self.again = again


class Bound(Struct, frozen=True):
    """Terms that this node agreed to, and what its own machine makes of them.

    Attributes:
        terms: the head's.
        size: how many workers, and how many of them for large networks.
        setups: how they are made.
        inodes: device and inode of each shared folder here, by the head's path.
        large: names of large networks.
    """

    terms: Terms
    size: PoolSize
    setups: tuple[WorkerSetup, ...]
    inodes: dict[bytes, tuple[int, int]]
    large: frozenset[str]


@cache
def edge_engine() -> str:
    """SHA-256 of the edge engine's network, in hexadecimal digits."""
    # Not `matting.refiner`, which names the file: the supervisor loads no numeric library.
    return hashlib.sha256((bundled_folder() / "bundled" / "refiner.onnx").read_bytes()).hexdigest()


# --- on the head


def terms_of(plan: Plan, life: str, present: Iterable[tuple[Path, tuple[int, int]]]) -> Terms:
    """What nodes must agree to.

    Args:
        plan: in force on the head.
        life: a random id of this daemon's life.
        present: inboxes and outboxes that are there, with device and inode.
    """
    settings = plan.settings
    outboxes = {one.settings.outbox for one in plan.inboxes}
    folders = {path: Shared(os.fsencode(path), inode, path in outboxes) for path, (_, inode) in present}
    for one in plan.inboxes:
        after = (one.settings.after.archive, one.settings.after.failed)
        pictures = (deliverable.background_path for deliverable in one.settings.any_deliverables())
        for path in (*after, *pictures):
            if path is not None and path not in folders:
                there = run_with_timeout(LOOK_S, lambda path=path: inode_of(path), otherwise=None)
                if there is not None:
                    folders[path] = Shared(os.fsencode(path), there[1], write=False)
    specs = tuple(replace(spec, path=None) for spec in plan.engines.specs)
    return Terms(
        life=life,
        version=VERSION,
        engines=replace(plan.engines, specs=specs, cache_dir=None),
        edges=edge_engine(),
        folders=tuple(folders.values()),
        memory_bytes=settings.limits.worker_memory,
        nice=settings.engine.nice,
        recycle_after=settings.engine.recycle_after,
        sandbox=settings.engine.sandbox is not False,
    )


# --- on a node


class Here(Struct, frozen=True):
    """This node's own places."""

    paths: PathMap
    slots: int
    state: Path
    models: Path
    cache: Path | None


def same_version(head: object) -> None:
    """Refuses a head of another version.

    Raises:
        JoinError: it is one.
    """
    if head != VERSION:
        raise JoinError(
            f"It runs cutoutd {VERSION} and the head {printable(str(head))}: install the same on both"
        )


def agree(terms: Terms, here: Here) -> Bound:
    """Compares the head's terms with this machine.

    Raises:
        JoinError: it does not fit; says what differs and what to do.
    """
    same_version(terms.version)
    if terms.edges != edge_engine():
        raise JoinError("Its edge engine is another than the head's: install the same cutoutd on both")
    specs = tuple(_same(spec, here.models) for spec in terms.engines.specs)
    inodes = {one.path: _bound(one, here.paths) for one in terms.folders}
    size = pool_size_for(specs, here.slots)
    cache = usable_cache(here.cache)
    engines = replace(terms.engines, specs=specs, threads=cores(), cache_dir=cache)
    machine = accelerator_for(engines.providers)
    files = [spec.path for spec in specs if spec.path is not None]
    read = [Path(os.fsdecode(here.paths.here(one.path))) for one in terms.folders]
    write = [Path(os.fsdecode(here.paths.here(one.path))) for one in terms.folders if one.write]
    every = WorkerSetup(
        lock_path=here.state / "workers.lock",
        read_paths=tuple(dict.fromkeys((*files, bundled_folder(), *read, *machine.reads))),
        write_paths=tuple(dict.fromkeys(write)),
        memory_limit_bytes=terms.memory_bytes + 3 * max((path.stat().st_size for path in files), default=0),
        warm_up=WARM_UP,
        context=engines,
        nice=terms.nice,
        threads=engines.threads,
        sandbox=terms.sandbox,
        devices=machine.devices,
        unconfined=machine.unconfined,
        driver=machine.driver,
        callbacks=engines.closed_form,
        recycle_after=terms.recycle_after,
    )
    if cache is not None:
        every = replace(every, read_paths=(*every.read_paths, cache))
    small = tuple(spec for spec in specs if not spec.once_per_machine)
    beside = replace(every, context=replace(engines, specs=small))
    large = frozenset(spec.name for spec in specs if spec.once_per_machine)
    setups = (every,) * size.large + (beside,) * (size.size - size.large)
    return Bound(terms, size, setups, inodes, large)


def _same(spec: ModelSpec, models: Path) -> ModelSpec:
    """The head's network with this machine's file; its digest is looked at again whenever it is loaded."""
    try:
        found = find_model(spec.name, models)
    except CutoutError as error:
        raise JoinError(f"It lacks the head's network {spec.name}: {error}", again=True) from error
    if (found.sha256, found.md5) != (spec.sha256, spec.md5):
        raise JoinError(f"Its network {spec.name} is another file than the head's: install the same one")
    return replace(spec, path=found.path)


def _bound(folder: Shared, paths: PathMap) -> tuple[int, int]:
    """Device and inode of a shared folder here, which must be the head's folder."""
    try:
        here = Path(os.fsdecode(paths.here(folder.path)))
        writable = paths.writable(folder.path)
    except NotSharedError as error:
        raise JoinError(f"{error}") from error
    if folder.write and not writable:
        raise JoinError(f"{printable(folder.path)} is an outbox, and its [[folder]] here lacks write = true")
    found = run_with_timeout(SHARE_S, lambda: inode_of(here), otherwise=None)
    if found is None:
        raise JoinError(f"{printable(here)} is not there, or does not answer: mount the share", again=True)
    if found[1] != folder.inode:
        raise JoinError(
            f"{printable(here)} is not the head's {printable(folder.path)} (their inode numbers differ): mount the "
            "same share, by NFS, or by SMB with the server's inode numbers",
            again=True,
        )
    return found
