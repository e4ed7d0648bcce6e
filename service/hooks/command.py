"""One run of a hook's command: what it is told, and how it ended; when it is due is decided in `runner.py`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from typing import Any

from msgspec import Struct

from cutoutd.config.errors import printable
from cutoutd.config.hooks import Hook
from cutoutd.daemon.ledger.events import Event

# Of what a failing command said; enough for the sentence that matters, which programs say last.
SAID_BYTES = 400
# Between the request to end and the end by force.
GOODBYE_S = 2.0
# While a command runs, its end is looked for this often; it is not worth a thread of its own to hear of it sooner.
LOOK_EVERY_S = 0.05


class Ended(Struct, frozen=True):
    """How a run ended; `how` is empty when it succeeded, `words` are the last that the command said, on one line."""

    how: str
    words: str = ""

    @property
    def why(self) -> str:
        """Both."""
        return f"{self.how}: {self.words}" if self.words else self.how

    @property
    def well(self) -> bool:
        """Whether the command did what it was asked for."""
        return not self.how


def facts(event: Event) -> dict[str, Any]:
    """An event as `cutoutd events --json` prints it and hooks read it: plain values, paths as text.

    Bytes of a path that are no UTF-8 stay as lone surrogates, as `os.fsdecode` makes them.
    """
    return {
        "id": event.id,
        "event": event.kind.value,
        "time": round(event.at, 3),
        "photo": event.photo,
        "inbox": os.fsdecode(event.inbox),
        "original": None if event.original is None else os.fsdecode(event.original),
        "outputs": [os.fsdecode(path) for path in event.outputs],
        "reason": event.reason,
        "detail": event.detail,
        "model": event.model,
        "seconds": round(event.seconds, 3),
        "confidence": None if event.confidence is None else round(event.confidence, 3),
        "needs_review": list(event.needs_review),
    }


def arguments(hook: Hook, event: Event) -> list[str]:
    """The command with its placeholders filled in; what has no value is an empty text."""
    original = "" if event.original is None else os.fsdecode(event.original)
    values = {
        "photo": original,
        "name": os.path.splitext(os.path.basename(original))[0],  # noqa: PTH119, PTH122 - a text, no file
        "inbox": os.fsdecode(event.inbox),
        "output": os.fsdecode(event.outputs[0]) if event.outputs else "",
        "event": event.kind.value,
        "reason": event.reason,
        "detail": event.detail,
    }
    told = [hook.program]
    for argument in hook.command[1:]:
        if argument == "{outputs}":
            told += [os.fsdecode(path) for path in event.outputs]
        else:
            told.append(argument.format_map(values))
    return told


def run(hook: Hook, event: Event, stopped: list[bool]) -> Ended:
    """Runs the command once, in a process group of its own, the event as JSON on its standard input.

    Args:
        hook: what to run, and for how long.
        event: what happened.
        stopped: becomes non-empty when the command is to be ended at once.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        told.write(json.dumps(facts(event)).encode() + b"\n")
        told.seek(0)
        try:
            process = subprocess.Popen(
                arguments(hook, event), stdin=told, stdout=said, stderr=said, start_new_session=True
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            return Ended(
                f"{printable(hook.command[0])} cannot be started: {getattr(error, 'strerror', error)}"
            )
        until = time.monotonic() + hook.time_limit
        while process.poll() is None:
            if stopped or time.monotonic() > until:
                _end(process)
                return Ended("ended with cutoutd" if stopped else f"took longer than {hook.time_limit:g} s")
            time.sleep(LOOK_EVERY_S)
        if process.returncode == 0:
            return Ended("")
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - SAID_BYTES))
        words = printable(said.read().decode("utf-8", "replace").strip())
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return Ended(how, words)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and whatever it started in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GOODBYE_S)
            if number == signal.SIGTERM:
                continue  # its children may live on: the group is ended for certain
    process.wait()
