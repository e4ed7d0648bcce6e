"""Gathers what the container image is made of, and builds it with podman or docker; it pushes nothing anywhere.

`build_image.py DIST [--arch amd64 arm64] [--base IMAGE]` leaves `cutoutd-VERSION-image-ARCH.tar` in DIST, which
`podman load` and `docker load` read, and the image `localhost/cutoutd:VERSION` (and `:latest`) on this machine.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release import version
from wheels import NoWheelsError, built_wheel, wheelhouse

RECIPE = Path(__file__).resolve().parent / "container"
BASE = "docker.io/library/debian:bookworm-slim"
BASE_PYTHON = "3.11"  # what that release of Debian has
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
HERE = {machine: arch for arch, machine in MACHINES.items()}


def gather(folder: Path, arches: list[str]) -> None:
    """Fills the folder that the image is built from: the recipe, and the wheels per architecture.

    Raises:
        NoWheelsError: they cannot be had.
    """
    for file in RECIPE.iterdir():
        shutil.copy2(file, folder / file.name)
    for arch in arches:
        shutil.copytree(wheelhouse(BASE_PYTHON, MACHINES[arch]), folder / "wheels" / arch)
    (folder / "own").mkdir()
    shutil.copy2(built_wheel(), folder / "own")


def build_command(
    builder: str, folder: Path, arch: str, base: str, tags: list[str], *, stage: str = ""
) -> list[str]:
    """The call that builds one architecture, or no further than a stage of the recipe.

    Health checks are lost in any format but docker's.
    """
    podman = Path(builder).name == "podman"
    return [
        builder,
        # crun, podman's usual choice, cannot run where control groups are half new and half old.
        *(["--runtime", "runc"] if podman and shutil.which("runc") else []),
        "build",
        # No container inside a container: the steps only run pip.
        *(["--format", "docker", "--isolation", "chroot"] if podman else []),
        f"--platform=linux/{arch}",
        f"--build-arg=BASE={base}",
        f"--build-arg=TARGETARCH={arch}",
        f"--build-arg=VERSION={version()}",
        *([f"--target={stage}"] if stage else []),
        *(f"--tag={tag}" for tag in tags),
        f"--file={folder / 'Containerfile'}",
        str(folder),
    ]


def main() -> int:
    """Builds what was asked for. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path)
    parser.add_argument(
        "--arch", nargs="+", choices=list(MACHINES), default=[HERE.get(platform.machine(), "amd64")]
    )
    parser.add_argument(
        "--base", default=BASE, help="An image with Debian's Python needs no network to build from."
    )
    asked = parser.parse_args()
    builder = shutil.which("podman") or shutil.which("docker")
    if builder is None:
        sys.stderr.write("An image is built with podman or docker; install one of them and run make again.\n")
        return 1
    asked.dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cutoutd-image-") as scratch:
        folder = Path(scratch)
        try:
            gather(folder, asked.arch)
        except NoWheelsError as error:
            sys.stderr.write(f"The wheels for the image cannot be had: {error}\n")
            return 1
        for arch in asked.arch:
            name = f"localhost/cutoutd:{version()}"
            tags = [f"{name}-{arch}"] if len(asked.arch) > 1 else [name, "localhost/cutoutd:latest"]
            subprocess.run(build_command(builder, folder, arch, asked.base, tags), check=True)
            archive = asked.dist / f"cutoutd-{version()}-image-{arch}.tar"
            archive.unlink(missing_ok=True)  # podman refuses to write over one
            subprocess.run([builder, "save", "--output", str(archive), tags[0]], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
