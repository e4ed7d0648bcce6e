"""Seeded attacks on a real fleet: `python -m tests.reliability.torture.fleet --seeds 1-60`.

A scheduler, two nodes and a head, each a real process on this machine, are killed, stopped and continued while they
work; then all is left in peace, and each photo must have come exactly once. A run takes one to two minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image
from tests.support.conditions import wait_until
from tests.support.fleet import Fleet

NODES = ("anna", "bert")
PHOTOS, EVENTS = 24, 8
PEACE_S = 240.0


class Attack:
    """One run.

    Args:
        fleet: at work.
        rng: decides what happens.
    """

    def __init__(self, fleet: Fleet, rng: random.Random) -> None:
        self.fleet, self.rng = fleet, rng
        self.thrown: Counter[str] = Counter()
        self.stopped: list[int] = []
        self.photos = 0

    def photo(self) -> None:
        for _ in range(self.rng.randint(1, 5)):
            if self.photos < PHOTOS:
                path = self.fleet.head.inbox / f"{self.photos}.jpg"
                picture = Image.new("RGB", (200, 150), (230, 232, 235))
                picture.paste((200, 10 * self.photos % 255, 40), (60 + self.photos % 7, 35, 140, 115))
                picture.save(path.with_name(f".{path.name}.new"), "JPEG", quality=90)
                path.with_name(f".{path.name}.new").rename(path)
                self.photos += 1

    def node_killed(self) -> None:
        name = self.rng.choice(NODES)
        if name in self.fleet.nodes:
            self.fleet.kill_node(name)
            self.fleet.start_node(name)

    def node_told_to_leave(self) -> None:
        name = self.rng.choice(NODES)
        if name in self.fleet.nodes:
            self.fleet.nodes.pop(name).send_signal(signal.SIGTERM)
            self.fleet.start_node(name)

    def node_stopped_and_continued(self) -> None:
        """For less than its silence is borne, or until the end: longer, so that it finishes late."""
        name = self.rng.choice(NODES)
        if name in self.fleet.nodes:
            pid = self.fleet.inner(name)
            os.kill(pid, signal.SIGSTOP)
            if self.rng.random() < 0.5:
                time.sleep(self.rng.uniform(0.5, 5))
                os.kill(pid, signal.SIGCONT)
            else:
                self.stopped.append(pid)

    def scheduler_killed(self) -> None:
        self.fleet.kill_scheduler()
        time.sleep(self.rng.uniform(0, 3))
        self.fleet.start_scheduler()

    def relay_killed(self) -> None:
        """The process with the connection, or with it the one that would start it again."""
        for keeper in self.fleet.head.workers():
            if "fleet.keeper" in command(keeper):
                relays = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
                for pid in relays:
                    os.kill(int(pid), signal.SIGKILL)

    def head_killed(self) -> None:
        self.fleet.head.kill()
        time.sleep(self.rng.uniform(0, 3))
        self.fleet.head.start()

    def happen(self) -> None:
        kind = self.rng.choice(
            [
                self.node_killed,
                self.node_told_to_leave,
                self.node_stopped_and_continued,
                self.scheduler_killed,
                self.relay_killed,
                self.head_killed,
            ]
        )
        self.thrown[kind.__name__] += 1
        kind()

    def run(self) -> list[str]:
        """What went wrong; empty when nothing did."""
        for _ in range(EVENTS):
            self.photo()
            time.sleep(self.rng.uniform(0, 4))
            self.happen()
        while self.photos < PHOTOS:
            self.photo()
        time.sleep(self.rng.uniform(0, 5))
        for pid in self.stopped:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGCONT)
        head = self.fleet.head
        try:
            wait_until(
                lambda: len(head.rows("state = 'done'")) == PHOTOS and head.settled(), "all photos", PEACE_S
            )
            self.fleet.wait_for(*NODES, timeout_s=90)
        except AssertionError as error:
            return [f"{error}\n{self.fleet.said()}"]
        wrong = [
            f"{path.name} was changed" for path in head.inbox.iterdir() if not path.name.endswith(".jpg")
        ]
        expected = sorted(f"{number}.png" for number in range(PHOTOS))
        if head.outputs() != expected:
            wrong.append(f"outbox: {head.outputs()}")
        if {row["state"] for row in head.rows()} != {"done"}:
            wrong.append(f"rows: {[(row['path'], row['state'], row['reason']) for row in head.rows()]}")
        for name in NODES:
            self.fleet.stop_node(name)
        head.stop()
        if head.leftovers():
            wrong.append(f"left behind: {head.leftovers()}")
        return wrong


def command(pid: int) -> str:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def attack(seed: int) -> tuple[Counter[str], list[str]]:
    """One seed, in folders of its own."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix=f"fleet-{seed}-", ignore_cleanup_errors=True) as folder:
        fleet = Fleet(Path(folder), local=rng.random() < 0.5, slots=rng.randint(1, 2))
        try:
            fleet.start(*NODES)
            one = Attack(fleet, rng)
            return one.thrown, one.run()
        finally:
            fleet.stop()


def main() -> int:
    """Runs the seeds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-60", help="FIRST-LAST")
    first, _, last = parser.parse_args().seeds.partition("-")
    total, failed = Counter[str](), 0
    for seed in range(int(first), int(last or first) + 1):
        started = time.monotonic()
        thrown, wrong = attack(seed)
        total += thrown
        failed += bool(wrong)
        sys.stdout.write(
            f"seed {seed}: {'FAILED' if wrong else 'ok'} in {time.monotonic() - started:.0f} s, {dict(thrown)}\n"
        )
        for one in wrong:
            sys.stdout.write(f"{one}\n")
        sys.stdout.flush()
    sys.stdout.write(f"thrown: {dict(total)}; seeds that failed: {failed}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
