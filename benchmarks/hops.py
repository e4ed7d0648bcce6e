"""How far one archived photo travels through the daemon's modules: modules entered, and calls from one to another.

Not for speed: it counts what a reader has to follow. `python -m benchmarks.hops` drives the simulation of the
property tests (real ledger, real files, pretended workers) with one photo from its arrival in the inbox until its
original lies in the archive, and prints both counts, the steps and the modules. What the daemon does in every turn
whether there is a photo or not (a first, empty run measures it) is not counted.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.support.simulation import Simulation, simulated

_ROOM = "cutoutd.daemon."


class Hops:
    """A profile function that notes each call from one module of the daemon into another."""

    def __init__(self) -> None:
        self.entered: Counter[tuple[str, str, str]] = Counter()
        self._under_way: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Called by the interpreter at every call and return."""
        name = frame.f_code.co_qualname
        if event != "call" or frame.f_code.co_name.startswith("<") or name.startswith("__create_fn__"):
            return  # comprehensions, and records being made: nobody has to follow those
        if frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR):
            if frame in self._under_way:
                return  # it goes on where it waited, and so does its reader
            self._under_way.add(frame)
        callee = frame.f_globals.get("__name__", "")
        if not callee.startswith(_ROOM):
            return
        caller = _caller(frame)
        if caller != callee:
            self.entered[caller, callee, name] += 1


def _caller(frame: FrameType) -> str:
    """The nearest module of the daemon up the stack; a call that comes out of a queue has none."""
    above = frame.f_back
    while above is not None:
        name = above.f_globals.get("__name__", "")
        if name.startswith(_ROOM):
            return name
        above = above.f_back
    return "loop"


def travel(root: Path, *, with_photo: bool) -> Counter[tuple[str, str, str]]:
    """Every call between modules, from a quiet daemon to a quiet daemon again."""
    hops = Hops()
    with pytest.MonkeyPatch.context() as patch, simulated(patch):
        archive = {"after": {"action": "archive", "archive": root / "archive"}}
        daemon = Simulation(root, inbox_table=archive).boot()
        daemon.finish()
        if with_photo:
            daemon.put("DSC_1.jpg", b"a photo")
        sys.setprofile(hops)
        try:
            for _ in range(120):
                daemon.turn()
        finally:
            sys.setprofile(None)
        if with_photo and not (root / "archive" / "DSC_1.jpg").exists():
            raise RuntimeError(f"the photo was not archived: {daemon.rows()}")
        daemon.stop()
    return hops.entered


def _room(module: str) -> str:
    return module.removeprefix(_ROOM).partition(".")[0]


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hops", description="Count the hops of one archived photo."
    )
    parser.add_argument("--calls", action="store_true", help="name each call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        idle = travel(Path(folder) / "idle", with_photo=False)
        busy = travel(Path(folder) / "busy", with_photo=True)
    journey = {step: count - idle[step] for step, count in busy.items() if count > idle[step]}
    modules = sorted({callee.removeprefix(_ROOM) for _caller, callee, _function in journey})
    across = sum(count for step, count in journey.items() if _room(step[0]) != _room(step[1]))
    print(
        f"{len(modules)} modules, {sum(journey.values())} calls between them ({len(journey)} different ones, "
        f"{across} from one room to another) for one archived photo"
    )
    print(", ".join(modules))
    if arguments.calls:
        for (caller, callee, function), count in sorted(journey.items(), key=lambda step: -step[1]):
            print(f"{count:4d}  {caller.removeprefix(_ROOM)} -> {callee.removeprefix(_ROOM)}: {function}")


if __name__ == "__main__":
    main()
