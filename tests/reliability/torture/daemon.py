"""The daemon under attack: started, killed, stopped, and looked at from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.daemon_process import Daemon


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()


@dataclass
class Attacked(Daemon):
    """A `Daemon` that keeps count of its deaths and remembers its logs."""

    kills: int = 0
    worker_kills: int = 0
    bad_exits: list[str] = field(default_factory=list[str])
    settle_ms: int = 500
    archives: bool = False
    moves_failed: bool = False
    other_disk: Path | None = None
    polled: bool = False
    fake_clock: Path | None = None
    engines: int = 2
    time_limit_s: int | None = None

    @property
    def archive(self) -> Path:
        return (self.other_disk or self.root) / "archive"

    @property
    def failed(self) -> Path:
        return (self.other_disk or self.root) / "failed"

    def write_config(self) -> Path:
        after = "[inbox.after]\n" if self.archives or self.moves_failed else ""
        after += f'action = "archive"\narchive = "{self.archive}"\n' if self.archives else ""
        after += f'failed = "{self.failed}"\n' if self.moves_failed else ""
        events = 'events = "poll"\npoll_every = "300ms"\nsettle_polled = "600ms"\n' if self.polled else ""
        # A real network: a verdict looks at what is opaque in a cutout, to see whose it is.
        self.config = (
            f'quality = "fast"\nsettle = "{self.settle_ms}ms"\nrescan_every = "10s"\n{events}{after}'
        )
        limits = f'[limits]\ntime_per_photo = "{self.time_limit_s}s"\n' if self.time_limit_s else ""
        self.tables = f"[engine]\nworkers = {self.engines}\n{limits}"
        return super().write_config()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ensure(self, *, ready: bool = False) -> None:
        """Started if it is down; a daemon that ended by itself is a finding."""
        if self.process is not None and not self.alive():
            self.bad_exits.append(f"ended by itself with {self.process.returncode}")
            self.process = None
        if self.process is None:
            self.start(ready=False)
        if ready:
            self.wait(lambda: self.said("INFO ready") or not self.alive(), "the daemon to be ready", 90)

    def murder(self) -> None:
        if self.alive():
            self.kills += 1
        self.kill()

    def a_worker(self, pick: int) -> int | None:
        """The process number of a worker; None when none lives."""
        with contextlib.suppress(OSError, AssertionError):
            found = [pid for pid in self.workers() if _name(pid) == "cutoutd worker"]
            if found:
                return found[pick % len(found)]
        return None

    def kill_worker(self, pick: int, number: int = signal.SIGKILL) -> bool:
        """A deadly signal to one worker. False when none lives."""
        worker = self.a_worker(pick)
        if worker is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)
            self.worker_kills += 1
            return True
        return False

    def end(self) -> None:
        """A clean stop, whose exit code counts."""
        if not self.alive():
            self.ensure()
        code = self.stop(timeout_s=90)
        early = code == -signal.SIGTERM and not self.said("Loading the model")
        # Under libfaketime each `time.sleep` says EINVAL, and so does the wait for a worker's end.
        faked = code == 1 and self.fake_clock is not None and self.said("cutoutd: Invalid argument.")
        if code != 0 and not early and not faked:  # before it listens to signals it has touched nothing
            self.bad_exits.append(f"exit code {code} after SIGTERM")

    def await_end(self) -> None:
        """After two signals; the second may come when Python has already given its handlers back."""
        assert self.process is not None
        code = self.process.wait(90)
        self.process = None
        if code not in (0, -signal.SIGTERM):
            self.bad_exits.append(f"exit code {code} after two times SIGTERM")

    def where_it_stands(self) -> str:
        """The stacks of the daemon's threads, which it writes to its log as it dies of SIGABRT."""
        if self.process is None or not self.alive():
            return "the daemon is not running"
        before = self.log.stat().st_size
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        return self.log.read_bytes()[before:].decode(errors="replace")

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("log-*")))

    def cutouts(self) -> list[dict[str, Any]]:
        """All deliverables that the ledger calls done, with their photo's row."""
        return self._query(
            "SELECT d.name, d.out_digest, d.state AS d_state, p.* FROM deliverables d JOIN photos p"
            " ON p.id = d.photo WHERE d.state IN ('done', 'delivering') ORDER BY d.id"
        )

    def tombstones(self) -> int:
        return len(self._query("SELECT 1 FROM tombstones"))

    def knows_its_folders(self) -> bool:
        try:
            return len(self._query("SELECT 1 FROM folders")) >= 2
        except sqlite3.OperationalError:
            return False  # not made yet

    def integrity(self) -> str:
        found = self._query("PRAGMA integrity_check")
        return str(next(iter(found[0].values())))

    def _query(self, sql: str) -> list[dict[str, Any]]:
        path = f"file:{self.state / 'ledger.sqlite'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql).fetchall()]
