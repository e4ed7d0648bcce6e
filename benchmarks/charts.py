"""Pictures of the report, drawn from the benchmarks' results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.plots import Bar, bars
from benchmarks.targets import Results


def rivals(folder: Path, run: dict[str, Any]) -> None:
    """Photos per second, and peak memory, of one run: two pictures."""
    title = f"{run['photos']} photos of {run['megapixels']} megapixels"
    speed: list[Bar] = []
    memory: list[Bar] = []
    for name, wall in run["wall_s"].items():
        colour = (1,) if name == "rembg" else (0,)
        rate = run["photos"] / wall["median"]
        speed.append(
            Bar(
                name,
                (rate,),
                f"{rate:.2f}",
                colour,
                run["photos"] / wall["greatest"],
                run["photos"] / wall["least"],
            )
        )
        peak = run["peak_pss_mb"][name]["median"]
        memory.append(Bar(name, (peak,), f"{peak:.0f}", colour))
    bars(folder / "speed.png", f"Photos per second: {title}", speed, unit="photos per second, more is better")
    bars(folder / "memory.png", f"Peak memory: {title}", memory, unit="MB, less is better")


def stages(folder: Path, results: Results) -> None:
    """Where a photo's time goes: one picture."""
    rows = [("one at a time", results["paced"])]
    rows += [("in a burst", burst) for burst in results["bursts"][:1]]
    names = [name for name in results["paced"]["stages_s"] if name != "queue"]
    colours = tuple(range(len(names)))
    bars(
        folder / "latency.png",
        f"One {results['megapixels']}-megapixel photo, stage by stage",
        [
            Bar(
                label,
                tuple(one["stages_s"].get(name, 0.0) * 1000 for name in names),
                f"{sum(one['stages_s'].get(name, 0.0) for name in names) * 1000:.0f}",
                colours,
            )
            for label, one in rows
        ],
        unit="milliseconds",
        legend=names,
    )
