"""Looks at everything cutoutd depends on and says what to fix; it fixes nothing itself.

Each check gives findings; a finding that is not fine carries its fix.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cutoutd.config import places
from cutoutd.config.errors import CutoutError, ExitCode, printable
from cutoutd.config.load import Loaded, load_settings
from cutoutd.config.settings import Inbox, Settings
from cutoutd.daemon.files.names import MOST_LEVELS
from cutoutd.daemon.files.usable import ROOT_ALONE, ROOT_ALONE_FIX, by_root_alone
from cutoutd.service.doctor.findings import Finding, Level
from cutoutd.service.doctor.parts import (
    check_decoders,
    check_models,
    check_providers,
    check_sandbox,
    check_service,
    check_state,
    check_worker,
)
from cutoutd.service.listeners.desktop import notifier_warnings
from cutoutd.service.managers.launchd import privacy_refusal
from cutoutd.service.text import counted

# Below this a burst of frames fills the disk within minutes: 100 cutouts of 24 megapixels at 8 MB each.
LOW_BYTES = 10**9
# Below this not even the next few cutouts fit.
FULL_BYTES = 100 * 10**6
# Native events arrive within milliseconds; a probe that waits longer waits in vain.
PROBE_S = 1.0
# Counting the folders of a huge archive must not make this screen slow.
COUNT_S = 2.0
_INOTIFY = Path("/proc/sys/fs/inotify")


def examine(config_file: Path | None) -> list[Finding]:
    """Every check, in the order of the screen. A check that itself fails becomes a finding."""
    # Its threads say on standard error that they were stopped, which is what a probe does to them.
    logging.getLogger("watchdog").addHandler(logging.NullHandler())
    findings, loaded = check_config(config_file)
    settings = loaded.settings if loaded is not None else None
    checks: list[Callable[[], Iterator[Finding]]] = []
    if settings is not None:
        checks += [
            lambda: check_folders(settings),
            lambda: check_events(settings),
            lambda: check_space(settings),
            lambda: check_notifier(settings),
        ]
    checks += [check_state, check_decoders]
    if settings is not None:
        checks += [lambda: check_models(settings), lambda: check_providers(settings)]
    checks.append(lambda: check_sandbox(settings))
    if settings is not None and settings.engine.sandbox:
        checks.append(lambda: check_worker(settings))
    checks.append(check_service)
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
        loaded = load_settings(config_file, look=True)
    except CutoutError as error:
        lines: tuple[str, ...] = getattr(error, "problems", ()) or (str(error),)
        findings = [Finding("config", "error", line, "Edit the file.", error.exit_code) for line in lines]
        try:  # what is only missing holds up no other check
            return findings, load_settings(config_file)
        except CutoutError:
            return findings, None
    if loaded.path is None:
        return [Finding("config", "ok", "no file: the defaults hold (`cutoutd init` writes one)")], loaded
    return [Finding("config", "ok", f"{printable(loaded.path)}: no mistakes")], loaded


# --- folders -------------------------------------------------------------------------------------------------


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Inboxes can be read, outboxes and after-care folders written."""
    for inbox in settings.inbox:
        moves = inbox.after.action != "keep" or inbox.after.failed is not None
        found = [*_folder(inbox.path, "inbox", write=moves), *_folder(inbox.outbox, "outbox", write=True)]
        if not found and settings.engine.sandbox and by_root_alone(inbox.outbox):
            said = f"the outbox {printable(inbox.outbox)}: {ROOT_ALONE}"
            found = [Finding("folders", "error", said, ROOT_ALONE_FIX)]
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
        if not (places.state_dir() / "ledger.sqlite").exists():
            yield _to_be_made(folder, name)
            return
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


def _to_be_made(folder: Path, name: str) -> Finding:
    above = next((path for path in folder.parents if path.exists()), folder)
    if os.access(above, os.W_OK | os.X_OK):
        return Finding("folders", "note", f"the {name} {printable(folder)} is made at the first start")
    return Finding(
        "folders",
        "error",
        f"the {name} {printable(folder)} cannot be made: {printable(above)} may not be written to",
        "Choose another folder in the configuration (`cutoutd init` writes one).",
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


def check_notifier(settings: Settings) -> Iterator[Finding]:
    """Whether notifications that are wanted can be shown from here."""
    for sentence in notifier_warnings(settings):
        yield Finding("notify", "warning", sentence.removeprefix("notify: "), "Or leave [notify] out.")


# --- events --------------------------------------------------------------------------------------------------


def check_events(settings: Settings) -> Iterator[Finding]:
    """The kind of each inbox's file system, whether its events arrive, and the kernel's limits on watches."""
    folders = 0
    for inbox in settings.inbox:
        if inbox.path.is_dir():
            yield _events(inbox)
            folders += count_folders(inbox.path) if inbox.recursive else 1
    if folders:
        yield from inotify_limits(folders)


def _events(inbox: Inbox) -> Finding:
    from cutoutd.daemon.files.mounts import filesystem_kind
    from cutoutd.daemon.watching.probe import probe_events

    kind = filesystem_kind(inbox.path)
    text = f"{inbox.label}: {kind}"
    if inbox.events == "poll":
        every = f"{inbox.poll_every:g} s"
        return Finding("events", "ok", f"{text}, looked at every {every} as configured")
    no_events = probe_events(inbox.path, PROBE_S)
    if no_events is None:
        return Finding("events", "ok", f"{text}, events arrive")
    if inbox.events == "auto" or no_events.code == "limit":
        level = "warning" if no_events.code == "limit" else "note"
        said = no_events.sentence(inbox.poll_every)
        return Finding("events", level, f"{text}, events cannot be relied on: {said}")
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
    deepest = str(root).count(os.sep) + MOST_LEVELS
    for folder, below, _ in os.walk(root):
        count += 1
        if folder.count(os.sep) >= deepest:
            below.clear()
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
    text = f"{counted(folders, 'folder')} to watch of {watches} allowed (inotify)"
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
