"""Each benchmark runs in a tiny size, so that none breaks unseen; its figures are not looked at."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import hops, photos, report, stages
from benchmarks.options import Options
from numpy.typing import NDArray
from PIL import Image

# `throughput` needs the rival, and `startup` an environment of its own.
TINY = ("limits", "latency", "scale", "overnight")


def small(picture: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """In place of the enlarged photo: as large as it is, which needs a tenth of the time."""
    from skimage import data

    width, height = size[0] // 4, size[1] // 4
    pixels = np.asarray(getattr(data, picture)(), np.uint8)[:, :, :3]
    return np.asarray(Image.fromarray(pixels).resize((width, height)))


def test_a_photos_way_grows_no_longer_unseen() -> None:
    """What docs/ARCHITECTURE.md says of it, and little more: a way that has grown is to be told there, or shortened."""
    all_steps, acts = hops.journeys()
    assert len(hops.modules(acts)) <= 20, hops.modules(acts)
    assert sum(acts.values()) <= 70, acts
    assert len(hops.modules(all_steps)) <= 62, hops.modules(all_steps)
    assert {"originals.move", "delivery.publish", "ledger.intake"} <= set(hops.modules(acts))


def test_stages_of_every_deliverable_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUTD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photos, "enlarged", small)
    for deliverables in stages.DELIVERABLES.values():
        found = stages.stages(2, deliverables, 1)
        assert set(found) == {"decode", "infer", "matte", "encode", "all"}
        assert sum(found.values()) <= 2 * found["all"] + 1


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_runs_and_its_results_are_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOUTD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photos, "enlarged", small)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "PERFORMANCE.md")
    monkeypatch.setattr(report, "PICTURES", tmp_path / "pictures")
    options = Options(quick=True, rounds=1, sizes=(2,), counts=(2,))
    results: dict[str, Any] = importlib.import_module(f"benchmarks.{name}").run(options)
    machine = dict.fromkeys(("processor", "memory_gb", "system", "file_system", "fsync_ms", "python"), "a")
    machine |= {
        "cutoutd": "1",
        "cores": 2,
        "load_before": 0.0,
        "measured": "today",
        "versions": {"numpy": "2"},
    }
    report.save(name, results, machine, f"python -m benchmarks {name}")
    report.write()
    assert f"python -m benchmarks {name}" in (tmp_path / "PERFORMANCE.md").read_text(encoding="utf-8")
