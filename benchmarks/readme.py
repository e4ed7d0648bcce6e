"""The figures of README.md's tethering section, from the latency benchmark's results: none is typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- figures: latency -->", "<!-- end of figures -->"


def write(latency: Mapping[str, Any], path: Path) -> None:
    """Puts the figures between their marks.

    Args:
        latency: what the benchmark's JSON file holds: command, machine, results.
        path: the page.

    Raises:
        ValueError: the page has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{path} has no place for figures between {_BEGIN} and {_END}")
    path.write_text(f"{before}{block(latency)}{after}", encoding="utf-8")


def block(latency: Mapping[str, Any]) -> str:
    """Lone frames and bursts side by side, marks included."""
    results, machine = latency["results"], latency["machine"]
    paced = results["paced"]
    rows = [
        (f"{paced['photos']}, one after the other", min(paced["all_s"]), paced["p50"], max(paced["all_s"]))
    ]
    rows += [
        (f"{one['frames']} at once", one["first_s"], one["p50"], one["whole_s"]) for one in results["bursts"]
    ]
    table = "\n".join(
        f"| {what} | {' | '.join(f'{each:.1f} s' for each in times)} |" for what, *times in rows
    )
    frames = f"{results['megapixels']}-megapixel frames, from the last byte written to the finished PNG"
    return f"""{_BEGIN}
| {frames} | the first | half of them | the last |
| --- | --- | --- | --- |
{table}

Measured on {machine["cores"]} cores ({machine["processor"]}): [docs/PERFORMANCE.md](docs/PERFORMANCE.md).
{_END}"""
