"""The section on fleets in docs/PERFORMANCE.md, from the results of `fleet.py`; it measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import ranged, table
from benchmarks.targets import Results, borne_per_s, efficiency

HEADS = [
    "nodes × slots",
    "a photo takes there",
    "photos/s",
    "of the first row's, per slot",
    "head",
    "relay",
    "scheduler",
    "head's memory",
]


def fleet_section(results: Results) -> str:
    """As Markdown."""
    slot = results["slot"]
    first = results["runs"][0]
    rows = [_row(one, first) for one in results["runs"]]
    lines = [
        "## A fleet",
        "",
        (
            f"Single 2-megapixel photos, in turns to a daemon with one worker and to a head whose only slot is a real "
            f"node's on the same machine, with no settling. What is added to the worker's own stages: "
            f"{ranged(slot['local_ms'], 'ms', 1)} with the worker, {ranged(slot['node_ms'], 'ms', 1)} with the node; "
            f"the difference, pair by pair: {ranged(slot['more_ms'], 'ms', 1)}. Processor time of all processes, the "
            f"worker's too: {slot['cpu_ms']['local']:.0f} ms and {slot['cpu_ms']['node']:.0f} ms per photo."
        ),
        "",
        (
            f"How much one head bears, with {results['owed']:,} photos waiting from the start: head, relay and "
            "scheduler are real processes over TLS. The nodes are stand-ins, one process with a real Dask worker for "
            "each, which reads and digests the photo, waits, and writes a small temporary. All of it shares this "
            "machine's two cores, so what each process costs per photo (ms of processor time) says more than photos "
            "per second; memory is resident, before and after the row's run."
        ),
        "",
        table(HEADS, rows),
        "",
        (
            f"By processor time, the process that needs most would bear {borne_per_s(results):.0f} photos per second "
            "on a core of its own (last row)."
        ),
    ]
    return "\n".join([*lines, *(["", results["note"]] if "note" in results else [])])


def _row(one: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    cpu, memory = one["cpu_ms_per_photo"], one["resident_mb"]["head"]
    return [
        f"{one['nodes']} × {one['slots']}",
        f"{one['job_s'] * 1000:.0f} ms",
        f"{one['photos_per_s']:.1f}",
        f"{efficiency(one, first):.2f}" if one["slots"] == first["slots"] else "–",
        *(f"{cpu[name]:.1f}" for name in ("head", "relay", "scheduler")),
        f"{memory[0]:.0f} → {memory[-1]:.0f} MB",
    ]
