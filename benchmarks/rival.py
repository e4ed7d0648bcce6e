"""rembg in an environment of its own, and the network both programs run; fetched once, by their own clients.

`$CUTOUTD_REMBG_PYTHON` names a Python with `rembg[cpu,cli]` in it; without it one is made below the cache folder.
The network is the real u2netp, as `cutoutd models pull u2netp` brings it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.photos import cache_folder

VERSION = "2.0.86"
U2NETP_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


def python() -> Path:
    """The interpreter that has rembg and its command line.

    Raises:
        subprocess.CalledProcessError: it could not be installed.
    """
    named = os.environ.get("CUTOUTD_REMBG_PYTHON")
    if named:
        return Path(named)
    folder = cache_folder() / f"rembg-{VERSION}"
    interpreter = folder / "bin" / "python"
    if not (folder / "bin" / "rembg").exists():
        print(f"Installing rembg {VERSION} into {folder} (once; about 1 GB) …", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run(
            [str(interpreter), "-m", "pip", "install", "--quiet", f"rembg[cpu,cli]=={VERSION}"], check=True
        )
    return interpreter


def models_folder() -> Path:
    """A models folder for cutoutd that has the real u2netp in it."""
    folder = cache_folder() / "models"
    if not (folder / "u2netp.json").exists():
        subprocess.run(
            [sys.executable, "-m", "cutoutd.service", "models", "pull", "u2netp"],
            check=True,
            env={**os.environ, "CUTOUTD_MODELS_DIR": str(folder)},
        )
    return folder


def network() -> Path:
    """The file both programs run.

    Raises:
        RuntimeError: it is not the one that rembg uses.
    """
    path = next(models_folder().glob("u2netp*.onnx"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != U2NETP_SHA256:
        raise RuntimeError(f"{path} is not the u2netp that rembg uses")
    return path


def folder_command(inbox: Path, outbox: Path) -> list[str]:
    """`rembg p` over a folder with the real u2netp, as its users run it."""
    extras = json.dumps({"model_path": str(network())})
    program = str(python().parent / "rembg")
    return [program, "p", "-m", "u2net_custom", "-x", extras, str(inbox), str(outbox)]


def environment() -> dict[str, str]:
    """A home of its own, without settings; its models folder is ours, the only place it takes files from."""
    home = cache_folder() / "rembg-home"
    home.mkdir(parents=True, exist_ok=True)
    models = str(models_folder())
    return {**os.environ, "HOME": str(home), "U2NET_HOME": models, "REMBG_HOME": models}
