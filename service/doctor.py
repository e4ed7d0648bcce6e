"""Looks at everything cutoutd depends on and says what to mend; it mends nothing itself.

Each check gives findings; a finding that is not fine carries its fix.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cutoutd.config import places
from cutoutd.config.errors import CutoutError, ExitCode, printable
from cutoutd.config.load import Loaded, load_settings
from cutoutd.config.settings import Inbox, Settings
from cutoutd.service.launchd import privacy_refusal

Level = Literal["ok", "note", "warning", "error"]

# Below this a burst of frames fills the disk within minutes: 100 cutouts of 24 megapixels at 8 MB each.
LOW_BYTES = 10**9
# Below this not even the next few cutouts fit.
FULL_BYTES = 100 * 10**6
# Native events arrive within milliseconds; a probe that waits longer waits in vain.
PROBE_S = 1.0
# Counting the folders of a huge archive must not make this screen slow.
COUNT_S = 2.0
# A worker's start is imports alone here; a cold disk needs seconds.
SELF_TEST_S = 60

_INOTIFY = Path("/proc/sys/fs/inotify")

# Runs as a worker does: guard first, then try what must be refused.
_SANDBOX_TEST = """
import json, sys
from pathlib import Path
from cutoutd.daemon import sandbox
state = sandbox.guard_worker([], [])
found = {"network": state.network, "refused": state.network_refused, "files": state.files,
         "confined": state.files_confined, "tried": sandbox.try_network()}
try:
    Path(sys.argv[1]).read_bytes()
    found["read"] = "open"
except OSError as error:
    found["read"] = error.strerror
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    `code` is the exit code of the whole command when this is an error and the first one.
    """

    area: str
    level: Level
    what: str
    fix: str = ""
    code: ExitCode = ExitCode.FOLDER


def examine(config_file: Path | None) -> list[Finding]:
    """Every check, in the order of the screen. A check that itself fails becomes a finding."""
    findings, loaded = check_config(config_file)
    settings = loaded.settings if loaded is not None else None
    checks: list[Callable[[], Iterator[Finding]]] = []
    if settings is not None:
        checks += [
            lambda: check_folders(settings),
            lambda: check_events(settings),
            lambda: check_space(settings),
        ]
    checks += [check_state, check_decoders]
    if settings is not None:
        checks += [lambda: check_models(settings), lambda: check_providers(settings)]
    checks += [check_sandbox, check_service]
    for check in checks:
        try:
            findings += check()
        except CutoutError as error:
            findings.append(Finding("checks", "error", error.what, error.fix, error.exit_code))
        except OSError as error:
            findings.append(Finding("checks", "error", f"a check could not be made: {error}"))
    return findings


def exit_code(findings: list[Finding]) -> ExitCode:
    """The first error's code; warnings do not fail the command."""
    return next((finding.code for finding in findings if finding.level == "error"), ExitCode.OK)


def check_config(config_file: Path | None) -> tuple[list[Finding], Loaded | None]:
    """The configuration file: which one, and every mistake in it."""
    try:
        loaded = load_settings(config_file)
    except CutoutError as error:
        lines: tuple[str, ...] = getattr(error, "problems", ()) or (str(error),)
        return [Finding("config", "error", line, "Edit the file.", error.exit_code) for line in lines], None
    if loaded.path is None:
        return [Finding("config", "ok", "no file: the defaults hold (`cutoutd init` writes one)")], loaded
    return [Finding("config", "ok", f"{printable(loaded.path)}: no mistakes")], loaded


# --- folders -------------------------------------------------------------------------------------------------


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Inboxes can be read, outboxes and after-care folders written."""
    for inbox in settings.inbox:
        moves = inbox.after.action != "keep" or inbox.after.failed is not None
        found = [*_folder(inbox.path, "inbox", write=moves), *_folder(inbox.outbox, "outbox", write=True)]
        for folder, name in (
            (inbox.after.archive, "archive"),
            (inbox.after.failed, "folder for failed photos"),
        ):
            if folder is not None:
                found += _folder(folder, name, write=True)
        yield from found or [
            Finding("folders", "ok", f"{inbox.label}: {printable(inbox.path)} -> {printable(inbox.outbox)}")
        ]


def _folder(folder: Path, name: str, *, write: bool) -> Iterator[Finding]:
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        yield Finding(
            "folders",
            "error",
            f"the {name} {printable(folder)} does not exist",
            "Run `cutoutd init`, or connect the disk or share it lies on.",
        )
        return
    except OSError as error:
        fix = privacy_refusal(folder, error) or f"Give yourself access: chmod u+rwx '{printable(folder)}'"
        yield Finding("folders", "error", f"the {name} {printable(folder)}: {error.strerror}", fix)
        return
    if write and not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "folders",
            "error",
            f"the {name} {printable(folder)} may not be written to",
            f"chmod u+wx '{printable(folder)}', or choose a folder of your own.",
        )


def check_space(settings: Settings) -> Iterator[Finding]:
    """Room for cutouts and for the ledger, once per disk."""
    seen: set[int] = set()
    for folder in [*(inbox.outbox for inbox in settings.inbox), places.state_dir()]:
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        disk = os.statvfs(there)
        free = disk.f_bavail * disk.f_frsize
        text = f"{free / 1e9:.1f} GB free for {printable(folder)}"
        if free < LOW_BYTES:
            level: Level = "error" if free < FULL_BYTES else "warning"
            yield Finding("disk space", level, text, "Make room: a full disk makes cutoutd wait.")
        else:
            yield Finding("disk space", "ok", text)


# --- events --------------------------------------------------------------------------------------------------


def check_events(settings: Settings) -> Iterator[Finding]:
    """The kind of each inbox's file system, whether its events arrive, and the kernel's limits on watches."""
    folders = 0
    for inbox in settings.inbox:
        if inbox.path.is_dir():
            yield _events(inbox)
            folders += count_folders(inbox.path) if inbox.recursive else 1
    yield from inotify_limits(folders)


def _events(inbox: Inbox) -> Finding:
    from cutoutd.daemon.mounts import filesystem_kind
    from cutoutd.daemon.watch import probe_events

    kind = filesystem_kind(inbox.path)
    text = f"{inbox.label}: {kind}"
    if inbox.events == "poll":
        every = f"{inbox.poll_every:g} s"
        return Finding("events", "ok", f"{text}, looked at every {every} as configured")
    if probe_events(inbox.path, PROBE_S):
        return Finding("events", "ok", f"{text}, events arrive")
    if inbox.events == "auto":
        return Finding(
            "events", "note", f"{text}, events cannot be relied on: it is looked at every few seconds"
        )
    return Finding(
        "events",
        "warning",
        f'{text}, events do not arrive although events = "native"',
        'Set events = "auto" or "poll" for this inbox; until then only the rescan finds photos.',
    )


def count_folders(root: Path, limit_s: float = COUNT_S) -> int:
    """How many folders lie at and below `root`; at least so many when time runs out."""
    until = time.monotonic() + limit_s
    count = 0
    for _, _, _ in os.walk(root):
        count += 1
        if time.monotonic() > until:
            break
    return count


def inotify_limits(folders: int, proc: Path = _INOTIFY) -> Iterator[Finding]:
    """Whether the kernel lets one user watch that many folders."""
    try:
        limits = {name: int((proc / name).read_text()) for name in ("max_user_watches", "max_user_instances")}
    except (OSError, ValueError):
        return  # not Linux: there is no such limit
    watches = limits["max_user_watches"]
    text = f"{folders} folders to watch of {watches} allowed (inotify)"
    # Other programs of the same user share the limit; half of it is what we may count on.
    if folders * 2 > watches:
        yield Finding(
            "events",
            "error" if folders > watches else "warning",
            text,
            f"sudo sysctl fs.inotify.max_user_watches={max(524288, folders * 4)} (and keep it in /etc/sysctl.d)",
        )
    elif limits["max_user_instances"] < 16:
        yield Finding(
            "events",
            "warning",
            f"only {limits['max_user_instances']} programs may watch folders at once (inotify)",
            "sudo sysctl fs.inotify.max_user_instances=128 (and keep it in /etc/sysctl.d)",
        )
    else:
        yield Finding("events", "ok", text)


# --- the program's own parts ---------------------------------------------------------------------------------


def check_state() -> Iterator[Finding]:
    """The ledger's folder: ours, private, on a disk of this machine; and whether a daemon is at work."""
    from cutoutd.daemon.ledger import SHARED_NOTHING
    from cutoutd.daemon.lock import holder
    from cutoutd.daemon.mounts import filesystem_kind

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
    running = f"a daemon is at work (process {pid})" if pid is not None else "no daemon is at work"
    yield Finding(
        "daemon", "ok" if pid is not None else "note", running, "" if pid else "Start it: `cutoutd run`."
    )


def check_decoders() -> Iterator[Finding]:
    """Which kinds of photos can be opened."""
    from PIL import features

    missing: list[str] = []
    there = ["JPEG", "PNG", "TIFF", "BMP", "GIF"]
    for name, present, fix in (
        (
            "WebP",
            features.check("webp"),
            "Install Pillow from its own wheels: pip install --force-reinstall pillow",
        ),
        ("AVIF", features.check("avif"), "Install Pillow 11.3 or newer: pip install -U pillow"),
        ("HEIC", _installed("pi_heif"), "pip install pi-heif"),
        ("RAW", _installed("rawpy"), "pip install 'cutoutd[raw]' (a JPEG beside the RAW needs nothing)"),
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
    from cutoutd.models.catalog import resolve
    from cutoutd.models.providers import read_verified

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
    from cutoutd.models.providers import choose

    asked = settings.engine.providers
    try:
        chosen, _ = choose("auto" if asked == "auto" else list(asked))
    except CutoutError as error:
        yield Finding("engine", "error", error.what, error.fix, error.exit_code)
        return
    yield Finding("engine", "ok", f"runs on {', '.join(chosen)} ({_runtime_version()})")


def _runtime_version() -> str:
    from cutoutd.models.providers import runtime

    return f"ONNX Runtime {runtime().__version__}"


# --- promises and service ------------------------------------------------------------------------------------


def check_sandbox() -> Iterator[Finding]:
    """A process like a worker gives up network and files, and then tries both."""
    found = _sandbox_answers()
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
        yield Finding(
            "sandbox",
            "note",
            f"files: {found['files']}",
            "Landlock needs Linux 5.13 or newer, with it enabled.",
        )


def _sandbox_answers() -> dict[str, Any] | str:
    # A file everybody may read, that no worker needs.
    foreign = "/etc/passwd" if os.path.exists("/etc/passwd") else __file__  # noqa: PTH110
    command = [sys.executable, "-c", _SANDBOX_TEST, foreign]
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
    from cutoutd.service.service_cli import any_settings, manager_for, systemd_runs

    if sys.platform != "darwin" and not systemd_runs():
        yield Finding(
            "service", "note", "systemd does not run this machine", "Start `cutoutd run` by other means."
        )
        return
    found = False
    for system in (False,) if sys.platform == "darwin" else (False, True):
        manager = manager_for(any_settings(), system=system)
        try:
            state = manager.state()
        except CutoutError as error:
            yield Finding("service", "note", f"{manager.name}: {error.what}", error.fix)
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
    if not found:
        yield Finding("service", "note", "not installed as a service", "`cutoutd service install`")
