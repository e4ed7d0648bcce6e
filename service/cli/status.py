"""`cutoutd status` and `cutoutd failures`: what stands in the ledger, for people and scripts; they change nothing."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from cutoutd.config.errors import printable, put_aside
from cutoutd.config.places import state_dir
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import LEDGER_NAME
from cutoutd.daemon.ledger.events import HookQueue
from cutoutd.daemon.ledger.records import PhotoRow, timings_of
from cutoutd.daemon.ledger.shots import decided
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.live_status import DaemonState, LiveStatus
from cutoutd.daemon.lock import holder
from cutoutd.service.cli.control import json_option, open_ledger_file
from cutoutd.service.cli.health import concerns, in_order, unhealthy
from cutoutd.service.cli.machines_service import point_to_it
from cutoutd.service.text import PIPE_COLUMNS, counted, said, tell

# More names of skipped files than this are counted, not listed.
SKIPPED_NAMES = 8
# A look costs a few small queries; what people watch changes no faster.
WATCH_EVERY_S = 1.0

# --- status ----------------------------------------------------------------------------------------------------


def hooks_running(state: Path) -> bool:
    """Whether a `cutoutd hooks` is at work with this state folder."""
    try:
        fd = os.open(state / "hooks.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def collect_status() -> dict[str, Any]:
    """Everything `status` shows, whether the daemon is up or down."""
    pid = holder(state_dir())
    if not (state_dir() / LEDGER_NAME).exists():
        return {
            "running": pid is not None,
            "state": "not started yet" if pid is None else DaemonState.STARTING,
            "counts": {},
            "needs_review": 0,
            "recent": [],
            "skipped": {},
            "skipped_files": [],
        }
    with open_ledger_file() as ledger:
        control, marked = Control(ledger), decided(ledger)
        live = control.published() if pid is not None else None
        told = {} if live is None else live.plain()
        recent = control.recent(8)
        ended = {
            row.id for row in recent
        }  # the ledger knows sooner than what the daemon said up to a second ago
        return {
            **told,
            "in_hand": [hand for hand in told.get("in_hand", ()) if hand["photo"] not in ended],
            "running": pid is not None,
            "pid": pid,
            "state": _state(live, running=pid is not None),
            "paused": bool(ledger.get_meta("paused")),
            "counts": control.counts(),
            "needs_review": sum(row.id not in marked for row in control.to_review()),
            "hooks": [
                {"hook": name, "running": hooks_running(state_dir()), **asdict(standing)}
                for name, standing in HookQueue(ledger).standings().items()
            ],
            "skipped": control.skipped(),
            "skipped_files": [row_dict(row, control) for row in control.skipped_files(SKIPPED_NAMES)],
            "today": control.ended_since(_midnight()),
            "session": control.ended_since(live.since) if live is not None and live.since else None,
            "recent": [row_dict(row, control) for row in recent],
            "aftercare": control.aftercare_troubles(),
            "left": [] if live is None else _left(control, live),
            "ledger": str(ledger.path),
        }


def _left(control: Control, live: LiveStatus) -> list[dict[str, Any]]:
    """Inboxes that are not in the configuration in force, and how many of their photos wait for that."""
    watched = {one.path for one in live.inboxes}
    return [
        {"path": os.fsdecode(inbox), "owed": owed}
        for inbox, owed in control.owed().items()
        if printable(inbox) not in watched
    ]


def _state(live: LiveStatus | None, *, running: bool) -> DaemonState:
    if not running:
        return DaemonState.STOPPED
    return DaemonState.STARTING if live is None else live.state


def row_dict(row: PhotoRow, control: Control) -> dict[str, Any]:
    """One photo for scripts, which get each name as it is; what shows one to people makes text of it."""
    name = f"photo {row.id}" if row.path is None else os.fsdecode(row.path)
    return {
        "photo": row.id,
        "name": name,
        "original": None if row.original is None else os.fsdecode(row.original),
        "inbox": os.fsdecode(row.inbox),
        "state": row.state,
        "reason": row.reason,
        "detail": put_aside(row.detail) if row.archived_to else row.detail,
        "attempts": row.attempts,
        "finished": row.finished,
        "model": row.model,
        "outputs": [os.fsdecode(path) for path in control.outputs(row.id)],
        "timings": timings_of(row.timings),
        "confidence": None if row.confidence is None else round(row.confidence, 3),
        "needs_review": list(row.needs_review) if row.state is State.DONE else [],
    }


@click.command()
@json_option
@click.option("--watch", "-w", is_flag=True, help="Go on: show it anew whenever it changes, until Ctrl-C.")
@click.option(
    "--healthy",
    is_flag=True,
    help="For health checks: exit code 0 while photos are taken up, or are not because you said so; else 1.",
)
def status(as_json: bool, watch: bool, healthy: bool) -> None:
    """What is waiting, in hand, done and failed; works with the daemon up or down.

    With --watch and --json each change is one line.
    """
    if healthy:
        facts = collect_status()
        why = unhealthy(facts)
        click.echo(why or in_order(facts))
        raise SystemExit(int(bool(why)))
    if watch:
        _watch(as_json=as_json)
        return
    facts = collect_status()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    show_status(facts, _console())


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)  # paths stay whole


def _watch(*, as_json: bool) -> None:
    """On a terminal one picture that renews itself, elsewhere the whole status again at each change."""
    console = _console()
    before: dict[str, Any] = {}
    try:
        if console.is_terminal and not (as_json or console.is_dumb_terminal):
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(_Picture(collect_status()), refresh=True)
                    time.sleep(WATCH_EVERY_S)
        while True:
            facts = collect_status()
            if facts != before:
                before = facts
                if as_json:
                    click.echo(json.dumps(facts))
                else:
                    show_status(facts, console)
                    click.echo()
                sys.stdout.flush()
            time.sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        return


class _Picture:
    """The status as something that a live view draws, as far as it fits."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sheet = io.StringIO()
        show_status(
            self._facts,
            Console(
                file=sheet,
                force_terminal=True,
                soft_wrap=True,
                highlight=False,
                width=max(options.max_width, PIPE_COLUMNS),
            ),
        )
        yield Text.from_ansi(sheet.getvalue())


_COLOURS = {"idle": "green", "working": "green", "paused": "yellow", "waiting": "yellow", "stopped": "red"}


def show_status(facts: dict[str, Any], console: Console) -> None:
    """Draws the status at a glance."""
    state = facts["state"]
    head = said(f"cutoutd is {state}", style=f"bold {_COLOURS.get(state, 'yellow')}")
    if facts.get("since"):
        head.append(f"  (process {facts['pid']}, since {_clock(facts['since'])})", style="dim")
    console.print(head)
    for sentence in concerns(facts):
        tell(console, sentence, "yellow")
    if state in ("stopped", "not started yet"):
        tell(console, "Start it with `cutoutd run` or `cutoutd service start`.", "dim")
        point_to_it(console, "cutoutd status", "says how that one stands")
    counts = facts["counts"]
    if counts:
        to_do = counts["pending"] + counts["running"] + counts["delivering"]
        line = (
            f"{to_do} to do · {counts['done']} done · {counts['failed']} failed · {counts['skipped']} skipped"
        )
        tell(console, line, "bold")
    if counts and counts["failed"]:
        tell(
            console,
            f"{counted(counts['failed'], 'photo')} failed: `cutoutd failures` says why and what to do",
            "red",
        )
    if facts.get("needs_review"):
        doubtful = counted(facts["needs_review"], "cutout")
        tell(console, f"{doubtful} to look at: `cutoutd review` says why", "yellow")
    for when, label in (("session", "this session"), ("today", "today")):
        if facts.get(when):
            ended = facts[when]
            tell(console, f"{label}: {ended['done']} done, {ended['failed']} failed", "dim")
    for inbox in facts.get("inboxes", ()):
        _show_inbox(inbox, console)
    for left in facts.get("left", ()):
        waits = (
            f"{counted(left['owed'], 'photo')} waiting in {left['path']}, which is not in the configuration"
        )
        tell(console, f"! {waits}", "yellow")
    for model, one in facts.get("models", {}).items():
        tell(console, f"model {model} on {one['provider']}", "dim")
        for reason in one.get("why_not", ()):
            # The rest is as it should be; --json has all.
            if "does not start" in reason or "memory" in reason:
                tell(console, f"  not on {reason}", "yellow")
    sandbox: dict[str, Any] = facts.get("sandbox") or {}
    worker: dict[str, Any] | None = sandbox.get("worker")
    if worker:
        tell(console, f"network: {worker['network']} · files: {worker['files']}", "dim")
    _show_fleet(facts.get("fleet"), console)
    for hand in facts.get("in_hand", ()):
        where = f" on {hand['node']}" if hand.get("node") else ""
        tell(console, f"▸ {hand['name']}  {hand['stage']}{where}")
    for row in facts["recent"]:
        _show_result(row, [inbox["outbox"] for inbox in facts.get("inboxes", ())], console)
    _show_hooks(facts, console)
    _show_skipped(facts, console)
    for trouble in facts.get("aftercare", ()):
        tell(console, f"! {trouble}", "yellow")


def _show_fleet(fleet: dict[str, Any] | None, console: Console) -> None:
    """The other machines in a line or two; `fleet status` says more."""
    if not fleet:
        return
    if fleet["trouble"]:
        tell(console, f"! fleet: {fleet['trouble']}", "yellow")
    ready = [one for one in fleet["nodes"] if one["state"] == "ready"]
    names = ", ".join(f"{one['name']} ({one['busy']} of {one['slots']} busy)" for one in ready)
    missing = ", ".join(one["name"] for one in fleet["nodes"] if one["state"] == "missing")
    names = (names or "none at work") + (f"; missing: {missing}" if missing else "")
    tell(console, f"nodes: {names}", "dim")
    for one in fleet["nodes"]:
        if one["why"]:
            tell(console, f"! node {one['name']}: {one['why']}", "yellow")


def _show_hooks(facts: dict[str, Any], console: Console) -> None:
    """Only hooks that need somebody: those that owe something after a failure, or that nobody runs."""
    for hook in facts.get("hooks", ()):
        line = f"hook {hook['hook']}: {hook['waiting']} waiting"
        if hook["given_up"]:
            line += f", {hook['given_up']} given up (`cutoutd hooks --retry`)"
        if hook["trouble"]:
            line += f"; {hook['trouble']}"
        if not hook["running"] and hook["waiting"]:
            line += "; start `cutoutd hooks`"
        if hook["given_up"] or hook["trouble"] or (hook["waiting"] and not hook["running"]):
            tell(console, f"! {line}", "yellow")


def _show_skipped(facts: dict[str, Any], console: Console) -> None:
    rows: list[dict[str, Any]] = facts.get("skipped_files") or []
    if rows:
        names = ", ".join(f"{row['name']} ({row['reason']})" for row in rows)
        more = sum(facts["skipped"].values()) - len(rows)
        tell(console, f"· skipped: {names}{f' and {more} more' if more > 0 else ''}", "dim")


def _show_inbox(inbox: dict[str, Any], console: Console) -> None:
    mark, style = ("!", "yellow") if inbox["trouble"] or not inbox["watching"] else ("●", "green")
    how = " (polled)" if inbox["polled"] else ""
    tell(
        console,
        f"{mark} {inbox['path']} → {inbox['outbox']}{how}",
        style,
        whole=[inbox["path"], inbox["outbox"]],
    )
    for line in (inbox["trouble"], inbox["no_events"]):
        if line:
            tell(console, f"  {line}", "yellow")
    if inbox.get("being_written"):
        photos = counted(inbox["being_written"], "photo")
        why = "open in another program, or with the notes of an unfinished download beside it"
        tell(console, f"  waiting for {photos}: {why}", "dim")


def _below(path: str, outboxes: list[str]) -> str:
    """A cutout's path within its outbox, so that sub-folders show."""
    folder = next((one for one in outboxes if path.startswith(f"{one.rstrip('/')}/")), None)
    return Path(path).name if folder is None else path[len(folder.rstrip("/")) + 1 :]


def _show_result(row: dict[str, Any], outboxes: list[str], console: Console) -> None:
    if row["state"] == "done":
        outputs = ", ".join(_below(path, outboxes) for path in row["outputs"]) or "done"
        look = f"  (needs a look: {', '.join(row['needs_review'])})" if row["needs_review"] else ""
        style = "yellow" if look else "green"
        tell(console, f"✓ {_clock(row['finished'])}  {row['name']} → {outputs}{look}", style)
    else:
        tell(console, f"✗ {_clock(row['finished'])}  {row['name']}: {row['reason']}", "red")


def _midnight() -> float:
    """The last one by this machine's clock, in seconds since 1970."""
    now = time.localtime()
    return time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1))


def _clock(when: float | None) -> str:
    if when is None:
        return "--"
    shape = "%H:%M:%S" if time.time() - when < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(shape, time.localtime(when))


# --- failures -----------------------------------------------------------------------------------------


@click.command()
@json_option
def failures(as_json: bool) -> None:
    """Failed photos, why, and what to do; the originals lie where they were."""
    rows: list[dict[str, Any]] = []
    if (state_dir() / LEDGER_NAME).exists():
        with open_ledger_file() as ledger:
            control = Control(ledger)
            rows = [row_dict(row, control) for row in control.failures()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    console = Console(soft_wrap=True)  # a path broken over two lines cannot be copied
    if not rows:
        click.echo("No photo has failed.")
        point_to_it(console, "cutoutd failures", "says which of its photos have")
        return
    for row in rows:
        original = row["original"] or row["name"]
        tell(console, f"✗ {original}", "bold red", whole=[original])
        tell(console, f"  {row['reason']}: {row['detail']}")
    tell(console, "Try them again with `cutoutd retry --all` or `cutoutd retry PATH`.")
