"""The entry point: answers `--version` before anything heavy loads, and turns errors into one sentence and a code."""

from __future__ import annotations

import sys

from cutoutd.config.version import VERSION


def main() -> int:
    """Runs the command line. Returns the exit code (see `config.errors.ExitCode`)."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"cutoutd {VERSION}\n")
        return 0
    from cutoutd.service.cli.app import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
