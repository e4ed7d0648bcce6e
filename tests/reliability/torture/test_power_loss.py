"""A power cut at any moment of a delivery, on a disk that forgets all it may: the next start makes it whole.

The order of writes, syncs and renames is not believed but taken from strace, around the daemon's real ledger, outbox
and after-care code; every state that the disk may then be in is laid down and recovered from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.reliability.torture.deliver_once import BAD, BEGIN, END, STORIES, photo_of, simulation
from tests.reliability.torture.power import CALLS, Model, State, files_below
from tests.support.ledgers import integrity
from tests.support.simulation import cutout_of, simulated

# A spread of the states each time; all of them, some minutes, with CUTOUTD_EVERY_POINT=1.
EVERY_POINT = os.environ.get("CUTOUTD_EVERY_POINT") == "1"
AT_A_TIME = 30


@pytest.fixture
def fast_disk() -> Iterator[Path]:
    """A folder in memory where there is one: real syncs would only cost time, the cut is a pretended one."""
    memory = Path("/dev/shm")  # noqa: S108 - emptied below
    folder = Path(tempfile.mkdtemp(prefix="power-", dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


def _trace(root: Path, story: str) -> list[str]:
    """The calls of one delivery, between the marks."""
    log = root.with_suffix(".trace")
    command = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(log)]
    try:
        done = subprocess.run(
            [*command, sys.executable, "-m", "tests.reliability.torture.deliver_once", str(root), story],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may trace nothing here")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    marks = ["".join(f"\\x{byte:02x}" for byte in mark) for mark in (BEGIN, END)]
    begin, end = (next(n for n, line in enumerate(lines) if mark in line) for mark in marks)
    return lines[begin + 1 : end]


def _states(root: Path, story: str) -> list[State]:
    """Every different state that a cut at any of the calls may leave."""
    calls = _trace(root, story)
    model = Model(os.fsencode(root))
    model.load(_seen(root, "-before"))
    model.open = _ledger_descriptors(calls, model)
    found: dict[int, State] = {}
    for line in calls:
        if model.call(line):
            found |= {hash(frozenset(state.items())): state for state in model.states()}
    lying = _seen(root, "-after")
    assert model.current.keys() == lying.keys(), "the model lost track of the names"
    assert {path: model.inodes[n].content(1.0) for path, n in model.current.items()} == lying, (
        "and of the bytes"
    )
    return list(found.values())


def _seen(root: Path, moment: str) -> dict[bytes, bytes]:
    """The files as they lay there at a mark."""
    copy = root.with_name(root.name + moment)
    files = files_below(copy).items()
    return {path.replace(os.fsencode(copy), os.fsencode(root), 1): data for path, data in files}


def _ledger_descriptors(calls: list[str], model: Model) -> dict[int, tuple[int, int]]:
    """Files that were open before the story began: the ledger and its log."""
    found: dict[int, tuple[int, int]] = {}
    for path, number in model.current.items():
        shown = "<" + "".join(f"\\x{byte:02x}" for byte in path) + ">"
        for line in calls:
            if shown in line and "(" in line and line.split("(", 1)[1].split("<", 1)[0].isdigit():
                found[int(line.split("(", 1)[1].split("<", 1)[0])] = (number, 0)
                break
    return found


def _lay_down(root: Path, state: State, originals: dict[bytes, Path]) -> None:
    """Makes the folder look as the disk did; originals are the same files, so that only their names moved."""
    for folder in ("inbox", "outbox", "archive", "failed", "home"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for path in (root / "state").glob("ledger*"):
        path.unlink()
    for raw, data in sorted(state.items()):  # folders come before what is in them
        path = Path(os.fsdecode(raw))
        if raw.endswith(b"/"):
            path.mkdir(exist_ok=True)
            continue
        if data in originals:
            os.link(originals[data], path)
        else:
            path.write_bytes(data)


@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES)
def test_a_power_cut_at_any_moment_loses_and_doubles_nothing(
    story: str, fast_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fast_disk / "daemon"
    states = _states(root, story)
    assert len(states) > 30
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "home"))
    _, photo = photo_of(story)
    trash = root / "home" / "Trash" / "files"
    kept = fast_disk / "kept.jpg"
    lying = next(path for path in (*root.rglob("*.jpg"),) if path.read_bytes() == photo)
    os.link(lying, kept)
    chosen = states if EVERY_POINT else states[:: max(1, len(states) // AT_A_TIME)]
    with simulated(monkeypatch):
        for number, state in enumerate(chosen):
            _lay_down(root, state, {photo: kept})
            sim = simulation(root, story).boot()
            sim.finish()
            where = f"state {number} of {len(chosen)} ({story}): {sorted(state)}"
            expected = [] if photo == BAD else [cutout_of(photo)]
            assert list(sim.outputs().values()) == expected, f"{where}: {sorted(sim.outputs())}"
            assert integrity(sim.parts.ledger) == "ok", where
            sim.stop()
            assert sim.leftovers() == [], where
            found = [
                path
                for folder in (sim.inbox, sim.archive, sim.failed, trash)
                for path in folder.rglob("*")
                if path.is_file() and path.suffix != ".txt"
            ]
            assert [path.read_bytes() for path in found] == [photo], f"{where}: {found}"
            last = {"archived": sim.archive, "trashed": trash, "failed": sim.failed}.get(
                story.split(maxsplit=1)[0]
            )
            assert last is None or found[0].is_relative_to(last), where
