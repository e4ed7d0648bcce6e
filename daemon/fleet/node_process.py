"""Starts a node: a small process that stays, and beneath it the node itself, confined to the folders it shares.

The kernel confines a process to folders as they were at its start: where a share is mounted anew, the node asks to be
started again. Of the two only the lower one has a socket, and neither opens a photo.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from cutoutd.config.errors import CutoutError, EngineError, ExitCode
from cutoutd.config.fleet import NODE_FILE, Node, load_node
from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet.confining import confine
from cutoutd.daemon.piped import named
from cutoutd.daemon.workers.lifetime import die_with

# EX_TEMPFAIL: the node asks to be started again.
AGAIN: Final = 75
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S: Final = 60.0
_BOOT: Final = """
import json, sys
path, arguments = sys.argv[1:]
sys.path[:] = json.loads(path)
from cutoutd.daemon.fleet.node_process import main
main(*json.loads(arguments))
"""

_LOG = logging.getLogger("cutoutd")


def settings_of(folder: Path, slots: int) -> Node:
    """A node's file, with another number of slots where one is given.

    Raises:
        ConfigError: it is missing or wrong.
    """
    node = load_node(folder / NODE_FILE)
    return node.model_copy(update={"slots": slots}) if slots else node


def keep(folder: Path, slots: int, state: Path, models: Path, cache: Path) -> int:
    """Runs the node until it is told to stop, and again whenever it asks for that or dies.

    Returns:
        Its exit code.

    Raises:
        ConfigError: the node's file is wrong; looked at here, so that trying again would change nothing.
    """
    settings_of(folder, slots)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    stopped: list[int] = []
    child: list[subprocess.Popen[bytes]] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        """A signal: noted, and passed on to the child."""
        stopped.append(number)
        for one in child:
            with contextlib.suppress(ProcessLookupError):
                one.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    retry = Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    while True:
        started = time.monotonic()
        code = _run_once(
            child, stopped, [str(folder), slots, str(state), str(models), str(cache), os.getpid()]
        )
        if stopped or code in (ExitCode.OK, ExitCode.USAGE, ExitCode.CONFIG):  # told to, or in vain
            return code
        if time.monotonic() > started + STEADY_S or code == AGAIN:
            retry.well()
        retry.failed(0.0)
        _LOG.warning("the node ended (%d) and is started again", code)
        until = time.monotonic() + retry.at
        while not stopped and time.monotonic() < until:
            time.sleep(0.1)
        if stopped:
            return 0


def _run_once(child: list[subprocess.Popen[bytes]], stopped: list[int], arguments: list[str | int]) -> int:
    path = json.dumps([entry for entry in sys.path if entry])
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", named("cutoutd node", _BOOT), path, json.dumps(arguments)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches it through us, once
    )
    child[:] = [process]
    if stopped:  # told in between
        process.send_signal(signal.SIGTERM)
    code = process.wait()
    child.clear()
    return code


def main(folder: str, slots: int, state: str, models: str, cache: str, parent: int) -> None:
    """The node's process."""
    die_with(parent)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        code = _serve(Path(folder), slots, Path(state), Path(models), Path(cache))
    except CutoutError as error:
        sys.stderr.write(f"cutoutd: {error}\n")
        code = int(error.exit_code)
    sys.stderr.flush()
    os._exit(code)  # threads of a pool that waits for a dead share must not hold it up


def _serve(folder: Path, slots: int, state: Path, models: Path, cache: Path) -> int:
    node = settings_of(folder, slots)
    shared = [one.here for one in node.folder]
    outboxes = [one.here for one in node.folder if one.write]
    os.environ["TMPDIR"] = str(state)
    said, enforced = confine(folder, [*shared, models], outboxes, [state, cache], starts=True)
    if not enforced:
        _LOG.warning("files: %s", said)
    from cutoutd.daemon.fleet.node import FleetNode, Places

    served = FleetNode(node, Places(folder, state, models, cache))
    try:
        asyncio.run(served.run())
    except OSError as error:
        raise EngineError(f"The node cannot go on ({error})") from error
    return AGAIN if served.restart else 0
