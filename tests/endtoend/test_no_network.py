"""A whole run under strace: start, three photos, stop, and no socket but the local one to the service manager."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

PHOTOS = 3


def strace_works() -> bool:
    """Whether strace is there and may trace (containers and hardened kernels forbid it)."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not strace_works(), reason="strace is not installed or may not trace here")
def test_no_socket_but_the_local_one(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    # -D: strace stands aside, so that the daemon is our child and gets our signals.
    wrapper = ("strace", "-D", "-f", "-qq", "-e", "trace=%network,io_uring_setup", "-o", str(trace))
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(10)
        running = daemon(wrapper=wrapper, environment={"NOTIFY_SOCKET": address}).start()
        for number in range(PHOTOS):
            (running.inbox / f"{number}.jpg").write_bytes(encoded(size=(256, 256)))
        running.wait(lambda: len(running.outputs()) == PHOTOS, "all cutouts", 100)
        assert running.stop() == 0
        said = manager.recv(4096)
    assert b"STATUS=" in said

    lines = trace.read_text(errors="replace").splitlines()
    made = [line for line in lines if re.search(r"\bsocket(pair)?\(", line)]
    assert made, "nothing was traced: even sd_notify makes a socket"
    assert [line for line in made if not re.search(r"\bsocket(pair)?\(AF_UNIX,", line)] == []
    assert [line for line in lines if "io_uring_setup(" in line and "= -1" not in line] == []
    reached = [
        line for line in lines if re.search(r"\b(connect|sendto|sendmsg|bind|listen|accept4?)\(", line)
    ]
    # Whatever is addressed is a path in the file system: systemd's socket (or a name service's, by glibc).
    assert [line for line in reached if re.search(r"AF_INET6?|AF_NETLINK|AF_PACKET|AF_VSOCK", line)] == []
