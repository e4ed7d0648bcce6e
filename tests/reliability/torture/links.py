"""A cable to one node, which can be cut: a network namespace of its own; needs root on Linux and ip(8)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.torture.mounts import own_namespace


@functools.cache
def possible() -> bool:
    """Whether such a cable can be laid here; mounts are this process's own from then on."""
    return shutil.which("ip") is not None and shutil.which("nsenter") is not None and own_namespace()


@dataclass(frozen=True, slots=True)
class Cable:
    """From this machine to a namespace.

    Args:
        number: tells this process's cables apart, 0 to 62.
    """

    number: int

    @property
    def name(self) -> str:
        """Of the namespace, and of this end of the cable."""
        return f"ct{os.getpid()}n{self.number}"

    def _address(self, end: int) -> str:
        return f"10.213.{os.getpid() % 256}.{4 * self.number + end}"

    @property
    def here(self) -> str:
        """This machine's address on it."""
        return self._address(1)

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Goes in front of a command that is to run at the other end."""
        return ("nsenter", f"--net=/run/netns/{self.name}", "--")

    def lay(self) -> None:
        """Raises CalledProcessError where the system does not let us."""
        inside, other = f"{self.name}i", self._address(2)
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self.name, "type", "veth", "peer", "name", inside, "netns", self.name)
        _run("ip", "addr", "add", f"{self.here}/30", "dev", self.name)
        _run("ip", "link", "set", self.name, "up")
        _run("ip", "-n", self.name, "addr", "add", f"{other}/30", "dev", inside)
        _run("ip", "-n", self.name, "link", "set", inside, "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")

    def cut(self) -> None:
        """Nothing passes, and nobody is told: not even that the other end is gone."""
        _run("ip", "link", "set", self.name, "down")

    def mend(self) -> None:
        """What TCP still holds passes again."""
        _run("ip", "link", "set", self.name, "up")

    def take_away(self) -> None:
        """After its processes have ended."""
        if Path(f"/run/netns/{self.name}").exists():
            _run("ip", "netns", "del", self.name)
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
