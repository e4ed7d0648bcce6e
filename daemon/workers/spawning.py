"""A worker process before its first call: how it is started, also ahead of the moment when it is wanted.

Loads nothing but what starting takes, so that a command can have its worker load its modules beside its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from cutoutd.daemon import piped
from cutoutd.daemon.piped import Piped

# A program that cannot be imported is said over the pipe, as any other fault.
_BOOT: Final = """
import sys
path, ahead, calls, answers = sys.argv[1:]
try:
    import gc, json
    gc.disable()  # `begin` turns it on again
    sys.path[:] = json.loads(path)
    from cutoutd.daemon.workers.process import main
except BaseException as error:
    import os
    fault = {"is": "Fault", "kind": "other", "reason": None, "fix": "", "remote": "",
             "what": ascii(error)[:300].replace("\\\\n", " ")}
    body = json.dumps({"call": 0, "rss_bytes": 0, "result": None, "fault": fault}).encode()
    os.write(int(answers), len(body).to_bytes(4, "big") + body)
    raise
main(int(calls), int(answers), ahead=bool(ahead))
"""

# A photo's planes fill hundreds of megabytes, and looking up where each 4 KiB of them lie costs 2 % of its time: the C
# library asks for pages of 2 MiB where the system gives them. It reads this before anything of ours runs.
_TUNABLES: Final = "GLIBC_TUNABLES"
_LARGE_PAGES: Final = "glibc.malloc.hugetlb=1"

_ahead: list[Piped] = []


def start_ahead() -> None:
    """Starts the worker that the next `spawned` returns; whoever calls this calls `end_unused` in the end.

    To be called in the thread that lives as long as the worker shall. Where no process can be started none is:
    `spawned` will say why.
    """
    try:
        _ahead.append(start("ahead"))
    except OSError:
        return


def spawned() -> Piped:
    """A worker process: one that was started ahead and lives, or else a new one.

    Raises:
        OSError: no process can be started.
    """
    while _ahead:
        one = _ahead.pop()
        if one.process.poll() is None:
            return one
        one.close()
    return start()


def end_unused() -> None:
    """Ends what was started ahead and was not wanted."""
    while _ahead:
        one = _ahead.pop()
        one.process.kill()
        one.process.wait()
        one.close()


def start(ahead: str = "") -> Piped:
    """A new worker process; `ahead` has it load what every photo needs. Raises OSError."""
    return piped.start("cutoutd worker", _BOOT, ahead, quiet=True, also=_environment())


def _environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a worker's environment has that ours may lack; what somebody has set already stays."""
    there = environ.get(_TUNABLES, "")
    return {} if "glibc.malloc.hugetlb" in there else {_TUNABLES: f"{there}:{_LARGE_PAGES}".lstrip(":")}
