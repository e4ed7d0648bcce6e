"""Seeded attacks on a real fleet: `python -m tests.reliability.torture.fleet --seeds 1-60`.

A scheduler, two nodes and a head, each a real process on this machine, are killed, stopped and continued while they
work, and strangers knock; then all is left in peace, and each photo must have come exactly once. A run takes one to two
minutes. As root on Linux, one node stands behind a cable that is cut, and sees the folders by a mount that hangs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image
from tests.reliability.torture import hanging_mount, links
from tests.reliability.torture.hanging_mount import HangingMount
from tests.reliability.torture.links import Cable
from tests.support.conditions import wait_until
from tests.support.fleet import Fleet, of_another_version

from cutoutd.daemon.fleet.roles import Role
from cutoutd.service.fleet.certificates import authority, issue

NODES = ("anna", "bert")
PHOTOS, EVENTS = 24, 8
PEACE_S = 240.0
# What each kind of stranger's log must say in the end.
STRANGERS = {
    "of another fleet": "certificate",
    "of another fleet that knows our authority": "certificate",
    "expired": "certificate",
    "of another version": "install the same on both",
}


class Far:
    """What lies between the head and a node: a cable, and a server whose share both mount.

    Args:
        fleet: made, and nothing of it started.
        name: of the node.
        number: tells cables apart.
    """

    def __init__(self, fleet: Fleet, name: str, number: int) -> None:
        self.fleet = fleet
        self.cable = Cable(number)
        self.mounts: list[HangingMount] = []
        self.cable.lay()
        fleet.listen = ""
        fleet.wrappers[name] = self.cable.wrapper
        file = fleet.certificates / "nodes" / name / "node.toml"
        text = file.read_text().replace("tls://127.0.0.1:", f"tls://{self.cable.here}:")
        for folder in (fleet.head.inbox, fleet.head.outbox):
            at = fleet.root / f"{folder.name}-of-{name}"
            text = text.replace(f'here = "{folder}"', f'here = "{at}"')
            self.mounts.append(HangingMount(folder, at))
        file.write_text(text)

    def hang(self) -> None:
        for mount in self.mounts:
            mount.hang()

    def die(self) -> None:
        """The server is given up, and mounted anew: what waits for it fails."""
        self.mounts = [self._anew(mount) for mount in self.mounts]

    @staticmethod
    def _anew(mount: HangingMount) -> HangingMount:
        mount.end()
        return HangingMount(mount.behind, mount.at)

    def heal(self) -> None:
        self.cable.mend()
        for mount in self.mounts:
            mount.go_on()

    def end(self) -> None:
        """After all processes."""
        for mount in self.mounts:
            mount.end()
        self.cable.take_away()


class Attack:
    """One run.

    Args:
        fleet: at work.
        rng: decides what happens.
        far: between the head and the second node; None where that cannot be had.
    """

    def __init__(self, fleet: Fleet, rng: random.Random, far: Far | None) -> None:
        self.fleet, self.rng, self.far = fleet, rng, far
        self.strangers: dict[str, str] = {}
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

    def link_cut(self) -> None:
        """For less than silence is borne, or until the end: longer, so that the node finishes late."""
        if self.far is not None:
            self.far.cable.cut()
            if self.rng.random() < 0.5:
                time.sleep(self.rng.uniform(0.5, 8))
                self.far.cable.mend()

    def share_hangs(self) -> None:
        """On one node alone: for a while, until the end, or until its server is given up."""
        if self.far is not None:
            self.far.hang()
            what = self.rng.choice(["goes on", "dies", "until the end"])
            if what != "until the end":
                time.sleep(self.rng.uniform(0.5, 8))
            if what == "goes on":
                self.far.heal()
            elif what == "dies":
                self.far.die()

    def stranger_comes(self) -> None:
        """A node that may not work for us, as a process that stays."""
        kind = self.rng.choice(list(STRANGERS))
        if kind in self.strangers:
            return
        name = f"stranger{len(self.strangers)}"
        folder, program = self.fleet.root / name, None
        shutil.copytree(self.fleet.certificates / "nodes" / "anna", folder)
        file = folder / "node.toml"
        file.write_text(file.read_text().replace('name = "anna"', f'name = "{name}"'))
        ours = authority(self.fleet.certificates)
        if kind == "of another version":
            issue(folder, ours, Role.NODE, name)
            program = of_another_version(self.fleet.root / f"program-{name}")
        elif kind == "expired":
            issue(folder, ours, Role.NODE, name, days=0)
        else:
            issue(folder, authority(self.fleet.root / f"authority-{name}"), Role.NODE, name)
            if kind == "of another fleet that knows our authority":
                shutil.copy(self.fleet.certificates / "ca.pem", folder)
        self.fleet.start_node(name, folder, program=program)
        self.strangers[kind] = name

    def happen(self) -> None:
        kinds = [
            self.node_killed,
            self.node_told_to_leave,
            self.node_stopped_and_continued,
            self.scheduler_killed,
            self.relay_killed,
            self.head_killed,
            self.stranger_comes,
        ]
        if self.far is not None:
            kinds += [self.link_cut, self.share_hangs]
        kind = self.rng.choice(kinds)
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
        if self.far is not None:
            self.far.heal()
        head = self.fleet.head
        try:
            wait_until(
                lambda: len(head.rows("state = 'done'")) == PHOTOS and head.settled(), "all photos", PEACE_S
            )
            self.fleet.wait_for(*NODES, timeout_s=90)
            for kind, name in self.strangers.items():
                log = self.fleet.log(name)
                wait_until(lambda log=log, kind=kind: STRANGERS[kind] in log.read_text(), f"one {kind}", 90)
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
        for kind, name in self.strangers.items():
            if "joined:" in self.fleet.log(name).read_text():
                wrong.append(f"one {kind} joined")
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
        far: Far | None = None
        try:
            fleet.init(*NODES)
            if hanging_mount.possible() and links.possible():
                far = Far(fleet, NODES[1], 0)
            fleet.start_all(*NODES)
            one = Attack(fleet, rng, far)
            return one.thrown, one.run()
        finally:
            if far is not None:
                far.heal()
            fleet.stop()
            if far is not None:
                far.end()


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
