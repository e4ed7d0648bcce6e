"""The Debian package on a Debian that has nothing else: installed, started as the machine's service, removed cleanly.

Skipped, with the reason, where no machine can be booted or the package cannot be made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deb import build_deb
from PIL import Image
from tests.endtoend.machine import Machine, make_root, wait_until, why_not
from tests.support.photos import encoded
from wheels import NoWheelsError

REASON = why_not() or ("" if shutil.which("dpkg-deb") else "dpkg-deb is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(REASON), reason=REASON or "can run"),
    pytest.mark.xdist_group("machine"),  # one after the other: the first makes the root file system of all
]
CUTOUT_S = 60


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    scratch = tmp_path_factory.mktemp("deb")
    one = Machine(scratch)
    try:
        one.lay(make_root())
        try:
            package = build_deb(scratch, scratch, "3.11", packed=False)  # what that Debian has
        except NoWheelsError as error:
            pytest.skip(f"the wheels for the package cannot be had: {error}")
        shutil.copy2(package, one.root / "cutoutd.deb")
        one.boot()
        yield one
    finally:
        one.end()


def installed_files(machine: Machine) -> set[str]:
    """Everything below the places where packages put things."""
    found: set[str] = set()
    for top in ("usr/bin", "usr/lib", "usr/share", "etc"):
        for folder, _, names in os.walk(machine.root / top):
            found |= {os.path.join(folder, name) for name in names if "dpkg" not in folder}
    return found


def test_from_installation_to_removal(machine: Machine) -> None:
    before = installed_files(machine)
    machine.run("dpkg", "--install", "/cutoutd.deb")
    assert machine.run("cutoutd", "--version").stdout.startswith("cutoutd ")
    carried = machine.run("dpkg", "--listfiles", "cutoutd").stdout.split()
    assert {"/usr/share/man/man1/cutoutd-once.1", "/usr/share/bash-completion/completions/cutoutd"} <= set(
        carried
    )
    machine.run("mkdir", "-p", "/srv/studio")
    config = "/etc/cutoutd/config.toml"
    machine.run("cutoutd", "init", "-c", config, "--inbox", "/srv/studio/in", "--outbox", "/srv/studio/out")
    machine.run("rmdir", "/srv/studio/in", "/srv/studio/out")
    machine.run("cutoutd", "service", "install", "--system")
    inbox, outbox = machine.root / "srv/studio/in", machine.root / "srv/studio/out"
    (inbox / ".a.part").write_bytes(encoded())
    (inbox / ".a.part").chmod(0o644)
    (inbox / ".a.part").rename(inbox / "a.jpg")
    assert wait_until((outbox / "a.png").exists, CUTOUT_S), machine.run(
        "journalctl", "-b", "-u", "cutoutd"
    ).stdout
    with Image.open(outbox / "a.png") as cutout:
        assert cutout.getchannel("A").getextrema() == (0, 255)

    machine.run("dpkg", "--remove", "cutoutd")
    assert machine.run("systemctl", "is-active", "cutoutd", check=False).stdout.strip() != "active"
    left = installed_files(machine) - before
    # What was made after the installation is not the package's: configuration, and the service's own user.
    assert {path for path in left if "cutoutd" in path} == {str(machine.root / config.lstrip("/"))}
    assert (outbox / "a.png").exists()
    assert (inbox / "a.jpg").exists()


def test_it_says_which_python_it_is_for(machine: Machine) -> None:
    shown = subprocess.run(
        ["dpkg-deb", "--field", str(Path(machine.root) / "cutoutd.deb"), "Depends", "Version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "python3 (>= 3.11), python3 (<< 3.12)" in shown
