"""What processes of the fleet that hold sockets may touch: their certificates, the program, and what names hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cutoutd.daemon.sandbox import guard

# What the system needs to find a host by its name, and what Dask asks of the machine.
_SYSTEM: Final = (
    "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/run/systemd/resolve",
    "/proc",
)  # fmt: skip


def confine(
    certificates: Path,
    read: Iterable[Path] = (),
    write: Iterable[Path] = (),
    own: Iterable[Path] = (),
    *,
    starts: bool = False,
) -> tuple[str, bool]:
    """Gives up all other files, and capabilities; before the first thread, and before Dask is imported.

    Args:
        certificates: the folder with its own.
        read: what it may read besides.
        write: where it may create files.
        own: where it may do anything.
        starts: it has workers of its own.

    Returns:
        A sentence, and whether the kernel enforces it.
    """
    guard.private_umask()
    guard.no_core_dumps()
    system = [Path(name) for name in _SYSTEM if Path(name).exists()]
    said = guard.confine_networked([certificates, *system, *read], write, own, starts=starts)
    guard.give_up_capabilities()
    return said
