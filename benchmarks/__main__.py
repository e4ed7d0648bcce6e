"""`python -m benchmarks [NAME…]`: runs benchmarks and rewrites docs/PERFORMANCE.md from all results there are."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys

# Before NumPy is imported, as in the workers (daemon/workers/process.py): its small products gain nothing from
# threads that spin between them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import machine, report
from benchmarks.options import Options

NAMES = ("limits", "latency", "startup", "scale", "throughput", "overnight", "fleet")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, "report"], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="show that it works; writes no results")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of interleaved contestants")
    parser.add_argument("--sizes", type=_numbers, default=(2, 12, 24), help="megapixels: 2,12,24,45")
    parser.add_argument("--counts", type=_numbers, default=(1, 20, 100), help="photos per run")
    parser.add_argument("--overnight", type=int, default=500, metavar="N", help="photos of the overnight run")
    arguments = parser.parse_args()
    options = Options(
        arguments.quick, arguments.rounds, arguments.sizes, arguments.counts, arguments.overnight
    )
    if options.quick:
        options = Options(quick=True, rounds=1, sizes=(2,), counts=(2,))
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    for name in arguments.names or NAMES:
        if name == "report":
            continue
        print(f"{name} …", flush=True)
        facts = machine.facts(options.fresh("facts"))
        results = importlib.import_module(f"benchmarks.{name}").run(options)
        facts["load_after"] = round(os.getloadavg()[0], 2)
        if not options.quick:
            print(f"  → {report.save(name, results, facts, command)}", flush=True)
    shutil.rmtree(options.work, ignore_errors=True)
    if not options.quick:
        report.write()
        print(f"  → {report.DOCUMENT}")
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
