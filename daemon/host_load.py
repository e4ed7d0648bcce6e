"""Whether this is a good moment to work: battery, other people's load. It measures and decides nothing.

Reading is cheap (a few small files); callers ask at most every few seconds, and never while idle.
psutil is left out: it adds 33 to 60 ms to a start (import timed with all else loaded), takes a mouse's battery for the
machine's, and cores, load and what a file of /proc holds need no library.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cutoutd.config.settings import Engine
from cutoutd.daemon.workers import sizing

_POWER_SUPPLIES: Final = Path("/sys/class/power_supply")
_PROC: Final = Path("/proc")
# The kernel's first load average decays over one minute; our own share must be averaged alike to be taken off.
_LOAD_DECAY_S: Final = 60.0
# `pmset` answers in milliseconds; a Mac that is going to sleep may keep it waiting.
_PMSET_LIMIT_S: Final = 5.0


def on_battery() -> bool:
    """Whether the machine runs on its battery; False without one, and where nobody can tell."""
    if sys.platform == "darwin":
        return _mac_on_battery(_pmset())
    return linux_on_battery(_POWER_SUPPLIES)


def linux_on_battery(supplies: Path) -> bool:
    """Reads /sys/class/power_supply (sysfs-class-power): a battery discharges and no charger is online.

    Batteries of mice and keyboards (scope Device) do not count. Some laptops report "Discharging" for a
    moment while plugged in, so an online charger decides.
    """
    discharging = False
    for supply in sorted(supplies.glob("*")):
        kind = _word(supply / "type")
        if kind == "Battery" and _word(supply / "scope") != "Device":
            discharging = discharging or _word(supply / "status") == "Discharging"
        elif kind in {"Mains", "USB", "Wireless"} and _word(supply / "online") not in {"", "0"}:
            return False
    return discharging


def _word(path: Path) -> str:
    """A one-word file; empty when it is missing or the driver has no answer (ENODEV)."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _pmset() -> str:
    """What `pmset -g batt` prints; empty when it cannot be asked."""
    try:
        done = subprocess.run(
            ["/usr/bin/pmset", "-g", "batt"],
            capture_output=True,
            text=True,
            timeout=_PMSET_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _mac_on_battery(report: str) -> bool:
    """The first line names the source: "Now drawing from 'Battery Power'"."""
    first, _, _ = report.partition("\n")
    return "'Battery Power'" in first


def cpu_seconds(pids: Iterable[int], proc: Path = _PROC) -> float | None:
    """Processor time these processes have used so far, in seconds; None where /proc is not to be had.

    Processes that are gone count nothing.
    """
    if not (proc / "self").exists():
        return None
    ticks = 0
    for pid in pids:
        try:
            line = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # The name in brackets may hold anything, so fields are counted from its end; utime and stime are
        # the 14th and 15th of proc_pid_stat(5).
        fields = line.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class ForeignLoad:
    """The load average of everybody else, per core.

    The load average counts our workers too, and a daemon that pauses because of its own work would stutter.
    Our share is measured (processor time of the workers) and averaged over the same minute.

    Args:
        cores: processors that may be used.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or sizing.cores()
        self._own = 0.0
        self._before: tuple[float, float] | None = None

    def reason_to_yield(self, engine: Engine, now: float, pids: Iterable[int], busy: int) -> str:
        """Why no new photo may start now, as a sentence; empty when one may.

        Args:
            engine: what the user asked for.
            now: monotonic seconds.
            pids: of our workers.
            busy: workers with a photo in hand.
        """
        if engine.pause_on_battery and on_battery():
            return "on battery power; goes on when plugged in"
        if engine.max_load:
            load = self.per_core(now, cpu_seconds(pids), busy)
            if load > engine.max_load:
                return f"other programs keep the machine busy (load {load:.1f} per core)"
        return ""

    def per_core(self, now: float, own_cpu_s: float | None, busy: int, load: float | None = None) -> float:
        """Load per core without our own share, never below 0.

        Args:
            now: monotonic seconds.
            own_cpu_s: `cpu_seconds` of the workers; None where unknown, then each busy worker counts as one.
            busy: workers with a photo in hand.
            load: the one-minute load average; the system's when None.
        """
        running = float(busy)
        if own_cpu_s is not None:
            running = self._rate(now, own_cpu_s)
        elapsed_s = 0.0 if self._before is None else now - self._before[0]
        self._own += (running - self._own) * (1.0 - math.exp(-max(elapsed_s, 0.0) / _LOAD_DECAY_S))
        self._before = (now, own_cpu_s or 0.0)
        total = os.getloadavg()[0] if load is None else load
        return max(total - self._own, 0.0) / self._cores

    def _rate(self, now: float, own_cpu_s: float) -> float:
        """Processor seconds per second since the last call; a replaced worker takes its seconds with it."""
        if self._before is None or now <= self._before[0]:
            return 0.0
        return max(own_cpu_s - self._before[1], 0.0) / (now - self._before[0])
