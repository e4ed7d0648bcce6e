"""What the benchmarks are to reach, and whether they do; it measures and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.tables import ranged

Results = Mapping[str, Any]


def targets(found: Mapping[str, Results]) -> list[tuple[str, str, str, bool]]:
    """(measure, target, measured, met) for every target that has been measured."""
    rows = _Rows()
    for name, tell in (
        ("throughput", _beside_rembg),
        ("latency", _waiting),
        ("overnight", _a_night),
        ("scale", _many),
        ("fleet", _fleet),
        ("startup", _resting),
    ):
        if name in found:
            tell(rows, found)
    return rows.told


class _Rows:
    """Targets with what was measured of them."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, bool]] = []

    def least(self, measure: str, value: float, bound: float, text: str, unit: str) -> None:
        """A row whose value is to be at least its bound."""
        self.told.append((measure, f"≥ {bound:g} {unit}".strip(), text, value >= bound))

    def most(self, measure: str, value: float, bound: float, text: str, unit: str) -> None:
        """A row whose value is to be at most its bound."""
        self.told.append((measure, f"≤ {bound:g} {unit}".strip(), text, value <= bound))


def _beside_rembg(rows: _Rows, found: Mapping[str, Results]) -> None:
    run = largest_run(found["throughput"])
    if run is None:
        return
    for name, what, bound in (
        ("daemon", "24 MP → RGBA PNG, same network, photos per second against rembg: the daemon", 6),
        ("once", "the same: `once`, its start included", 6),
        ("daemon, bundled", "with the bundled network, rembg with u2netp: the daemon", 10),
        ("once, bundled", "the same: `once`, its start included", 10),
    ):
        ratio = run["speed_ratio"][name]
        rows.least(what, ratio["median"], bound, ranged(ratio, "×", 1), "×")
    for name, what, bound in (
        ("once, 1 worker", "peak memory (summed PSS), one worker, against rembg", 0.5),
        ("once", "the same, two workers", 1.0),
        ("once, bundled", "the same with the bundled network", 0.5),
    ):
        ratio = run["memory_ratio"][name]
        rows.most(what, ratio["median"], bound, ranged(ratio, "×", 2), "×")
    seconds = run["cpu_s"]["daemon, bundled"]["median"] / run["photos"]
    rows.most(
        "processor time of a 24 MP photo, bundled network, daemon", seconds, 0.6, f"{seconds:.2f} s", "s"
    )


def _waiting(rows: _Rows, found: Mapping[str, Results]) -> None:
    paced, added = found["latency"]["paced"], found["latency"]["overhead"]["added_ms"]
    rows.most(
        "24 MP, close(2) to finished cutout, half of them", paced["p50"], 0.5, f"{paced['p50']:.2f} s", "s"
    )
    rows.most("the same, p95", paced["p95"], 0.6, f"{paced['p95']:.2f} s", "s")
    if "limits" in found:
        ratio = paced["p50"] / found["limits"]["seconds"]["bare"]["median"]
        rows.most("half of them, against decoder, networks and PNG alone", ratio, 1.4, f"{ratio:.2f} ×", "×")
    first, last = (
        median(burst[which] for burst in found["latency"]["bursts"]) for which in ("first_s", "whole_s")
    )
    rows.most("a burst of 20 × 24 MP: the first", first, 0.8, f"{first:.2f} s", "s")
    rows.most("the same: the last", last, 5, f"{last:.1f} s", "s")
    rows.most("the daemon's own time per photo", added["median"], 20, ranged(added, "ms", 1), "ms")


def _a_night(rows: _Rows, found: Mapping[str, Results]) -> None:
    speed = found["overnight"]["photos_per_s"]
    rows.least("a night's 12 MP photos, two deliverables each", speed, 6, f"{speed:.1f} photos/s", "photos/s")


def _many(rows: _Rows, found: Mapping[str, Results]) -> None:
    owed = {one["owed"]: one["supervisor_resident_mb"] for one in found["scale"]["runs"]}
    if 100_000 in owed:
        more = owed[100_000] - owed[0]
        rows.most("100,000 photos waiting: memory above idle", more, 50, f"{more:.0f} MB", "MB")


def _fleet(rows: _Rows, found: Mapping[str, Results]) -> None:
    fleet = found["fleet"]
    more = fleet["slot"]["more_ms"]
    rows.most("a node's slot against a local one, per photo", more["median"], 15, ranged(more, "ms", 1), "ms")
    borne = borne_per_s(fleet)
    rows.least("what one head bears, by processor time", borne, 150, f"{borne:.0f} photos/s", "photos/s")
    grown = [one for one in fleet["runs"] if one["slots"] == fleet["runs"][0]["slots"]]
    ratio = efficiency(grown[-1], grown[0])
    rows.least(f"{grown[-1]['nodes']} nodes against one, per slot", ratio, 0.9, f"{ratio:.2f} ×", "×")


def _resting(rows: _Rows, found: Mapping[str, Results]) -> None:
    start = found["startup"]
    idle, unloaded = start["idle_loaded"], start["idle_unloaded"]
    share, memory = idle["cpu_percent_of_a_core"], unloaded["tree_pss_mb"]
    rows.most("idle processor time, of one core", share, 0.2, f"{share:.2f} %", "%")
    resident = unloaded["supervisor_resident_mb"]
    told = f"{memory:.0f} MB (supervisor resident {resident:.0f} MB)"
    rows.most("idle memory after unload, whole tree (PSS)", memory, 50, told, "MB")
    version, size = start["version_s"], start["installed_mb"]["all"]
    rows.most("`cutoutd --version`", version["median"], 0.1, ranged(version, "s", 3), "s")
    rows.most("installed size, product and its dependencies", size, 235, f"{size:.0f} MB", "MB")


def borne_per_s(fleet: Results) -> float:
    """Photos per second that the process of the head's side that needs most would bear on a core of its own."""
    cpu = fleet["runs"][-1]["cpu_ms_per_photo"]
    return 1000 / max(cpu[name] for name in ("head", "relay", "scheduler"))


def efficiency(one: Mapping[str, Any], first: Mapping[str, Any]) -> float:
    """Photos per second and slot, as a share of another run's."""
    a, b = (run["photos_per_s"] / (run["nodes"] * run["slots"]) for run in (one, first))
    return a / b if b else 0.0


def largest_run(results: Results) -> dict[str, Any] | None:
    """The run with 24 megapixels and the most photos that was run more than once, else the most photos."""
    runs = [run for run in results["runs"] if run["megapixels"] == 24]
    runs.sort(key=lambda run: (run["photos"] > 1, run["rounds"] > 1, run["photos"]))
    return runs[-1] if runs else None
