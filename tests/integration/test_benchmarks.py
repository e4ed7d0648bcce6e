"""Each benchmark runs in a tiny size, so that none breaks unseen; its figures are not looked at."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import delivered, hops, photos, readme, report, stages
from benchmarks.options import Options
from numpy.typing import NDArray
from PIL import Image
from tests.support.photos import pixels as photo_of

from cutoutd.models.evaluation.cases import find_cases

# `throughput` needs the rival, and `startup` an environment of its own.
TINY = ("limits", "overnight")
# The dearest: bursts of twenty photos, a ledger of many, and a fleet. `overnight` has a daemon work too.
TINY_WEEKLY = ("latency", "scale", "fleet")


def small(picture: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """In place of the enlarged photo: as large as it is, which needs a tenth of the time."""
    width, height = size[0] // 4, size[1] // 4
    pixels = photo_of(picture)
    return np.asarray(Image.fromarray(pixels).resize((width, height)))


def test_a_photos_way_grows_no_longer_unseen() -> None:
    """What docs/ARCHITECTURE.md says of it, and little more: a way that has grown is to be told there, or shortened."""
    all_steps, acts = hops.journeys()
    assert len(hops.modules(acts)) <= 20, hops.modules(acts)
    assert sum(acts.values()) <= 70, acts
    assert len(hops.modules(all_steps)) <= 65, hops.modules(all_steps)
    assert {"originals.move", "delivery.publish", "ledger.intake"} <= set(hops.modules(acts))


def test_stages_of_every_deliverable_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUTD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photos, "enlarged", small)
    for deliverables in stages.DELIVERABLES.values():
        found = stages.stages(2, deliverables, 1)
        assert set(found) == {"decode", "infer", "matte", "encode", "all"}
        assert sum(found.values()) <= 2 * found["all"] + 1


@pytest.mark.parametrize("name", [*TINY, *(pytest.param(n, marks=pytest.mark.thorough) for n in TINY_WEEKLY)])
def test_a_benchmark_runs_and_its_results_are_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOUTD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photos, "enlarged", small)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "PERFORMANCE.md")
    monkeypatch.setattr(report, "PICTURES", tmp_path / "pictures")
    page = tmp_path / "README.md"
    page.write_text("<!-- figures: latency -->\n<!-- end of figures -->\n")
    monkeypatch.setattr(report, "README", page)
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
    assert ("at once" in page.read_text(encoding="utf-8")) == (name == "latency")


def test_the_first_page_says_what_was_measured() -> None:
    assert readme.block(report.load()["latency"]) in report.README.read_text(encoding="utf-8")


def test_what_is_delivered_is_judged_and_a_refused_photo_counts_as_an_empty_one(
    tmp_path: Path,
) -> None:
    for folder, name, pixels in (
        ("cats", "chelsea", photo_of("chelsea")[::2, ::2]),
        ("walls", "grey", np.full((150, 225, 3), 190, np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / f"{name}.jpg", quality=95)
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[20:, 40:190] = 255
        Image.fromarray(mask).save(tmp_path / folder / f"{name}.png")
    found = delivered.run(find_cases(tmp_path, tmp_path))
    assert list(found) == ["cats", "walls", delivered.ALL]
    assert (found["cats"]["refused"], found["walls"]["refused"]) == (0, 1)
    assert found["cats"]["iou"] > 0.5
    assert (found["walls"]["iou"], found["walls"]["not_solid"], found["walls"]["half_tones"]) == (0, 100, 0)
    assert found[delivered.ALL]["photos"] == 2
    assert "| walls | 1 | 1 |" in delivered.table(found)
