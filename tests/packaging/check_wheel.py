"""Builds the wheel, installs it into an empty environment, and runs `cutoutd once` from there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.photos import encoded


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="cutoutd-wheel-") as scratch:
        folder = Path(scratch)
        _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(root))
        wheel = next((folder / "dist").glob("cutoutd-*.whl"))
        venv.create(folder / "env", with_pip=True)
        _run(str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", str(wheel))
        photo = folder / "astronaut.jpg"
        photo.write_bytes(encoded("astronaut"))
        # From another folder and with a home of its own: nothing of the checkout may be needed.
        environment = {**os.environ, "HOME": str(folder / "home"), "PYTHONPATH": ""}
        (folder / "home").mkdir()
        command = [str(folder / "env/bin/cutoutd"), "once", str(photo), "-o", str(folder / "out")]
        _run(*command, cwd=folder, env=environment)
        with Image.open(folder / "out" / "astronaut.png") as cutout:
            low, high = cutout.getchannel("A").getextrema()
        if (low, high) != (0, 255):
            sys.stderr.write(f"the cutout's alpha spans {low}..{high}\n")
            return 1
        sys.stdout.write(f"{wheel.name} installs into an empty environment and cuts out a photo\n")
    return 0


def _run(*command: str, **options: object) -> None:
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
