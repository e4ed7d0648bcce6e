"""What the figures were taken on: processor, memory, disk, versions; and how busy the machine was meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

_PACKAGES = ("onnxruntime", "numpy", "pillow", "isal", "watchdog", "pydantic")


def facts(folder: Path) -> dict[str, Any]:
    """Everything a reader needs to judge the figures; `folder` is where the photos and cutouts lie."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "cutoutd": importlib.metadata.version("cutoutd"),
        "file_system": _file_system(folder),
        "fsync_ms": round(fsync_ms(folder), 2),
        "load_before": round(os.getloadavg()[0], 2),
        "measured": time.strftime("%Y-%m-%d"),
    }


def fsync_ms(folder: Path, runs: int = 20) -> float:
    """Median milliseconds to bring 4 KB to the disk that `folder` lies on."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".fsync-probe"
    times: list[float] = []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        for _ in range(runs):
            os.write(handle, bytes(4096))
            started = time.perf_counter()
            os.fsync(handle)
            times.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(times)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _file_system(folder: Path) -> str:
    """The type of the mount that `folder` lies on: the longest mount point that is a parent of it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, found, *_ = line.split()
        inside = folder.resolve().is_relative_to(point.replace("\\040", " "))
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
