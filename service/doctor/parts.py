"""The doctor's look at cutoutd's own parts: ledger, decoders, models, engine, sandbox, service."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cutoutd.config import places
from cutoutd.config.errors import CutoutError, ExitCode, printable
from cutoutd.config.installing import pip_install
from cutoutd.config.settings import Engine, Settings
from cutoutd.service.doctor.findings import Finding, Level

if TYPE_CHECKING:
    from cutoutd.models.networks.accelerators import Opened

# A worker's start is imports alone here; a cold disk needs seconds.
SELF_TEST_S = 60


# Runs as a worker does: guard first, then try what must be refused.
_SANDBOX_TEST = """
import json, sys
from pathlib import Path
from cutoutd.daemon.sandbox import guard
state = guard.guard_worker([], [], unconfined=sys.argv[2], devices=[Path(name) for name in sys.argv[3:]])
found = {"network": state.network, "refused": state.network_refused, "files": state.files,
         "confined": state.files_confined, "tried": guard.try_network()}
try:
    Path(sys.argv[1]).read_bytes()
    found["read"] = "open"
except OSError as error:
    found["read"] = error.strerror
json.dump(found, sys.stdout)
"""


def check_state() -> Iterator[Finding]:
    """The ledger's folder: ours, private, on a disk of this machine; and whether a daemon is at work."""
    from cutoutd.daemon.files.mounts import filesystem_kind
    from cutoutd.daemon.ledger.database import LEDGER_NAME, SHARED_NOTHING
    from cutoutd.daemon.lock import holder

    state = places.state_dir()
    if not state.is_dir():
        yield Finding("ledger", "ok", f"{printable(state)} is made at the first start")
        return
    kind = filesystem_kind(state)
    if kind in SHARED_NOTHING:
        yield Finding(
            "ledger",
            "error",
            f"{printable(state)} lies on a network share ({kind}), where the ledger cannot work",
            "Set CUTOUTD_STATE_DIR to a folder on this machine's own disk.",
            ExitCode.LEDGER,
        )
    elif not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "ledger",
            "error",
            f"{printable(state)} belongs to another user",
            "Run this as the user that the daemon runs as, e.g. with sudo -u.",
            ExitCode.LEDGER,
        )
    elif state.stat().st_mode & 0o077:
        fix = f"chmod 700 '{printable(state)}'"
        yield Finding("ledger", "warning", f"{printable(state)} is open to other users", fix)
    else:
        yield Finding("ledger", "ok", f"{printable(state)}, private to its user")
    pid = holder(state)
    running = "no daemon is at work" if pid is None else f"a daemon is at work (process {pid or 'unknown'})"
    yield Finding(
        "daemon",
        "ok" if pid is not None else "note",
        running,
        "Start it: `cutoutd run`." if pid is None else "",
    )
    if pid is not None and not (state / LEDGER_NAME).exists():
        missing = f"{printable(state / LEDGER_NAME)} is not there"
        yield Finding("ledger", "warning", missing, "The daemon writes it within seconds; look again then.")


def check_decoders() -> Iterator[Finding]:
    """Which kinds of photos can be opened."""
    from PIL import features

    missing: list[str] = []
    there = ["JPEG", "PNG", "TIFF", "BMP", "GIF"]
    for name, present, fix in (
        (
            "WebP",
            features.check("webp"),
            f"Install Pillow from its own wheels: {pip_install('--force-reinstall', 'pillow')}",
        ),
        ("AVIF", features.check("avif"), f"Install Pillow 11.3 or newer: {pip_install('-U', 'pillow')}"),
        ("HEIC", _installed("pi_heif"), pip_install("pi-heif")),
        ("JPEG XL", _installed("pillow_jxl"), pip_install("pillow-jxl-plugin")),
        (
            "JPEG 2000",
            features.check("jpg_2000"),
            f"Install Pillow from its own wheels: {pip_install('--force-reinstall', 'pillow')}",
        ),
        ("RAW", _installed("rawpy"), f"{pip_install('rawpy')} (a JPEG beside the RAW needs nothing)"),
    ):
        if present:
            there.append(name)
        else:
            missing.append(name)
            level: Level = "note" if name == "RAW" else "warning"
            yield Finding("decoders", level, f"{name} photos cannot be opened", fix)
    yield Finding("decoders", "ok", f"{', '.join(there)} can be opened")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def check_models(settings: Settings) -> Iterator[Finding]:
    """Each model an inbox asks for is installed and is the file it should be."""
    from cutoutd.models.networks.catalog import installed, resolve
    from cutoutd.models.networks.providers import read_verified

    try:
        installed(places.models_dir())
    except CutoutError as error:
        yield Finding("models", "error", f"{error.path}: {error.what}", error.fix, error.exit_code)
    for wanted in dict.fromkeys(inbox.model or inbox.quality for inbox in settings.inbox):
        try:
            spec = resolve(wanted, places.models_dir())
            read_verified(spec)
        except CutoutError as error:
            yield Finding("models", "error", f"{wanted}: {error.what}", error.fix, error.exit_code)
            continue
        yield Finding(
            "models", "ok", f"{spec.name}: SHA-256 {spec.sha256[:16]}… as it should be ({spec.licence})"
        )


def check_providers(settings: Settings) -> Iterator[Finding]:
    """What the network runs on, and whether everything asked for by name can be had."""
    from cutoutd.models.networks.catalog import resolve
    from cutoutd.models.networks.segmenter import Segmenter
    from cutoutd.models.onnx_runtime import runtime

    asked = settings.engine.providers
    try:
        trial = Segmenter(
            resolve("standard", places.models_dir()),
            providers="auto" if asked == "auto" else list(asked),
            threads=1,
        )
    except CutoutError as error:
        yield Finding("engine", "error", error.what, error.fix, error.exit_code)
        return
    why: dict[str, list[str]] = {}
    for sentence in trial.why_not if asked == "auto" else ():
        name, _, reason = sentence.partition(": ")
        why.setdefault(reason, []).append(name)
    others = "".join(f"; not on {', '.join(names)}: {reason}" for reason, names in why.items())
    yield Finding("engine", "ok", f"runs on {trial.provider} (ONNX Runtime {runtime().__version__}){others}")


# --- promises and service ------------------------------------------------------------------------------------


def check_sandbox(settings: Settings | None = None) -> Iterator[Finding]:
    """A process like a worker gives up network and files, and then tries both."""
    from cutoutd.daemon.plan import accelerator

    engine = Engine() if settings is None else settings.engine
    if not engine.sandbox:
        yield Finding("sandbox", "warning", "engine.sandbox is off in the configuration", "Leave it on.")
    found = _sandbox_answers(accelerator(engine))
    if isinstance(found, str):
        yield Finding("sandbox", "error", f"the self-test did not run: {found}", code=ExitCode.VERIFY)
        return
    opened = [name for name, answer in found["tried"].items() if answer == "open"]
    if found["refused"] and not opened:
        yield Finding("sandbox", "ok", f"network: {found['network']} (tried: {', '.join(found['tried'])})")
    else:
        what = f"network: {found['network']}" + (f"; still open: {', '.join(opened)}" if opened else "")
        yield Finding("sandbox", "warning", what, "docs/PRIVACY.md says what each system can enforce.")
    if found["confined"] and found["read"] != "open":
        yield Finding("sandbox", "ok", f"files: {found['files']}")
    else:
        kernel = (
            ""
            if "not confined (" in found["files"]
            else "Landlock needs Linux 5.13 or newer, with it enabled."
        )
        yield Finding("sandbox", "note", f"files: {found['files']}", kernel)


def check_worker(settings: Settings) -> Iterator[Finding]:
    """A worker's start inside its sandbox, and which system calls the sandbox refused it."""
    from cutoutd.daemon.plan import accelerator
    from cutoutd.daemon.workers import refused_calls
    from cutoutd.models.networks.catalog import resolve

    engine = settings.engine
    model = resolve("standard", places.models_dir()).name
    start = refused_calls.started(model, places.models_dir(), engine.providers, accelerator(engine))
    refused = f"; refused system calls: {start.named()}" if start.refused else ""
    if not start.error:
        yield Finding("sandbox", "ok", f"a worker starts in it{refused}")
        return
    fix = 'If it starts with engine.sandbox = "network" or false, please report this line.'
    yield Finding(
        "sandbox", "error", f"a worker cannot start in it: {start.error}{refused}", fix, ExitCode.ENGINE
    )


def _sandbox_answers(machine: Opened) -> dict[str, Any] | str:
    # A file everybody may read, that no worker needs.
    foreign = "/etc/passwd" if os.path.exists("/etc/passwd") else __file__  # noqa: PTH110
    command = [sys.executable, "-c", _SANDBOX_TEST, foreign, machine.unconfined, *map(str, machine.devices)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SELF_TEST_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {SELF_TEST_S} s"
    try:
        return json.loads(done.stdout)
    except ValueError:
        return (done.stderr.strip().splitlines() or ["no answer"])[-1]


def check_service() -> Iterator[Finding]:
    """Whether a service manager looks after the daemon."""
    from cutoutd.service.managers.choice import any_settings, manager_for, systemd_runs

    if sys.platform != "darwin" and not systemd_runs():
        yield Finding(
            "service", "note", "systemd does not run this machine", "Start `cutoutd run` by other means."
        )
        return
    silent: list[Finding] = []
    found = False
    for system in (False,) if sys.platform == "darwin" else (False, True):
        manager = manager_for(any_settings(), system=system)
        try:
            state = manager.state()
        except CutoutError as error:
            silent.append(Finding("service", "note", f"{manager.name}: {error.what}", error.fix))
            continue
        if not state.installed:
            continue
        found = True
        flag = " --system" if system else ""
        if state.running:
            yield Finding("service", "ok", f"{manager.name}: {state.state}")
        else:
            fix = f"`cutoutd service start{flag}`; `cutoutd service logs{flag}` says why it ended"
            yield Finding("service", "warning", f"{manager.name}: {state.state}", fix)
    # Root and cron jobs have no user services; that only matters when there is no other.
    if not found:
        yield from silent
        yield Finding("service", "note", "not installed as a service", "`cutoutd service install`")
