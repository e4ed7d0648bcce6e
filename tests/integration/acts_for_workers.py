"""What the tests have a sandboxed worker try; a module of its own, because workers import it by name."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from cutoutd.daemon.sandbox import guard


def try_network(_: Any) -> dict[str, str]:
    return guard.try_network()


def connect(address: tuple[str, int]) -> str:
    """What a decoder that was taken over would do first."""
    try:
        with socket.create_connection(address, timeout=5):
            return "connected"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def signal_parent(_: Any) -> str:
    try:
        os.kill(os.getppid(), 0)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "sent"
