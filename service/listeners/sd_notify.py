"""What systemd wants to hear from a service (readiness, state, heartbeat); nothing else opens a socket.

The protocol is sd_notify(3): one datagram of `KEY=value` lines to the AF_UNIX socket named by $NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

# STATUS is shown on one line of `systemctl status`; longer texts are of no use there.
_LONGEST_STATUS = 300


class Notifier:
    """Sends to the service manager; silent where there is none.

    Args:
        environ: holds NOTIFY_SOCKET and WATCHDOG_USEC when systemd started this process.

    A lost datagram must never stop the daemon, so sending reports success as a bool and raises nothing.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An at sign stands for the zero byte that begins an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.heartbeat_s = _heartbeat_s(environ)

    @property
    def active(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    def ready(self, status: str) -> bool:
        """Photos are taken up from now on."""
        return self._send(READY="1", STATUS=_one_line(status))

    def status(self, status: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(STATUS=_one_line(status))

    def alive(self) -> bool:
        """Feed the watchdog; to be called only when loop, watches and workers are healthy."""
        return self._send(WATCHDOG="1")

    def reloading(self) -> bool:
        """A new configuration is being applied; `ready` ends it."""
        return self._send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self, status: str, grace_s: float) -> bool:
        """Photos in hand are being finished, for at most `grace_s` seconds."""
        return self._send(STOPPING="1", STATUS=_one_line(status), EXTEND_TIMEOUT_USEC=_usec(grace_s))

    def extend(self, status: str, more_s: float) -> bool:
        """Start-up goes on: the manager should wait another `more_s` seconds."""
        return self._send(STATUS=_one_line(status), EXTEND_TIMEOUT_USEC=_usec(more_s))

    def _send(self, **state: str) -> bool:
        if not self._address:
            return False
        message = "\n".join(f"{key}={value}" for key, value in state.items()).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                # The manager's queue may be full; a second is long, and the loop must not hang on it.
                channel.settimeout(1)
                channel.sendto(message, self._address)
        except OSError:
            return False
        return True


def _heartbeat_s(environ: Mapping[str, str]) -> float | None:
    """Half the watchdog's time limit, as sd_watchdog_enabled(3) advises; None without a watchdog for us."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2e6 if limit.isdigit() and int(limit) > 0 else None


def _usec(seconds: float) -> str:
    return str(int(seconds * 1e6))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_STATUS]
