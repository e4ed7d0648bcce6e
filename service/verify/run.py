"""One supervised run of the real daemon over a canary photo, in a folder of its own; it judges nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from cutoutd.config.dump import to_toml
from cutoutd.config.errors import VerifyError
from cutoutd.config.output import Deliverable
from cutoutd.config.reporting import Log, Metrics, Notify
from cutoutd.config.settings import Inbox, Settings
from cutoutd.daemon.sandbox.guard import guard_supervisor
from cutoutd.service.verify.canary import Canary, plant

# Generous, since a machine that is busy training networks or rendering film is no reason to fail.
START_LIMIT_S = 180.0
PHOTO_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.01

# The formats that keep every pixel, and those that do not at their worst: what they make of erased pixels is looked at.
DELIVERED = (
    Deliverable(label="png"),
    Deliverable(label="webp", format="webp", lossless=False, quality=30),
    Deliverable(label="avif", format="avif", quality=30),
)

# What the daemon may know of the world it is started from; everything else would leak the user's folders into it.
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_", "LD_LIBRARY_PATH", "DYLD_", "PYTHON", "VIRTUAL_ENV", "SSL_", "TZ")


class Evidence(Struct):
    """What the run left behind and what was said during it.

    Attributes:
        root: everything the daemon wrote lies below.
        canary: the photo.
        before: what the daemon's process could do at its very start, before it gave anything up.
        daemon: what it could do afterwards; `worker` the same of the worker that had decoded the photo.
        sandbox: what both say of themselves, as in `status`.
        temporary_modes: permission bits of temporaries seen while they lay in the outbox.
        leaks: (needle, file) pairs found while the daemon ran or after it had stopped.
        files: how many files were searched.
        exit_code: of the daemon, after it was asked to stop.
    """

    root: Path
    canary: Canary
    before: dict[str, Any] = field(default_factory=dict[str, Any])
    daemon: dict[str, Any] = field(default_factory=dict[str, Any])
    worker: dict[str, Any] = field(default_factory=dict[str, Any])
    sandbox: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: tuple[Path, ...] = ()
    temporary_modes: set[int] = field(default_factory=set[int])
    leaks: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    files: int = 0
    exit_code: int = -1


def gather(settings: Settings, root: Path, token: str, progress: Callable[[str], None]) -> Evidence:
    """Runs the daemon over one canary photo and collects what can be known.

    This process gives up its own network too, but only after the daemon was started: a filter is inherited,
    and the daemon must do its own.

    Args:
        settings: the user's; engine, matte and output are as there, folders and model are the test's own.
        root: an empty folder; afterwards it holds everything that was written.
        token: random text that makes this run's secrets unique.
        progress: told, in a few words, what is being done.

    Raises:
        VerifyError: the daemon did not start, or the photo did not become a cutout.
    """
    progress("Starting a daemon of its own")
    config = _house(settings, root)
    log = root / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cutoutd.service.verify.daemon", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            cwd=root,
            env=_environment(root),
        )
    try:
        guard_supervisor()
        evidence = Evidence(root, plant(token))
        events = _Events(process, log)
        evidence.before = events.wait("started", START_LIMIT_S)["before"]
        ready = events.wait("ready", START_LIMIT_S)
        evidence.daemon, evidence.sandbox = ready["daemon"], ready["sandbox"]
        _photograph(evidence, events, progress)
        progress("Searching every file it has written, while it runs")
        search(evidence)
        progress("Stopping it and searching again")
        process.send_signal(signal.SIGTERM)
        evidence.exit_code = process.wait(STOP_LIMIT_S)
        search(evidence)
    except subprocess.TimeoutExpired as error:
        raise VerifyError("The daemon under test did not stop when asked to", log) from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()
    return evidence


def _house(settings: Settings, root: Path) -> Path:
    """Folders and a config for the run: the user's engine, one worker, folders of its own."""
    for name in ("inbox", "outbox", "home", "tmp"):
        (root / name).mkdir(mode=0o700)
    mine = settings.inbox[0]
    inbox = Inbox(
        path=root / "inbox", outbox=root / "outbox", matte=mine.matte, settle=0.1, deliver=DELIVERED
    )
    engine = settings.engine.model_copy(
        update={"workers": 1, "recycle_after": 500, "pause_on_battery": False, "max_load": 0.0}
    )
    changed = settings.model_copy(
        update={
            "inbox": (inbox,),
            "engine": engine,
            "log": Log(level="debug"),  # as talkative as it gets
            "notify": Notify(),
            "metrics": Metrics(),
            "preset": {},
        }
    )
    path = root / "config.toml"
    path.write_text(to_toml(changed), encoding="utf-8")
    return path


def _environment(root: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_ENVIRONMENT)}
    home = root / "home"
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(root / "tmp"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_RUNTIME_DIR": str(root / "tmp"),
        "CUTOUTD_STATE_DIR": str(root / "state"),
        "CUTOUTD_CACHE_DIR": str(root / "cache"),
        "CUTOUTD_MODELS_DIR": str(root / "models"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class _Events:
    """The daemon's lines, one by one, with patience that ends."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._rest = b""
        self._seen: list[dict[str, Any]] = []

    def take(self, timeout_s: float) -> dict[str, Any] | None:
        """The next event, or None when there is none in time.

        Raises:
            VerifyError: the daemon has ended.
        """
        if self._seen:
            return self._seen.pop(0)
        pipe = self._process.stdout
        if pipe is None or not select.select([pipe], [], [], timeout_s)[0]:
            return None
        chunk = os.read(pipe.fileno(), 65536)
        if not chunk:
            raise VerifyError(
                f"The daemon under test ended by itself: {self._last_words()}", fix="Run `cutoutd doctor`."
            )
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._seen += [json.loads(line) for line in lines]
        return self.take(0.0)

    def wait(self, name: str, limit_s: float, meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The event with this name.

        Raises:
            VerifyError: it does not come in time, or the photo failed.
        """
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            meanwhile()
            event = self.take(_LOOK_EVERY_S)
            if event is None:
                continue
            if event["event"] == name:
                return event
            if event["event"] == "failed":
                why = f"{event['reason']}: {event['detail']}"
                raise VerifyError(
                    f"The canary photo did not become a cutout ({why})", fix="Run `cutoutd doctor`."
                )
        raise VerifyError(
            f"The daemon under test was not {name} within {limit_s:.0f} s: {self._last_words()}",
            fix="Run `cutoutd doctor`.",
        )

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _photograph(evidence: Evidence, events: _Events, progress: Callable[[str], None]) -> None:
    """Drops the photo, waits for its cutout, and watches the temporaries meanwhile."""
    progress("Waiting for the cutout of a photo full of secrets")
    root = evidence.root
    part = root / "canary.part"
    part.write_bytes(evidence.canary.data)
    part.rename(root / "inbox" / "canary.jpg")

    def look() -> None:
        for entry in _files(root / "outbox"):
            if entry.name.endswith(".part"):
                try:
                    evidence.temporary_modes.add(entry.stat().st_mode & 0o777)
                except FileNotFoundError:
                    return  # it has its final name by now

    done = events.wait("done", PHOTO_LIMIT_S, look)
    evidence.outputs = tuple(Path(path) for path in done["outputs"])
    evidence.worker = events.wait("worker", PHOTO_LIMIT_S)["worker"]


def search(evidence: Evidence) -> None:
    """Looks for every secret in every file but the photo itself."""
    files = [path for path in _files(evidence.root) if path.parent != evidence.root / "inbox"]
    evidence.files = max(evidence.files, len(files))
    for path in files:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # the ledger's log comes and goes
        name = str(path.relative_to(evidence.root))
        evidence.leaks |= {(needle.name, name) for needle in evidence.canary.needles if needle.found_in(data)}


def _files(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        for name in names:
            yield Path(at) / name
