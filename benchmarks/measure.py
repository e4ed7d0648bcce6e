"""Runs programs and says what they cost: wall and processor seconds, peak memory of the whole process tree.

Memory is the proportional set size (PSS) summed over the tree: pages that processes share count once, unlike in
summed resident sizes. Linux only, as is the kernel file that tells it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Reading smaps_rollup walks the page tables, about 5 ms for a gigabyte: ten times a second costs 5 % of a core
# and still sees every buffer that lives for a tenth of a second.
SAMPLE_EVERY_S = 0.1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took.

    wall_s, cpu_s: seconds; cpu_s is user plus system time of the process and the children it waited for.
    peak_pss: bytes, the largest sum over the process tree that a sample saw.
    """

    wall_s: float
    cpu_s: float
    peak_pss: int


class PssSampler:
    """Samples the summed PSS of a process tree until stopped; `peak` is the largest sum seen."""

    def __init__(self, pid: int, every_s: float = SAMPLE_EVERY_S) -> None:
        self.peak = 0
        self._pid = pid
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.peak = max(self.peak, tree_pss(self._pid))


def tree(pid: int) -> list[int]:
    """A process and all its living descendants."""
    found = [pid]
    for one in found:
        try:
            tasks = list(Path(f"/proc/{one}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
            except OSError:
                continue
    return found


def tree_pss(pid: int) -> int:
    """Bytes of PSS, summed over the tree; processes that end meanwhile count nothing."""
    return sum(_kilobytes(f"/proc/{one}/smaps_rollup", "Pss:") for one in tree(pid)) * 1024


def resident(pid: int) -> int:
    """Bytes of resident memory of one process."""
    return _kilobytes(f"/proc/{pid}/status", "VmRSS:") * 1024


def _kilobytes(path: str, field: str) -> int:
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def tree_cpu_s(pid: int) -> float:
    """User and system seconds of the living tree so far, ended and waited-for children included."""
    total = 0
    for one in tree(pid):
        try:
            text = Path(f"/proc/{one}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        # After the command's closing bracket; utime, stime, cutime, cstime are fields 14 to 17 of proc(5).
        total += sum(int(field) for field in text.rpartition(")")[2].split()[11:15])
    return total / _TICKS_PER_S


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    memory: bool = True,
    codes: tuple[int, ...] = (0,),
) -> Cost:
    """Runs a command to its end.

    Raises:
        RuntimeError: it ended with another exit code; carries the end of what it said.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        env=dict(environment) if environment is not None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    ) as process:
        said: list[bytes] = []
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        out = process.stdout
        reader = threading.Thread(target=lambda: said.append(out.read()), daemon=True)
        reader.start()
        sampler = PssSampler(process.pid)
        if memory:
            sampler.__enter__()
        # wait4 tells what this child and its own children used; Popen must learn that it was waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if memory:
            sampler.__exit__()
        reader.join(5)
    if process.returncode not in codes:
        text = b"".join(said)[-2000:].decode(errors="replace")
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, sampler.peak)


def interleaved(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, *, say: Callable[[str], None] = print
) -> dict[str, list[Any]]:
    """Runs each contestant once per round, so that whatever else the machine does falls on all of them alike."""
    results: dict[str, list[Any]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        # Odd rounds run backwards: what comes after a heavy neighbour is not always the same.
        for name in names if number % 2 == 0 else reversed(names):
            started = time.perf_counter()
            results[name].append(contestants[name]())
            say(f"  round {number + 1}/{rounds}: {name}: {time.perf_counter() - started:.2f} s")
    return results


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Ratio per round, as median, least and greatest: pairs that shared the machine's state are compared."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of all stay at or below; the next higher one that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1))]
