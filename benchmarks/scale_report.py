"""The section on many waiting photos in docs/PERFORMANCE.md, from the results of `scale.py`; it measures nothing."""

from __future__ import annotations

from pathlib import Path

from benchmarks.plots import Bar, bars
from benchmarks.tables import ranged, table
from benchmarks.targets import Results


def scale_section(results: Results, picture: Path) -> str:
    """As Markdown; draws the picture that it shows too."""
    rows: list[list[str]] = []
    idle = next((one for one in results["runs"] if one["owed"] == 0), None)
    for one in results["runs"]:
        choosing, recording = one.get("choosing_ms"), one.get("recording_ms")
        above = one["supervisor_resident_mb"] - (idle["supervisor_resident_mb"] if idle else 0)
        rows.append(
            [
                f"{one['owed']:,}",
                f"{one['known_after_s']:.1f} s",
                f"{one['supervisor_cpu_s']:.1f} s",
                f"{one['supervisor_resident_mb']:.0f} MB",
                f"{above:+.0f} MB",
                "–" if choosing is None else ranged(choosing, "ms", 2),
                "–" if recording is None else ranged(recording, "ms", 2),
            ]
        )
    heads = [
        "waiting",
        "all known after",
        "supervisor CPU",
        "supervisor resident",
        "above idle",
        "choosing",
        "recording",
    ]
    lines = [
        "## Many photos waiting",
        "",
        (
            "A paused daemon started on an inbox with that many photos in folders of a thousand. “All known” is when "
            "the ledger holds a row for each, counted from the process's start. Choosing and recording are the "
            "ledger's work for one photo while so many wait; recording holds one synced commit."
        ),
        "",
        (
            "The photos were written just before. Of files that changed within the last hour it is proved one by one "
            "that nobody writes them any more, which takes more than half of the time; older ones are known by the "
            "first walk. Photos that are known are worked on meanwhile."
        ),
        "",
        table(heads, rows),
        "",
        "![Memory with photos waiting](performance/scale.png)",
    ]
    bars(
        picture,
        "The supervisor's memory by photos waiting",
        [
            Bar(f"{one['owed']:,}", (one["supervisor_resident_mb"],), f"{one['supervisor_resident_mb']:.0f}")
            for one in results["runs"]
        ],
        unit="MB resident",
    )
    return "\n".join(lines)
