"""A real daemon for benchmarks: the tests' harness, with photos put into its inbox as a camera would."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import measure
from tests.support.daemon_process import Daemon

# How often the outbox is looked at for a name, which adds at most so much. Waking up four times as often took a
# twentieth of a core from the photo.
LOOK_EVERY_S = 0.002
# A daemon is at rest when it has used no hundredth of a second of processor time for so long.
_AT_REST_S = 0.5


def daemon(root: Path, *, config: str = "", tables: str = "", models: Path | None = None) -> Daemon:
    """A daemon, not started, on folders below `root`.

    Args:
        root: an empty folder.
        config: TOML of the inbox's table.
        tables: TOML of other tables.
        models: a models folder, in place of an empty one.
    """
    environment = {} if models is None else {"CUTOUTD_MODELS_DIR": str(models)}
    return Daemon(root, config=config, tables=tables, environment=environment, as_shipped=True)


def save(data: bytes, path: Path) -> float:
    """Writes a photo in place, as a tethered camera's program does; returns the moment close(2) came back."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(handle, data)
    os.close(handle)
    return time.perf_counter()


def rested(running: Daemon) -> Daemon:
    """Waits until nothing of a daemon computes any more: then every worker is warm, and not the first alone."""
    assert running.process is not None  # noqa: S101 - it was started
    pid, used, since = running.process.pid, -1.0, 0.0

    def at_rest() -> bool:
        """Whether as much was used before as is now, and for long enough."""
        nonlocal used, since
        now = measure.tree_cpu_s(pid)
        if now > used:
            used, since = now, time.perf_counter()
        return time.perf_counter() - since > _AT_REST_S

    running.wait(at_rest, "every worker to be warm")
    return running


def visible(path: Path, timeout_s: float = 60.0) -> float:
    """Waits until a name appears in the outbox; returns the moment.

    Raises:
        TimeoutError: it did not.
    """
    until = time.perf_counter() + timeout_s
    while not path.exists():
        if time.perf_counter() > until:
            raise TimeoutError(f"{path} did not appear within {timeout_s} s")
        time.sleep(LOOK_EVERY_S)
    return time.perf_counter()


def stages(running: Daemon, name: str) -> dict[str, float]:
    """Seconds per stage of one finished photo, from the ledger; with `queue`: from its row to its start."""

    def done() -> bool:
        row = running.row(name)
        return row is not None and row["state"] == "done"

    running.wait(done, f"{name} to be done in the ledger")
    row: dict[str, Any] = running.row(name) or {}
    timings: dict[str, float] = json.loads(row["timings"])
    timings["queue"] = max(0.0, float(row["started"]) - float(row["arrived"]))
    return timings
