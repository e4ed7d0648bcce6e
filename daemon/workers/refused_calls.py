"""A worker's start with a counter of refused system calls, for `doctor` and a slot that says why it cannot start.

It runs no photo and is no slot: one process that loads the network as a worker does, says what came of it, and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from cutoutd.config.errors import CutoutError
from cutoutd.models.networks.accelerators import Opened
from cutoutd.models.networks.providers import Choice

# A start is a second here; a cold disk and a compiling accelerator take a minute.
START_LIMIT_S: Final = 90.0
_CODE: Final = """
import json, sys
path, said = map(json.loads, sys.argv[1:])
sys.path[:] = path
from cutoutd.daemon.workers.refused_calls import try_start
try_start(**said)
"""


class Start(Struct, frozen=True):
    """What came of it.

    Attributes:
        error: why it did not start; empty when it did.
        refused: how often each system call was refused, by name; empty where that cannot be counted.
    """

    error: str
    refused: dict[str, int]

    def named(self) -> str:
        """The refused calls in words: "flock (2 times), mbind"."""
        return ", ".join(
            name if count == 1 else f"{name} ({count} times)" for name, count in sorted(self.refused.items())
        )


def started(
    model: str,
    models_dir: Path,
    providers: Choice,
    machine: Opened,
    *,
    limit_s: float = START_LIMIT_S,
) -> Start:
    """Starts such a process, counting; if that hangs, once more without counting.

    The counter is a function of Python, called by whichever thread was refused: it waits for ever where the thread
    that holds the interpreter waits for this one. So it has a time limit, and what it could not tell stays untold.

    Args:
        model: its name.
        models_dir: where pulled models lie.
        providers: as in the settings.
        machine: what the provider needs opened.
        limit_s: for each of the two.
    """
    for count in (True, False):
        said = {
            "model": model,
            "models_dir": str(models_dir),
            "providers": providers if isinstance(providers, str) else list(providers),
            "reads": [str(path) for path in machine.reads],
            "devices": [str(path) for path in machine.devices],
            "unconfined": machine.unconfined,
            "driver": machine.driver,
            "count": count,
        }
        path = [entry for entry in sys.path if entry]
        command = [sys.executable, "-P", "-c", _CODE, json.dumps(path), json.dumps(said)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            continue
        try:
            return Start(**json.loads(done.stdout.splitlines()[-1]))
        except (ValueError, IndexError, TypeError):
            if count:
                continue  # a refused call while signals are blocked ends the process that counts
            last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
            return Start(last, {})
    return Start(f"it was not done within {limit_s:.0f} s", {})


# --- inside the process


def try_start(
    model: str,
    models_dir: str,
    providers: list[str] | str,
    reads: list[str],
    devices: list[str],
    unconfined: str,
    driver: str,
    count: bool,
) -> None:
    """Does what a worker does at its start, writes what came of it to standard output, and ends the process."""
    from cutoutd.daemon.sandbox import guard, tracing
    from cutoutd.daemon.workers import engines
    from cutoutd.models.networks.catalog import find_model

    spec = find_model(model, Path(models_dir))
    found: Counter[str] = Counter()
    if count:
        try:
            found = tracing.count_refusals()
        except OSError:
            count = False
    guard.guard_worker(
        [Path(name) for name in (*reads, *([spec.path] if spec.path is not None else []))],
        [],
        devices=[Path(name) for name in devices],
        unconfined=unconfined,
        driver=driver,
        trap=count,
    )
    error = ""
    wanted: Any = providers if isinstance(providers, str) else tuple(providers)
    try:
        engines.warm_up(engines.Engines((spec,), wanted, 2, None))
    except CutoutError as failure:
        error = failure.what
    except Exception as failure:  # noqa: BLE001 - whatever a driver's library raises is what is asked for
        error = f"{type(failure).__name__}: {failure}"
    sys.stdout.write(json.dumps({"error": error, "refused": dict(found)}) + "\n")
    sys.stdout.flush()
    os._exit(0)
