"""Builds the wheel, looks into it, installs it into an empty environment, and runs `cutoutd once` from there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "packaging")]
from shared_files import files  # noqa: E402 - the path below finds it
from tests.support.photos import encoded  # noqa: E402 - the path above finds it
from wheels import CONSTRAINTS, NoWheelsError, built_wheel, wheelhouse  # noqa: E402 - same

ROOMS = ("config", "models", "daemon", "service")


def main() -> int:
    wheel = built_wheel()
    missing = sorted(set(_expected()) - set(zipfile.ZipFile(wheel).namelist()))
    if missing:
        sys.stderr.write(f"not in the wheel: {', '.join(missing)}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="cutoutd-wheel-") as scratch:
        folder = Path(scratch)
        # Neither a pip of its own nor bytecode of what is never imported: each takes a core seconds.
        venv.create(folder / "env")
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "env/bin/python"), "install", "--quiet"]
        _run(*pip, "--no-compile", *_where_from(), str(wheel))
        lacking = [name for name in files() if not (folder / "env/share" / name).is_file()]
        if lacking:
            sys.stderr.write(f"not installed: {', '.join(lacking)}\n")
            return 1
        photo = folder / "astronaut.jpg"
        photo.write_bytes(encoded("astronaut"))
        # From another folder and with a home of its own: nothing of the checkout may be needed.
        environment = {**os.environ, "HOME": str(folder / "home"), "PYTHONPATH": ""}
        (folder / "home").mkdir()
        command = [str(folder / "env/bin/cutoutd"), "once", str(photo), "-o", str(folder / "out")]
        _run(*command, "--model", "fast", cwd=folder, env=environment)
        with Image.open(folder / "out" / "astronaut.png") as cutout:
            low, high = cutout.getchannel("A").getextrema()
        if (low, high) != (0, 255):
            sys.stderr.write(f"the cutout's alpha spans {low}..{high}\n")
            return 1
        sys.stdout.write(f"{wheel.name} installs into an empty environment and cuts out a photo\n")
    return 0


def _expected() -> list[str]:
    """Every file of the four rooms but the training code: modules, data, and the marks that they are typed."""
    tracked = subprocess.run(
        ["git", "ls-files", *ROOMS], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    files = [name for name in tracked if name and not name.startswith("models/training/")]
    return [f"cutoutd/{name}" for name in (*files, *(f"{room}/py.typed" for room in ROOMS))]


def _where_from() -> tuple[str, ...]:
    """Wheels that tests of packages have at hand, which pip only unpacks; from the index a core takes 9 s more."""
    if sys.platform == "linux":
        with contextlib.suppress(NoWheelsError):
            return ("--no-index", "--find-links", str(wheelhouse("{}.{}".format(*sys.version_info))))
    return ("--constraint", str(CONSTRAINTS))


def _run(*command: str, **options: object) -> None:
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
