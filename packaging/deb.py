"""The Debian package: cutoutd with all it needs below /usr/lib/cutoutd, run by Debian's Python; made by dpkg-deb.

What Debian has of our dependencies is too old, or missing (onnxruntime), so that they come along, as `uv.lock` names
them. They are compiled for one version of Python: a package is for the release of Debian that has that version.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from release import version
from wheels import built_wheel, wheelhouse

START = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/cutoutd")
from cutoutd.service.main import main

sys.exit(main())
"""

# A running daemon goes on with the files it has loaded; the next start of its service takes the new ones.
BEFORE_REMOVAL = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ] && [ -e /etc/systemd/system/cutoutd.service ]; then
    /usr/bin/cutoutd service uninstall --system || true
fi
find /usr/lib/cutoutd -depth -name __pycache__ -type d -exec rm -r '{}' + 2>/dev/null || true
"""

CONTROL = """Package: cutoutd
Version: {version}
Architecture: {arch}
Maintainer: the cutoutd maintainers <maintainers@users.noreply.github.com>
Installed-Size: {kilobytes}
Depends: python3 (>= {python}), python3 (<< {next_python})
Recommends: systemd
Section: graphics
Priority: optional
Homepage: https://github.com/cutoutd/cutoutd
Description: photos in, cutouts out; nothing leaves the machine
 Save a photo into a folder; seconds later a clean cutout lies in another.
 A background service removes the background on this machine, with a network
 that comes inside the package and no access to any other.
"""


def build_deb(scratch: Path, dist: Path, python: str, *, packed: bool = True) -> Path:
    """Builds the package for this machine and the Python version `python`, from wheels alone.

    One that is not `packed` takes a core 10 s less and three times the space: for a test that installs it at once.

    Raises:
        NoWheelsError: the wheels cannot be had.
        subprocess.CalledProcessError: pip or dpkg-deb refused.
    """
    tree = scratch / "tree"
    library = tree / "usr/lib/cutoutd"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-compile",
        "--target",
        str(library),
    ]
    pip += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    abi = "cp" + python.replace(".", "")
    pip += ["--abi", abi, "--abi", "abi3", "--abi", "none", "--find-links", str(wheelhouse(python))]
    machine = _said("uname", "-m")
    for minor in (36, 34, 28, 27, 17):
        pip += ["--platform", f"manylinux_2_{minor}_{machine}"]
    subprocess.run([*pip, "--platform", f"manylinux2014_{machine}", str(built_wheel())], check=True)
    _write(tree / "usr/bin/cutoutd", START, 0o755)
    _write(tree / "DEBIAN/prerm", BEFORE_REMOVAL, 0o755)
    # pip put the wheel's share/ beside the modules; Debian's own place is looked at by man and the shells.
    shutil.move(library / "share", tree / "usr/share")
    licence = next(library.glob("cutoutd-*.dist-info/licenses/LICENSE"))
    _write(tree / "usr/share/doc/cutoutd/copyright", licence.read_text(encoding="utf-8"), 0o644)
    kilobytes = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    major, minor = python.split(".")
    control = CONTROL.format(
        version=version(),
        arch=_said("dpkg", "--print-architecture"),
        kilobytes=kilobytes,
        python=python,
        next_python=f"{major}.{int(minor) + 1}",
    )
    _write(tree / "DEBIAN/control", control, 0o644)
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    # xz, dpkg's usual choice, takes minutes of a busy processor for what gzip does in seconds.
    how = ("-Zgzip", "-z6") if packed else ("-Znone",)
    command = ["dpkg-deb", *how, "--root-owner-group", "--build", str(tree), str(dist)]
    subprocess.run(command, check=True)
    (made,) = dist.glob(f"cutoutd_{version()}_*.deb")
    return made


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
