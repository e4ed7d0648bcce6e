"""`python -m tests.reliability.torture --seeds 1-300 [--jobs 2]`: seeded attacks on real daemons, and their table."""

# ruff: noqa: T201 - it is run by hand and prints its table

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from tests.reliability.torture.invariant import Verdict
from tests.reliability.torture.run import Result, run


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.torture", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="one seed, or a range such as 1-300")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--events", type=int, default=12, help="events per run")
    parser.add_argument(
        "--kill-weight", type=int, default=1, help="how much likelier kills are than they were"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folders of failing runs")
    parser.add_argument("--json", type=Path, help="also append one line per run to this file")
    parser.add_argument("--table", type=Path, help="run nothing: the table of such a file's runs")
    options = parser.parse_args(arguments)
    if options.table is not None:
        print(table([_result(line) for line in options.table.read_text().splitlines()]))
        return 0
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    results: list[Result] = []
    one = partial(run, events=options.events, kill_weight=options.kill_weight, keep_folder=options.keep)
    # Forked, so that no run loads numpy and the photos anew; each in a process of its own, for its own mounts.
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        for result in pool.imap_unordered(one, seeds):
            results.append(result)
            _tell(result)
            if options.json is not None:
                with options.json.open("a") as file:
                    file.write(_line(results[-1]) + "\n")
    print(table(results))
    return 0 if all(result.verdict.good for result in results) else 1


def _tell(result: Result) -> None:
    verdict = result.verdict
    state = "ok" if verdict.good else "FAILED"
    print(
        f"seed {result.seed}: {state}, {verdict.photos} photos, {verdict.cutouts} cutouts,"
        f" {result.kills}+{result.worker_kills} kills, {result.seconds:.0f} s",
        flush=True,
    )
    if verdict.good:
        return
    print("  script:", " | ".join(result.script))
    for kind in ("lost", "doubled", "harmed", "other"):
        for text in getattr(verdict, kind):
            print(f"  {kind}: {text}")
    print("  log:\n" + result.log)
    print("  in short:")  # where only the end of the output is kept, it says what was wrong
    for kind in ("lost", "doubled", "harmed", "other"):
        for text in getattr(verdict, kind):
            print(f"  {kind}: " + "\n  ".join(_gist(text)), flush=True)


def _gist(text: str) -> list[str]:
    """The end of a long finding's first paragraphs: what is owed, without rows and stacks."""
    lines = text.split("\n  rows:", maxsplit=1)[0].splitlines()
    return lines[-12:]


def _line(result: Result) -> str:
    verdict = result.verdict
    return json.dumps(
        {
            "seed": result.seed,
            "photos": verdict.photos,
            "cutouts": verdict.cutouts,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "harmed": verdict.harmed,
            "other": verdict.other,
            "kills": result.kills,
            "worker_kills": result.worker_kills,
            "seconds": round(result.seconds, 1),
            "thrown": result.thrown,
        }
    )


def _result(line: str) -> Result:
    facts = json.loads(line)
    verdict = Verdict(
        **{name: facts[name] for name in ("photos", "cutouts", "lost", "doubled", "harmed", "other")}
    )
    return Result(
        facts["seed"],
        verdict,
        Counter(facts["thrown"]),
        facts["kills"],
        facts["worker_kills"],
        facts["seconds"],
    )


def table(results: list[Result]) -> str:
    """Markdown: per event how often it was thrown, in how many runs, and with how many photos at stake there."""
    thrown: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    photos: Counter[str] = Counter()
    bad: dict[str, Counter[str]] = {kind: Counter() for kind in ("lost", "doubled", "harmed")}
    for result in results:
        for event, times in result.thrown.items():
            thrown[event] += times
            runs[event] += 1
            photos[event] += result.verdict.photos
            for kind, counter in bad.items():
                counter[event] += len(getattr(result.verdict, kind))
    lines = [
        "| event | times thrown | in runs | photos at stake | lost | doubled | harmed |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {event} | {thrown[event]} | {runs[event]} | {photos[event]} | {bad['lost'][event]}"
        f" | {bad['doubled'][event]} | {bad['harmed'][event]} |"
        for event in sorted(thrown)
    ]
    kills = sum(result.kills for result in results)
    workers = sum(result.worker_kills for result in results)
    total = sum(result.verdict.photos for result in results)
    odd = sum(len(result.verdict.other) for result in results)
    lines.append(f"\nOther findings (leftovers, exit codes, tracebacks, blame, ledger): {odd}.")
    lines.append(f"\n{len(results)} runs, {total} photos, {kills} kills of the daemon, {workers} of workers.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
