"""A worker's whole work in one process whose refused system calls are counted; run by tests, prints JSON.

Usage: python worker_calls.py INBOX OUTBOX THREADS [closed-form]
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path

from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.sandbox import guard, tracing
from cutoutd.daemon.workers import engines, process, protocol
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers.memory import keep_freed_memory
from cutoutd.models.networks.catalog import BUNDLED, find_model

DELIVERABLES = (
    Deliverable(),
    Deliverable(label="webp", format="webp"),
    Deliverable(label="webp lossless", format="webp", lossless=True),
    Deliverable(label="avif", format="avif"),
    Deliverable(label="tiff", format="tiff"),
    Deliverable(label="jpeg", format="jpeg", background="white"),
    Deliverable(label="small", max_size=200, shadow="drop", background="white", trim=True),
)


def main() -> None:
    inbox, outbox, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    closed_form = "closed-form" in sys.argv
    specs = tuple(find_model(name, inbox) for name in BUNDLED)
    keep_freed_memory()
    process._make_room_for_callbacks()  # pyright: ignore[reportPrivateUsage]
    trap = "no-trap" not in sys.argv
    counted = tracing.count_refusals() if trap else Counter[str]()
    state = guard.guard_worker([inbox, *(Path(str(spec.path)) for spec in specs)], [outbox], trap=trap)
    stages: dict[str, Counter[str]] = {}
    outcomes: dict[str, str] = {}
    notes: list[str] = []

    def since(stage: str) -> None:
        stages[stage] = counted.copy()
        counted.clear()

    since("sandbox")
    engines.warm_up(engines.Engines(specs, ("cpu",), threads, None, closed_form))
    since("warm-up")
    engines.run_self_test(engines.Engines(specs, ("cpu",), threads, None, closed_form))
    since("self-test")
    for number, path in enumerate(sorted(inbox.iterdir())):
        matte = Matte(no_subject="pass", closed_form=closed_form)
        answer = jobs.run_job(
            protocol.Job(
                photo=number,
                path=os.fsencode(path),
                name=path.name,
                model=BUNDLED[number % len(BUNDLED)],
                deliverables=DELIVERABLES,
                outboxes=(os.fsencode(outbox),) * len(DELIVERABLES),
                temporaries=tuple(
                    os.fsencode(outbox / "day 1" / f"{number}-{index}.part")
                    for index in range(len(DELIVERABLES))
                ),
                matte=matte,
                limits=Limits(),
                allowance_mp=400.0,
                manifest=True,
            )
        )
        notes += getattr(answer, "notes", ())
        outcomes[path.name] = type(answer).__name__ + f" {getattr(answer, 'detail', '')}"
        since(path.name)
    said = {
        "state": state.as_dict(),
        "refused": {name: dict(found) for name, found in stages.items() if found},
        "outcomes": outcomes,
        "notes": notes,
        "threads": threading.active_count(),
    }
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
