"""A real `cutoutd run` process on folders of its own, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import warm
from tests.support.conditions import wait_until
from tests.support.folders import Below
from tests.support.models import STAND_IN, lay_stand_in
from tests.support.warm import Forked


@dataclass
class Daemon(Below):
    """One daemon with its inbox, outbox and state below `root`.

    `config` is extra TOML inside the `[[inbox]]` table; `tables` is TOML after it. `wrapper` goes in front of
    the command (faketime, setpriv …). What they leave open is cheap, which counts where hundreds of tests start a
    daemon: one worker (each takes a core a second and more to start) and a stand-in for the network (a third of a
    second less to start, half the time for a photo); `quality = "fast"` in `config` has a real one look.
    `as_shipped`, for what measures, leaves it as users have it. And where neither it nor a wrapper or an environment
    is asked for, daemon and commands are copies of a process that has loaded them (`warm.py`); `anew` starts Python.
    """

    config: str = ""
    tables: str = ""
    wrapper: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict[str, str])
    as_shipped: bool = False
    anew: bool = False
    process: subprocess.Popen[bytes] | Forked | None = None
    starts: int = 0

    @property
    def log(self) -> Path:
        return self.root / f"log-{self.starts}"

    def env(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("CUTOUTD_")},
            "HOME": str(self.root / "home"),
            "XDG_DATA_HOME": str(self.root / "home" / "data"),
            "CUTOUTD_STATE_DIR": str(self.state),
            "CUTOUTD_CACHE_DIR": str(self.root / "cache"),
            "CUTOUTD_MODELS_DIR": str(self.root / "models"),
            "PYTHONWARNINGS": "error",
            **self.environment,
        }

    def write_config(self) -> Path:
        path = self.root / "cutoutd.toml"
        engine = "" if self.as_shipped or "[engine]" in self.tables else "[engine]\nworkers = 1\n"
        text = (
            f'[[inbox]]\npath = "{self.inbox}"\noutbox = "{self.outbox}"\n{self.config}\n'
            f"{self.tables}\n{engine}"
        )
        if not self.as_shipped and not re.search("^(quality|model) =", text, re.MULTILINE):
            lay_stand_in(Path(self.env()["CUTOUTD_MODELS_DIR"]))
            text = text.replace("[[inbox]]\n", f'[[inbox]]\nmodel = "{STAND_IN}"\n')
        path.write_text(text)
        return path

    def start(self, *, ready: bool = True) -> Daemon:
        for folder in (self.inbox, self.outbox, self.root / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        arguments = ["run", "-c", str(self.write_config())]
        with self.log.open("wb") as log:
            if self._may_be_forked:
                self.process = warm.start(arguments, self.env(), log.fileno(), log.fileno())
            else:
                self.process = subprocess.Popen(
                    [*self.wrapper, sys.executable, "-m", "cutoutd.service", *arguments],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    env=self.env(),
                    start_new_session=True,
                )
        if ready:
            self.wait(lambda: self.said("ready"), "the daemon to be ready", 60)
        return self

    @property
    def _may_be_forked(self) -> bool:
        return warm.POSSIBLE and not (self.anew or self.as_shipped or self.wrapper or self.environment)

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 40.0) -> None:
        try:
            wait_until(condition, what, timeout_s)
        except AssertionError as error:
            text = self.log.read_text(errors="replace")[-4000:]
            raise AssertionError(
                f"{error}\n--- log ---\n{text}\n--- last rows ---\n{self.rows()[-4:]}"
            ) from error

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, *, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        self.process = None

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if self._may_be_forked:
            return warm.ask(list(arguments), self.env())
        return subprocess.run(
            [sys.executable, "-m", "cutoutd.service", *arguments],
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        answer = self.cli("status", "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def live(self) -> dict[str, Any]:
        """What the running daemon says of itself, from its ledger: for waiting, since each `status` costs a second."""
        with sqlite3.connect(f"file:{self.state / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'status'").fetchone()
        db.close()
        return {} if row is None else json.loads(row[0])

    def rows(self, where: str = "1=1") -> list[dict[str, Any]]:
        path = self.state / "ledger.sqlite"
        if not path.exists():
            return []
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            db.row_factory = sqlite3.Row
            found = db.execute(f"SELECT * FROM photos WHERE {where} ORDER BY id").fetchall()
        db.close()
        return [dict(row) for row in found]

    def row(self, name: str) -> dict[str, Any] | None:
        found = [row for row in self.rows("live = 1") if row["path"] == os.fsencode(name)]
        return found[0] if found else None

    def state_of(self, name: str) -> str:
        row = self.row(name)
        return "unknown" if row is None else str(row["state"])

    def outputs(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.outbox))
            for path in self.outbox.rglob("*")
            if path.is_file() and not path.name.startswith(".cutoutd-")
        )

    def leftovers(self) -> list[Path]:
        return [path for folder in (self.inbox, self.outbox) for path in folder.rglob(".cutoutd-*")]

    def settled(self) -> bool:
        """Nothing is owed any more."""
        return not self.rows("state IN ('pending', 'running', 'delivering')")

    def workers(self) -> list[int]:
        """The daemon's child processes."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]
