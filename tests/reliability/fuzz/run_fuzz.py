"""Throws broken files at the photo reader in worker processes: only named failures, in time, within memory.

python tests/reliability/fuzz/run_fuzz.py --count 20000            the whole run
python tests/reliability/fuzz/run_fuzz.py --seed 7 --only 1234 --keep /tmp/finding    one input again, and on disk

Exit code 0: no finding. A finding is an exception without a name, a named failure that hides a mistake of
our own code, a dead worker, or an input past the limit of time.
"""

# ruff: noqa: T201 (a command-line tool: its report is what it is for)

from __future__ import annotations

import argparse
import json
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutoutd.config.errors import CutoutError

MEMORY_LIMIT = 1 << 30  # bytes of data segment: 4 megapixels need a tenth of it
MAX_MEGAPIXELS = 4.0
# Our own code must never stumble over a file: these types raised by a line of ours are mistakes, even if the
# guard around the decoders gave them a name.
MISTAKES = (TypeError, AttributeError, NameError, LookupError, ValueError, ArithmeticError, AssertionError)


# --- in the worker


def work(seed: int) -> None:
    """Read input numbers from stdin, answer each with one line of JSON."""
    import corpus
    import mutations

    from cutoutd.models.decoding.photo import PhotoLimits

    files = corpus.seeds()
    limits = PhotoLimits(10_000_000, MAX_MEGAPIXELS)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        index = int(line)
        name, data = mutations.mutant(seed, index, files)
        print(json.dumps({"index": index, "name": name, **judge(name, data, limits, index)}), flush=True)


def judge(name: str, data: bytes, limits: Any, index: int) -> dict[str, Any]:
    """The outcome of one input: "ok", the reason of a named failure, or a finding with its details."""
    from cutoutd.config.errors import PhotoError
    from cutoutd.models.decoding.photo import decode, read_header

    spaces = ("srgb", "keep-profile", "display-p3")
    try:
        header = read_header(data, name, limits)
        photo = decode(data, header, colour=spaces[index % 3], want_16bit=index % 2 == 0)  # type: ignore[arg-type]
        shape = photo.rgb.shape
        fits = all(a is None or a.shape[:2] == shape[:2] for a in (photo.alpha, photo.rgb16))
        if shape[0] * shape[1] > MAX_MEGAPIXELS * 1e6 or not fits:
            return {"outcome": "finding", "detail": f"wrong shape {shape}"}
    except PhotoError as exc:
        ours = _own_mistake(exc)
        return {"outcome": "finding", "detail": ours} if ours else {"outcome": str(exc.reason)}
    except BaseException:  # noqa: BLE001 (whatever has no name is the finding)
        return {"outcome": "finding", "detail": traceback.format_exc()}
    return {"outcome": "ok"}


def _own_mistake(exc: BaseException) -> str:
    """The traceback of what the named failure stands for, if a line of ours raised it without meaning to."""
    cause: BaseException | None = exc
    while isinstance(cause, CutoutError):
        cause = cause.__cause__
    frames = traceback.extract_tb(None if cause is None else cause.__traceback__)
    last = frames[-1].filename if frames else ""
    ours = "site-packages" not in last and f"{Path('models')}/" in last
    return "".join(traceback.format_exception(cause)) if ours and isinstance(cause, MISTAKES) else ""


# --- in the runner


@dataclass
class Tally:
    """What came out so far; the lock guards it between the threads that each drive one worker."""

    count: int
    transitions: Counter[str] = field(default_factory=Counter[str])
    findings: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    slowest: tuple[float, str] = (0.0, "")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, index: int, answer: dict[str, Any], seconds: float) -> None:
        """Count one answer."""
        with self.lock:
            self.transitions[answer["outcome"]] += 1
            self.slowest = max(self.slowest, (seconds, str(answer.get("name", index))))
            if answer["outcome"] in ("finding", "died", "too-slow", "out-of-memory"):
                self.findings.append((index, answer["outcome"], str(answer.get("detail", ""))))


class Worker:
    """One worker process; `ask` gives its answer, or what became of it, and replaces it when it is gone."""

    def __init__(self, seed: int, limit_s: float) -> None:
        self.seed, self.limit_s = seed, limit_s
        self.start()

    def start(self) -> None:
        """A fresh process whose lines arrive in a queue of its own."""
        command = [sys.executable, "-W", "error", __file__, "--worker", "--seed", str(self.seed)]
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the worker); libtiff is chatty
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, self.lines), daemon=True).start()
        if not self.lines.get(timeout=120):
            raise SystemExit(f"the worker did not start\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what the worker wrote to its standard error."""
        self.said.seek(0)
        return self.said.read()[-2000:]

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    def ask(self, index: int) -> dict[str, Any]:
        """One input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{index}\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=self.limit_s)
        except queue.Empty:
            self.stop()
            self.start()
            return {"outcome": "too-slow", "detail": f"more than {self.limit_s:g} s"}
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        detail = f"{how}\n{self.last_words()}"
        self.start()
        return {"outcome": "died", "detail": detail}

    def stop(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.said.close()


def drive(seed: int, limit_s: float, work_left: queue.SimpleQueue[int], tally: Tally) -> None:
    """Feed one worker until nothing is left."""
    worker = Worker(seed, limit_s)
    try:
        while True:
            index = work_left.get_nowait()
            began = time.monotonic()
            tally.add(index, worker.ask(index), time.monotonic() - began)
    except queue.Empty:
        pass
    finally:
        worker.stop()


def progress(tally: Tally, began: float, end: str = "\r") -> None:
    """One line: how far, how it went, how fast."""
    with tally.lock:
        done = sum(tally.transitions.values())
        good = tally.transitions["ok"]
        bad = len(tally.findings)
    rate = done / max(time.monotonic() - began, 1e-9)
    line = f"{done:,}/{tally.count:,} inputs, {good:,} decoded, {done - good - bad:,} named failures, {bad} findings"
    print(f"{line}, {rate:.0f}/s", end=end, file=sys.stderr, flush=True)


def run(count: int, seed: int, jobs: int, limit_s: float, first: int = 0) -> Tally:
    """The whole run."""
    tally, left, began = Tally(count), queue.SimpleQueue[int](), time.monotonic()
    for index in range(first, first + count):
        left.put(index)
    drivers = [threading.Thread(target=drive, args=(seed, limit_s, left, tally)) for _ in range(jobs)]
    for thread in drivers:
        thread.start()
    while any(thread.is_alive() for thread in drivers):
        drivers[0].join(timeout=1.0)
        for thread in drivers[1:]:
            thread.join(timeout=0.01)
        progress(tally, began)
    progress(tally, began, "\n")
    return tally


def report(tally: Tally, seed: int, keep: Path | None) -> None:
    """Print the table, and each finding with the way to see it again."""
    for outcome, number in tally.transitions.most_common():
        print(f"{outcome:>20} {number:>8,}")
    print(f"slowest input: {tally.slowest[0]:.2f} s ({tally.slowest[1]})")
    for index, outcome, detail in sorted(tally.findings):
        print(f"\n{outcome}: --seed {seed} --only {index}\n{detail}")
    if keep is not None and tally.findings:
        save(keep, seed, [index for index, _, _ in tally.findings])


def save(folder: Path, seed: int, indexes: list[int]) -> None:
    """Write inputs to disk, to look at or to make a regression test of."""
    import corpus
    import mutations

    folder.mkdir(parents=True, exist_ok=True)
    files = corpus.seeds()
    for index in indexes:
        name, data = mutations.mutant(seed, index, files)
        (folder / name).write_bytes(data)
        print(f"kept {folder / name}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that one input may take")
    parser.add_argument("--only", type=int, help="only this input")
    parser.add_argument("--keep", type=Path, help="write findings (or the one input) into this folder")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen.seed)
        return 0
    if chosen.only is not None and chosen.keep is not None:
        save(chosen.keep, chosen.seed, [chosen.only])
    first, count = (chosen.first, chosen.count) if chosen.only is None else (chosen.only, 1)
    tally = run(count, chosen.seed, 1 if chosen.only is not None else chosen.jobs, chosen.limit, first)
    report(tally, chosen.seed, chosen.keep if chosen.only is None else None)
    # A run whose workers did not start has found nothing, too.
    return 1 if tally.findings or sum(tally.transitions.values()) < count else 0


if __name__ == "__main__":
    sys.exit(main())
