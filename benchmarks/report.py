"""docs/PERFORMANCE.md from the benchmarks' results: every figure in it comes out of a JSON file, none is typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import charts, readme
from benchmarks.fleet_report import fleet_section
from benchmarks.scale_report import scale_section
from benchmarks.tables import ranged, table
from benchmarks.targets import Results, largest_run, targets

from cutoutd.config.settings import Inbox

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
GAINS = ROOT / "benchmarks" / "gains.json"
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
README = ROOT / "README.md"
PICTURES = ROOT / "docs" / "performance"

SETTLE_S: float = Inbox.model_fields["settle"].default

# What the sections are called, by benchmark.
_TITLES = {
    "throughput": "“Beside rembg”",
    "latency": "“Latency”",
    "limits": "“The floor”",
    "overnight": "“A night's work”",
    "scale": "“Many photos waiting”",
    "fleet": "“A fleet”",
    "startup": "“Starting and resting”",
}


def save(name: str, results: Results, machine: Mapping[str, Any], command: str) -> Path:
    """Keeps one benchmark's results beside what they were measured on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {"command": command, "machine": dict(machine), "results": results}
    path.write_text(json.dumps(whole, indent=1, sort_keys=False) + "\n", encoding="utf-8")
    return path


def load() -> dict[str, dict[str, Any]]:
    """Everything measured so far, by benchmark."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    }


def write() -> None:
    """The document and its pictures, from all results there are."""
    found = load()
    sections = [_intro(found), _reach(found)]
    for name, section in (
        ("throughput", _throughput),
        ("latency", _latency),
        ("limits", _limits),
        ("overnight", _overnight),
        ("scale", _scale),
        ("fleet", fleet_section),
        ("startup", _startup),
    ):
        if name in found:
            sections.append(section(found[name]["results"]) + _measured_by(found[name]))
    sections.append(gains(json.loads(GAINS.read_text(encoding="utf-8"))))
    DOCUMENT.write_text("\n\n".join(part.strip() for part in sections if part) + "\n", encoding="utf-8")
    if "latency" in found:
        readme.write(found["latency"], README)


def gains(rows: Sequence[Mapping[str, str]]) -> str:
    """What was made quicker since the last release's figures, and what it cost to read."""
    heads = ["what", "measure", "before", "after", "lines"]
    return (
        "## What each gain cost\n\n"
        "Processor time on one thread, the least of several rounds in which both commits took turns, means over the "
        "pictures (`python -m benchmarks.stages` shows the same by stage). Lines: added less removed, docstrings "
        "included, tests not.\n\n" + table(heads, [[one[head] for head in heads] for one in rows])
    )


# --- the top


def _intro(found: Mapping[str, dict[str, Any]]) -> str:
    lines = [
        "# Performance",
        "",
        (
            "All figures were measured, side by side where two programs are compared, and can be measured again: "
            "`make bench` (or `python -m benchmarks NAME…`) rewrites this page. The photos are generated, the same "
            "bytes every time: real photos enlarged to a camera's size, with its grain, file size, EXIF and profile "
            "(`benchmarks/photos.py`)."
        ),
        "",
        (
            "Figures are medians; `[a … b]` is the range over all rounds. Contestants take turns in one run, and "
            "ratios are taken within a round, so that a busy moment of the machine falls on both."
        ),
    ]
    machines = _by_machine(found)
    for number, names in enumerate(machines):
        lines += ["", _measured_on(found, names, latest=number == 0)]
    if len(machines) > 1:
        lines += [
            "",
            "Seconds of one machine say nothing beside those of another: compare them within a table only.",
        ]
    return "\n".join(lines)


def _by_machine(found: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    """The benchmarks that ran on one machine, in one list; the machine that measured last comes first."""
    groups: dict[str, list[str]] = {}
    for name in sorted(found, key=lambda name: str(found[name]["machine"]["measured"]), reverse=True):
        groups.setdefault(json.dumps(_machine_key(found[name]["machine"])), []).append(name)
    return [sorted(names) for names in groups.values()]


def _measured_on(found: Mapping[str, dict[str, Any]], names: Sequence[str], *, latest: bool) -> str:
    """The machine, and what ran on it; of an earlier one also when, and which version it was."""
    machine = found[names[0]]["machine"]
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
        f"{machine['file_system']} (one fsync {machine['fsync_ms']} ms), Python {machine['python']}"
    )
    sections = ", ".join(_TITLES[name] for name in names)
    if not latest:
        days = sorted({str(found[name]["machine"]["measured"]) for name in names})
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        return f"Measured on another machine, {when}, with cutoutd {machine['cutoutd']}: {sections}. {where}."
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"Measured on {where}, cutoutd {machine['cutoutd']}, {versions}: {sections}."


def _machine_key(machine: Mapping[str, Any]) -> list[Any]:
    return [machine[name] for name in ("processor", "cores", "memory_gb", "system")]


def _measured_by(one: Mapping[str, Any]) -> str:
    machine = one["machine"]
    busy = ""
    if machine["load_before"] > machine["cores"]:
        busy = (
            " **Other programs kept this machine busy meanwhile:** seconds are several times what an idle machine "
            "needs, and what runs on several cores at once gains too little; processor seconds, memory and ratios "
            "within a round say more."
        )
    return (f"\n\n{busy.strip()}" if busy else "") + _command_line(one)


def _command_line(one: Mapping[str, Any]) -> str:
    machine = one["machine"]
    return (
        f"\n\n*`{one['command']}`, {machine['measured']}; load average before: {machine['load_before']}, "
        f"after: {machine.get('load_after', '–')}.*"
    )


# --- the targets


def _reach(found: Mapping[str, dict[str, Any]]) -> str:
    rows: list[list[str]] = []
    for measure, target, value, met in targets({name: one["results"] for name, one in found.items()}):
        rows.append([measure, target, value, "met" if met else "**not met**"])
    return "" if not rows else "## Targets\n\n" + table(["measure", "target", "measured", ""], rows)


# --- the sections


def _throughput(results: Results) -> str:
    lines = [
        f"## Beside {results['rival']}",
        "",
        (
            f"The same photos through `rembg p` and `cutoutd once`, whole processes from start to end, the same ONNX "
            f"file ({results['network']}) in both; “bundled” is cutoutd's own network. The daemon is warm, its time "
            "runs from the first arrival to the last cutout. Memory is the proportional set size of the whole "
            "process tree."
        ),
        *(["", results["note"]] if "note" in results else []),
        "",
    ]
    rows: list[list[str]] = []
    for run in results["runs"]:
        for name, wall in run["wall_s"].items():
            speed = run["speed_ratio"].get(name)
            memory = run["memory_ratio"].get(name)
            rows.append(
                [
                    f"{run['megapixels']} MP × {run['photos']}",
                    name,
                    ranged(wall, "s", 2),
                    f"{run['photos'] / wall['median']:.2f}",
                    "1" if speed is None else ranged(speed, "×", 1),
                    f"{run['cpu_s'][name]['median'] / run['photos']:.2f}",
                    f"{run['peak_pss_mb'][name]['median']:.0f}",
                    "1" if memory is None else ranged(memory, "×", 2),
                ]
            )
    heads = ["photos", "program", "wall", "photos/s", "speed", "CPU s/photo", "peak MB", "memory"]
    lines.append(table(heads, rows))
    largest = largest_run(results)
    if largest is not None:
        charts.rivals(PICTURES, largest)
        lines += [
            "",
            "![Photos per second](performance/speed.png)",
            "",
            "![Peak memory](performance/memory.png)",
        ]
    return "\n".join(lines)


def _latency(results: Results) -> str:
    paced, overhead = results["paced"], results["overhead"]
    rows = [
        [
            f"one photo per {results['every_s']:g} s",
            str(paced["photos"]),
            *(f"{paced[name]:.2f} s" for name in ("p50", "p95", "p99")),
        ]
    ]
    for number, burst in enumerate(results["bursts"], 1):
        rows.append(
            [
                f"burst {number}",
                str(burst["frames"]),
                *(f"{burst[name]:.2f} s" for name in ("p50", "p95", "p99")),
            ]
        )
    lines = [
        "## Latency",
        "",
        (
            f"From close(2) of an arriving {results['megapixels']}-megapixel JPEG to its finished PNG under its name, "
            f"idle daemon, bundled network. The settle time ({SETTLE_S:g} s) is included; it passes while the photo is "
            "worked on. A burst is moved in at once from a folder beside the inbox."
        ),
        "",
        table(["photos", "count", "p50", "p95", "p99"], rows),
        "",
        (
            "Where a lone photo's time goes (medians, ms; what remains of the latency is waiting for the file to "
            "settle). The plain PNG is brought to full size and packed in bands of rows: all of that is under encode, "
            "and matte is the edge work at its own scale:"
        ),
        "",
        _stage_table(paced["stages_s"]),
        "",
        (
            f"What the daemon adds to the worker's own stages (events, queue, ledger with its syncs, publication), "
            f"measured with 2-megapixel photos and no settling: {ranged(overhead['added_ms'], 'ms', 1)}, of which "
            f"publication with its syncs {ranged(overhead['of_it_publication_ms'], 'ms', 1)}."
        ),
        "",
        "![Where the time goes](performance/latency.png)",
    ]
    charts.stages(PICTURES, results)
    return "\n".join(lines)


def _stage_table(stages: Mapping[str, float]) -> str:
    return table(list(stages), [[f"{seconds * 1000:.0f}" for seconds in stages.values()]])


def _limits(results: Results) -> str:
    what = {
        "bare": "decoder, all runs of all networks and PNG writer alone",
        "pipeline": "`cut_out`: also the edge work, erasing, checks",
        "worker": "also reading, digests, the synced temporary and reading it back",
    }
    rows = [[name, text, ranged(results["seconds"][name], "s", 3)] for name, text in what.items()]
    return "\n".join(
        [
            "## The floor",
            "",
            f"One {results['megapixels']}-megapixel photo in one process, no daemon, bundled network, all cores.",
            "",
            table(["", "what it includes", "seconds"], rows),
            "",
            (
                f"Pipeline to bare: {ranged(results['pipeline_to_bare'], '×', 2)}; worker to pipeline: "
                f"{ranged(results['worker_to_pipeline'], '×', 2)}. Stages in ms:"
            ),
            "",
            _stage_table(results["stages_s"]),
        ]
    )


def _overnight(results: Results) -> str:
    memory = results["peak_pss_mb_by_part"]
    rows = [
        ["photos per second", f"{results['photos_per_s']:.1f}"],
        ["processor seconds per photo", f"{results['cpu_s_per_photo']:.2f}"],
        [
            "peak memory of the whole tree (PSS), fifth by fifth",
            " · ".join(f"{mb:.0f}" for mb in memory) + " MB",
        ],
    ]
    return (
        "## A night's work\n\n"
        f"{results['photos']} photos of {results['megapixels']} megapixels at once into the inbox of a warm daemon, "
        "two deliverables each: a 2,000-pixel JPEG on white and a 400-pixel WebP.\n\n" + table(["", ""], rows)
    )


def _scale(results: Results) -> str:
    return scale_section(results, PICTURES / "scale.png")


def _startup(results: Results) -> str:
    rows = [
        ["`cutoutd --version`", ranged(results["version_s"], "s", 3)],
        ["start to `ready` (folders watched, model loaded)", ranged(results["ready_s"], "s", 2)],
        ["start to the first 24 MP cutout", ranged(results["first_cutout_s"], "s", 2)],
    ]
    states = {
        "idle, model loaded": results["idle_loaded"],
        "after a 24 MP photo": results["after_a_photo"],
        "idle, model unloaded": results["idle_unloaded"],
    }
    memory: list[list[str]] = []
    for name, one in states.items():
        share = one.get("cpu_percent_of_a_core")
        memory.append(
            [
                name,
                f"{one['supervisor_resident_mb']:.0f} MB",
                f"{one['tree_pss_mb']:.0f} MB",
                str(one["processes"]),
                "–" if share is None else f"{share:.2f} % over {one['seconds']:.0f} s",
            ]
        )
    sizes = ", ".join(
        f"{name} {size:.0f} MB"
        for name, size in results["installed_mb"].items()
        if name != "all" and size >= 1
    )
    return "\n".join(
        [
            "## Starting and resting",
            "",
            table(["", ""], rows),
            "",
            table(["", "supervisor resident", "whole tree (PSS)", "processes", "processor"], memory),
            "",
            f"Installed: {results['installed_mb']['all']:.0f} MB in all ({sizes}).",
        ]
    )
