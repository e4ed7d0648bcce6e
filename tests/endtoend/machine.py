"""A whole Linux machine for tests: Debian with its own systemd, booted by systemd-nspawn, thrown away afterwards.

The root file system is made once by debootstrap and kept in $CUTOUTD_TEST_ROOT or ~/.cache/cutoutd-test/root, and
beside it the packages that cutoutd needs, under a name that says which; each machine writes to an overlay of its own
over both, which goes with it. It has no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests.support.wheels import built_wheel, wheelhouse

PACKAGES = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,python3,python3-venv"
SUITE = "bookworm"
BOOT_S = 90
# systemd-nspawn 252 lets neither through by itself; a machine that is no container has them.
EXTRA_CALLS = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"


def why_not() -> str:
    """Why no machine can be booted here; empty when one can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "booting a machine needs Linux and root"
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is not installed (Debian: systemd-container)"
    if not cached_root().is_dir() and shutil.which("debootstrap") is None:
        return f"there is no root file system at {cached_root()} and no debootstrap to make one"
    return ""


def cached_root() -> Path:
    """Where the root file system is kept between runs."""
    return Path(os.environ.get("CUTOUTD_TEST_ROOT") or Path.home() / ".cache/cutoutd-test/root")


def make_root() -> Path:
    """The cached root file system, made now if it is missing (a few minutes, and network)."""
    root = cached_root()
    if root.is_dir():
        return root
    unfinished = root.with_name(f"{root.name}.{os.getpid()}.part")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(unfinished)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        pytest.skip(f"debootstrap could not make a root file system: {_last(done.stdout + done.stderr)}")
    unfinished.rename(root)
    return root


def make_dependencies(base: Path) -> Path:
    """The layer over the root file system with what cutoutd needs, in /opt/cutoutd; kept while that is the same.

    Installed and compiled anew for each run it would take a core 18 s.
    """
    made_of = f"{base.stat().st_ino} {sorted(path.name for path in wheelhouse().iterdir())}"
    key = hashlib.blake2b(made_of.encode(), digest_size=6).hexdigest()
    kept = base.with_name(f"{base.name}-packages-{key}")
    if kept.is_dir():
        return kept
    unfinished = base.with_name(f"{kept.name}.{os.getpid()}.part")
    unfinished.mkdir()
    one = Machine(unfinished)
    try:
        one.lay(base)
        shutil.copytree(wheelhouse(), one.root / "wheels")
        one.chroot(
            "python3 -m venv /opt/cutoutd && /opt/cutoutd/bin/pip install --quiet --no-index /wheels/*.whl"
            " && rm -r /wheels"
        )
    finally:
        one.end()
    (unfinished / "upper").rename(kept)
    shutil.rmtree(unfinished)
    return kept


class Machine:
    """One booted machine.

    Args:
        scratch: a folder for its overlay and console.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.root = scratch / "root"
        self.console = scratch / "console.log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def prepare(self, base: Path) -> None:
        """Lays the overlay and installs cutoutd from its wheel into /opt/cutoutd."""
        self.lay(make_dependencies(base), base)
        shutil.copy2(built_wheel(), self.root)
        self.chroot(
            f"/opt/cutoutd/bin/pip install --quiet --no-index /{built_wheel().name}"
            " && ln -s /opt/cutoutd/bin/cutoutd /usr/local/bin/"
        )

    def add(self, *packages: str) -> None:
        """Copies packages of this environment, with all that they need, beside cutoutd; the Pythons must be alike."""
        version = self.chroot(
            "/opt/cutoutd/bin/python -c 'import sys; print(*sys.version_info[:2])'"
        ).stdout.split()
        if version != [str(part) for part in sys.version_info[:2]]:
            pytest.skip("the machine's Python is another than this one")
        target = self.root / f"opt/cutoutd/lib/python{'.'.join(version)}/site-packages"
        waiting, seen = list(packages), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            found = metadata.distribution(name)
            for file in found.files or ():
                if ".." not in file.parts and not (target / file).exists():
                    (target / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(str(file.locate()), target / file)
            wanted = [Requirement(one) for one in found.requires or ()]
            waiting += [
                one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})
            ]

    def lay(self, *below: Path) -> None:
        """The overlay over what all machines share, the upper layer first."""
        for name in ("root", "upper", "work"):
            (self.scratch / name).mkdir()
        layers = (
            f"lowerdir={':'.join(map(str, below))},upperdir={self.scratch}/upper,workdir={self.scratch}/work"
        )
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no overlay can be mounted here: {_last(done.stderr)}")

    def chroot(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a shell script in the root file system, before it is booted."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["chroot", str(self.root), "sh", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def boot(self) -> None:
        """Starts systemd and waits until it is up."""
        with self.console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn",
                    f"--directory={self.root}",
                    "--boot",
                    "--register=no",
                    "--keep-unit",
                    "--private-network",
                    f"--machine=cutoutd-test-{os.getpid()}",
                    f"--system-call-filter={EXTRA_CALLS}",
                    "--console=pipe",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not wait_until(self._is_up, BOOT_S):
            said = _last(self.console.read_text(errors="replace"))
            self.end()
            pytest.skip(f"the machine does not boot here: {said}")

    def _is_up(self) -> bool:
        nspawn = self._nspawn
        if nspawn is None or nspawn.poll() is not None:
            return False
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def run(self, *command: str, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command on the machine, as `user` from its home."""
        whole = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        whole += command if user == "root" else ["runuser", "-l", user, "-c", _quoted(command)]
        done = subprocess.run(
            whole,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def write(self, path: str, text: str) -> None:
        """Writes a file on the machine, as root."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def end(self) -> None:
        """Switches it off and lets the overlay go."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            if self._init:
                self.run("systemctl", "poweroff", check=False)
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(10)
        # The last processes of the machine may hold the mount for a moment.
        wait_until(
            lambda: (
                subprocess.run(["umount", str(self.root)], capture_output=True, check=False).returncode == 0
            ),
            10,
        )


def wait_until(holds: Callable[[], object], seconds: float) -> bool:
    """Looks every 0.2 s until the condition holds; False when time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.2)
    return False


def _quoted(command: tuple[str, ...]) -> str:
    return " ".join("'" + part.replace("'", "'\\''") + "'" for part in command)


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said"])[-1]
