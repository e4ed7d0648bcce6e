"""Starts the relay and its keeper: modules of ours in processes of their own."""

from __future__ import annotations

import json
import os
from typing import Final

from cutoutd.daemon import piped
from cutoutd.daemon.piped import Piped

_BOOT: Final = """
import importlib, json, sys
path, module, arguments, calls, answers = sys.argv[1:]
sys.path[:] = json.loads(path)
importlib.import_module(module).main(*json.loads(arguments), int(calls), int(answers))
"""


def spawn(module: str, *arguments: str) -> Piped:
    """Runs `module.main(*arguments, pid of this process, calls, answers)` in a process of its own.

    SIGINT and SIGTERM are blocked in it until it unblocks or ignores them.

    Raises:
        OSError: no process can be started.
    """
    name = f"cutoutd {module.rpartition('.')[2]}"
    return piped.start(name, _BOOT, module, json.dumps([*arguments, os.getpid()]), quiet=False)
