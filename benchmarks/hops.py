"""How far one archived photo travels through the daemon's modules: modules entered, and calls from one to another.

Not for speed: it counts what a reader has to follow. `python -m benchmarks.hops` drives the simulation of the
property tests (real ledger, real files, pretended workers) with one photo from its arrival in the inbox until its
original lies in the archive, and prints two counts. The daemon has archived another photo before.

*All*: each call of a function of another module. What the daemon does in as many turns without a photo is taken off;
so is what nobody has to follow: records being made, comprehensions, and a coroutine's going on where it waited. The
drivers that have it go on (`files/story.py`, and the two that gather what many wait for, `ledger/group_commit.py` and
`delivery/group_calls.py`) know no photo and decide nothing: what they have begun counts as called by who handed it
over, as with any event loop.

*Acts*: those of them in whose course something was changed for the photo. A change is one of four things, each made
in one place: a file of the user's (`FileSystem`'s methods that change), a row of the ledger (`Ledger.write`), a job
given to a worker (`submit`), or a word to those who listen (`Listeners`). All other calls are questions: they leave
everything as it was, and what they answer is said by their name. The acts are the photo's way; `--way` prints them in
the order in which they first happen.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.support.simulation import Simulation, simulated

_ROOM = "cutoutd.daemon."
_DRIVERS = frozenset(
    f"cutoutd.daemon.{name}" for name in ("files.story", "ledger.group_commit", "delivery.group_calls")
)
_CHANGES_FILES = (
    "write", "truncate", "fsync", "fsync_dir", "fchmod", "chmod", "rename", "rename_noreplace", "exchange", "link",
    "unlink", "mkdir", "rmdir",
)  # fmt: skip
_CHANGES = frozenset(
    {
        *(f"RealFileSystem.{name}" for name in _CHANGES_FILES),
        "Ledger.write",
        "PretendedWorkers.submit",
        "Listeners.__getattribute__.<locals>.call",
    }
)
# Who calls what comes out of a queue.
_LOOP = "loop"

Step = tuple[str, str, str]  # the module that calls, the one that is called, and its function


@dataclass(slots=True)
class _Call:
    """A call under way: the step that it is, if it is one, and whether it has changed anything so far."""

    frame: FrameType
    step: Step | None
    changed: bool
    told: bool = False  # that it is an act


@dataclass(slots=True)
class Hops:
    """A profile function that notes each call from one module of the daemon into another."""

    entered: Counter[Step] = field(default_factory=Counter[Step])
    acts: Counter[Step] = field(default_factory=Counter[Step])
    _under_way: list[_Call] = field(default_factory=list[_Call])
    _stories: dict[FrameType, _Call] = field(default_factory=dict[FrameType, _Call])

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Called by the interpreter at every call and return."""
        if event == "call":
            self._under_way.append(self._begun(frame))
        elif event == "return" and self._under_way and self._under_way[-1].frame is frame:
            self._ended(self._under_way.pop())

    def _begun(self, frame: FrameType) -> _Call:
        if frame in self._stories:  # it goes on where it waited, and so does its reader
            return self._stories[frame]
        step = _step(frame)
        if step is not None:
            self.entered[step] += 1
        call = _Call(frame, step, frame.f_code.co_qualname in _CHANGES)
        if frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR):
            self._stories[frame] = call
        return call

    def _ended(self, call: _Call) -> None:
        if not call.changed:
            return
        if self._under_way:
            self._under_way[-1].changed = True
        if call.step is not None and not call.told:
            call.told = True
            self.acts[call.step] += 1


def _step(frame: FrameType) -> Step | None:
    """The step that a call is; None for one inside a module or outside the daemon."""
    name, callee = frame.f_code.co_qualname, frame.f_globals.get("__name__", "")
    if (
        not callee.startswith(_ROOM)
        or callee in _DRIVERS
        or frame.f_code.co_name.startswith("<")
        or name.startswith("__create_fn__")
    ):
        return None
    caller = _caller(frame)
    return None if caller == callee else (caller, callee, name)


def _caller(frame: FrameType) -> str:
    """The nearest module of the daemon up the stack; a call that comes out of a queue has none."""
    above = frame.f_back
    while above is not None:
        name = above.f_globals.get("__name__", "")
        if name.startswith(_ROOM) and name not in _DRIVERS:
            return name
        above = above.f_back
    return _LOOP


def travel(root: Path, *, with_photo: bool) -> Hops:
    """Every call between modules, from a quiet daemon to a quiet daemon again."""
    hops = Hops()
    with pytest.MonkeyPatch.context() as patch, simulated(patch):
        archive = {"after": {"action": "archive", "archive": root / "archive"}}
        daemon = Simulation(root, inbox_table=archive).boot()
        daemon.put("DSC_0.jpg", b"an earlier photo")
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
    return hops


def journeys() -> tuple[dict[Step, int], dict[Step, int]]:
    """What one photo adds to an idle daemon: all its steps, and those that are acts."""
    with tempfile.TemporaryDirectory() as folder:
        idle = travel(Path(folder) / "idle", with_photo=False)
        busy = travel(Path(folder) / "busy", with_photo=True)
    return _beyond(busy.entered, idle.entered), _beyond(busy.acts, idle.acts)


def _beyond(busy: Counter[Step], idle: Counter[Step]) -> dict[Step, int]:
    return {step: count - idle[step] for step, count in busy.items() if count > idle[step]}


def modules(steps: Mapping[Step, int]) -> list[str]:
    """The modules that a reader meets, each once: those that call and those that are called."""
    met = (module for caller, callee, _function in steps for module in (caller, callee))
    return list(dict.fromkeys(module.removeprefix(_ROOM) for module in met if module != _LOOP))


def _room(module: str) -> str:
    return module.removeprefix(_ROOM).partition(".")[0]


def _said(what: str, steps: Mapping[Step, int]) -> str:
    across = sum(count for (caller, callee, _), count in steps.items() if _room(caller) != _room(callee))
    return (
        f"{what}: {len(modules(steps))} modules, {sum(steps.values())} calls between them "
        f"({len(steps)} different ones, {across} from one room to another)"
    )


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hops", description="Count the hops of one archived photo."
    )
    parser.add_argument("--calls", action="store_true", help="name each call, the most frequent first")
    parser.add_argument("--way", action="store_true", help="name the acts, in the order of their first time")
    arguments = parser.parse_args()
    all_steps, acts = journeys()
    for what, steps in (("all", all_steps), ("acts", acts)):
        print(_said(what, steps))
        print("  " + ", ".join(sorted(modules(steps))))
    shown = sorted(all_steps.items(), key=lambda step: -step[1]) if arguments.calls else []
    for (caller, callee, function), count in [*shown, *(acts.items() if arguments.way else ())]:
        print(f"{count:4d}  {caller.removeprefix(_ROOM)} -> {callee.removeprefix(_ROOM)}: {function}")


if __name__ == "__main__":
    main()
