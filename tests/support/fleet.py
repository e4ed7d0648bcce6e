"""A fleet on this machine: a real scheduler, real nodes and a real head, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.conditions import wait_until
from tests.support.daemon_process import Daemon

import cutoutd.config


def free_port() -> int:
    """A port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def of_another_version(folder: Path) -> Path:
    """The program once more, as it will be called one day; returns what PYTHONPATH is to name."""
    here = Path(cutoutd.config.__file__).parents[1]
    for room in ("config", "models", "daemon", "service"):
        shutil.copytree(here / room, folder / "cutoutd" / room, ignore=shutil.ignore_patterns("__pycache__"))
    version = folder / "cutoutd" / "config" / "version.py"
    version.write_text('"""Another one."""\n\nVERSION = "99.0.0"\n')
    return folder


@dataclass
class Fleet:
    """Everything below `root`; nodes by name."""

    root: Path
    local: bool = True
    config: str = ""  # more of the inbox's table
    tables: str = ""
    slots: int = 1
    listen: str = "127.0.0.1"  # empty: on all addresses
    wrappers: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])  # of nodes
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])
    starts: int = 0

    def __post_init__(self) -> None:
        # A small limit keeps the wait for photos of a node that hangs short, and asks for no memory that is not there.
        fleet = (
            f'[fleet]\nscheduler = "{self.address}"\ncertificates = "{self.certificates}"\n'
            f"local = {str(self.local).lower()}\n[engine]\nworkers = 1\n{self.tables}"
        )
        self.head = Daemon(self.root, config=self.config, tables=fleet)

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @property
    def certificates(self) -> Path:
        return self.root / "fleet"

    # --- its parts ------------------------------------------------------------------------------------------

    def init(self, *nodes: str, renew: bool = False) -> Fleet:
        """Certificates for the head and these nodes, by the command that users have."""
        for folder in (self.head.inbox, self.head.outbox, self.root / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        plain = self.root / "plain.toml"
        plain.write_text(f'[[inbox]]\npath = "{self.head.inbox}"\noutbox = "{self.head.outbox}"\n')
        more = ("--renew",) if renew else ()
        done = self.head.cli(
            "fleet", "init", *nodes, "--config", str(plain), "--dir", str(self.certificates),
            "--scheduler", self.address, *more,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return self

    def log(self, name: str) -> Path:
        return self.root / f"log-{name}"

    def _start(
        self, name: str, *arguments: str, more: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                [*self.wrappers.get(name, ()), sys.executable, "-m", "cutoutd.service", *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**self.head.env(), "PYTHONWARNINGS": "default", **(more or {})},
                start_new_session=True,
            )

    def start_scheduler(self) -> None:
        """Returns once it listens."""
        self.scheduler = self._start(
            "scheduler",
            "fleet",
            "scheduler",
            "--config",
            str(self.head.write_config()),
            *(("--listen", self.listen) if self.listen else ()),
        )
        wait_until(self._listens, "the scheduler to listen", 30)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start_node(
        self, name: str, folder: Path | None = None, *, program: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """The node's keeper; it may join much later.

        Args:
            name: of the node.
            folder: its own; unset, as `init` made it.
            program: where its cutoutd is imported from; unset, the same as the head's.
        """
        state = self.root / f"node-{name}"
        other = {} if program is None else {"PYTHONPATH": str(program)}
        process = self._start(
            name, "fleet", "node", "--from", str(folder or self.certificates / "nodes" / name),
            "--slots", str(self.slots), more={"CUTOUTD_STATE_DIR": str(state), **other},
        )  # fmt: skip
        self.nodes[name] = process
        return process

    def start(self, *nodes: str) -> Fleet:
        """Scheduler, nodes and head, all at work."""
        return self.init(*nodes).start_all(*nodes)

    def start_all(self, *nodes: str) -> Fleet:
        """The same, with certificates that are there."""
        self.start_scheduler()
        for name in nodes:
            self.start_node(name)
        self.head.start()
        self.wait_for(*nodes)
        return self

    # --- what can be seen -----------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `fleet status` shows, from the head's ledger; empty before it has said anything."""
        path = self.head.state / "ledger.sqlite"
        if not path.exists():
            return {}
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'status'").fetchone()
        return {} if row is None else json.loads(row[0]).get("fleet") or {}

    def states(self) -> dict[str, str]:
        return {one["name"]: one["state"] for one in self.status().get("nodes", ())}

    def wait_for(self, *nodes: str, state: str = "ready", timeout_s: float = 60.0) -> None:
        try:
            wait_until(
                lambda: all(self.states().get(name) == state for name in nodes), f"{nodes} {state}", timeout_s
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from error

    def said(self) -> str:
        """All logs, for a failing test."""
        logs = [self.head.log, *(self.log(name) for name in ("scheduler", *self.nodes))]
        return "\n".join(
            f"--- {log.name} ---\n{log.read_text(errors='replace')[-3000:]}" for log in logs if log.exists()
        ) + json.dumps(self.status(), indent=1)

    # --- its ends -------------------------------------------------------------------------------------------

    def inner(self, name: str) -> int:
        """The process of a node that holds its connection."""
        children = Path("/proc/{0}/task/{0}/children".format(self.nodes[name].pid))
        wait_until(children.read_text, "the node to start", 30)
        return int(children.read_text().split()[0])

    def kill_node(self, name: str) -> None:
        """Without a goodbye, keeper and all."""
        inner = self.inner(name)
        process = self.nodes.pop(name)
        process.kill()
        process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            # One that was stopped before it had bound its life to the keeper's.
            os.kill(inner, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{inner}").exists(), "the node to die with its keeper", 20)

    def stop_node(self, name: str) -> int:
        process = self.nodes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(60)

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait(20)
        self.scheduler = None

    def stop(self) -> None:
        """Everything, whatever state it is in."""
        self.head.kill()
        for process in [*self.nodes.values(), *([self.scheduler] if self.scheduler else [])]:
            process.kill()
            process.wait(20)
        self.nodes.clear()
        self.scheduler = None
