"""The entry point: answers `--version` before anything heavy loads, and turns errors into one sentence and a code."""

from __future__ import annotations

import errno
import gc
import os
import sys

from cutoutd.config.version import VERSION
from cutoutd.service import streams


def main() -> int:
    """Runs the command line. Returns the exit code (see `config.errors.ExitCode`)."""
    streams.repair()
    streams.endure("stderr")
    if sys.argv[1:] in (["--version"], ["-V"]):
        return _written_out(0, f"cutoutd {VERSION}\n")
    # All that a start makes stays: looking for garbage meanwhile takes 4 % of it. `LazyGroup` turns it on again.
    gc.disable()
    code = _run_with_worker() if _works(sys.argv[1:]) else _run()
    gc.freeze()  # or the interpreter's end looks through all that there is, for another 5 %
    return _written_out(code)


def _works(arguments: list[str]) -> bool:
    """Whether a worker will be wanted, or nearly always: the words may still turn out to make no sense."""
    return arguments[:1] in (["once"], ["run"]) and not {"-h", "--help"} & set(arguments)


def _run_with_worker() -> int:
    """The command with a worker that loads its modules while this process loads its own."""
    from cutoutd.daemon.workers.spawning import end_unused, start_ahead

    if sys.argv[1] == "run":
        _hold_wishes()
    start_ahead()
    try:
        return _run()
    finally:
        end_unused()


def _hold_wishes() -> None:
    """Signals that ask a daemon for something wait until it hears them; before, they would end it."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1))


def _run() -> int:
    from cutoutd.service.cli.app import run

    return run(sys.argv[1:])


def _written_out(code: int, text: str = "") -> int:
    """The exit code, once all output is through: a full disk is a failure, a reader that left is none."""
    try:
        if text:  # a write of nothing fails too where every write does
            sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno not in (errno.EPIPE, errno.EIO):
            sys.stderr.write(f"cutoutd: the output could not be written ({error.strerror}).\n")
            return code or 1
    return code


if __name__ == "__main__":
    sys.exit(main())
