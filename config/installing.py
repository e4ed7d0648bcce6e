"""The command that installs a package where this very program runs, for sentences; it installs nothing."""

from __future__ import annotations

import shlex
import sys


def pip_install(*packages: str) -> str:
    """`/path/to/python -m pip install rawpy`: the interpreter that is really there, for names that can be had.

    cutoutd itself is on no package index, so that neither its name nor its extras may stand among `packages`.
    """
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *packages])
