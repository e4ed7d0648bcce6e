"""cutoutd's own wheel and those of all that it needs, made once for each state of the tree and kept in `.cache`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / ".cache"
CONSTRAINTS = PROJECT / "packaging" / "constraints.txt"
# What the wheel is made from; everything else may change without a new one.
SOURCES = (
    "config",
    "models",
    "daemon",
    "service",
    "packaging/share",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)

# Wheels of earlier states of the tree go after this long.
KEPT_S = 3600


def built_wheel() -> Path:
    """The wheel of the tree as it is now, uncommitted changes and new files included."""
    files = _tracked()
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        content = hashlib.blake2b((PROJECT / path).read_bytes()).digest()
        digest.update(path.encode() + b"\0" + content)
    folder = CACHE / "wheel" / digest.hexdigest()
    with _alone():
        found = sorted(folder.glob("cutoutd-*.whl"))
        if not found:
            for old in folder.parent.glob("*"):
                # A test that runs beside this one may still be about to copy the state it began with.
                if time.time() - old.stat().st_mtime > KEPT_S:
                    shutil.rmtree(old)
            _build(files, folder)
            found = sorted(folder.glob("cutoutd-*.whl"))
    (wheel,) = found
    return wheel


class NoWheelsError(Exception):
    """The package index is out of reach, or has no wheel for this machine; the sentence says which."""


def wheelhouse(python_version: str = "3.11", machine: str = platform.machine()) -> Path:
    """A folder with the wheels of everything that cutoutd needs on Linux, in the locked versions; not its own.

    Args:
        python_version: of the interpreter that will run them.
        machine: `x86_64` or `aarch64`.

    Raises:
        NoWheelsError: they cannot be had.
    """
    wheel = built_wheel()
    key = hashlib.blake2b(CONSTRAINTS.read_bytes() + _requirements(), digest_size=8).hexdigest()
    folder = CACHE / "wheelhouse" / f"{python_version}-{machine}-{key}"
    with _alone():
        if not folder.is_dir():
            for old in folder.parent.glob(f"{python_version}-{machine}-*"):
                shutil.rmtree(old)  # other versions than those that are locked now
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished = folder.with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            done = _download(wheel, unfinished, python_version, machine)
            if done.returncode != 0:
                raise NoWheelsError(_last(done.stderr))
            for own in unfinished.glob("cutoutd-*.whl"):
                own.unlink()
            unfinished.rename(folder)
    return folder


def _download(
    wheel: Path, folder: Path, python_version: str, machine: str
) -> subprocess.CompletedProcess[str]:
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (36, 34, 28, 27, 17)] + [f"manylinux2014_{machine}"]
    options = [option for tag in tags for option in ("--platform", tag)]
    abi = "cp" + python_version.replace(".", "")
    options += ["--only-binary=:all:", "--python-version", python_version, "--implementation", "cp"]
    options += ["--abi", abi, "--abi", "abi3", "--abi", "none", "--constraint", str(CONSTRAINTS)]
    return subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *options, str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )


def sdist(folder: Path) -> Path:
    """The source distribution of the tree as it is now, made in `folder`."""
    _build(_tracked(), folder, "--sdist")
    return max(folder.glob("cutoutd-*.tar.gz"), key=lambda path: path.stat().st_mtime_ns)


def _build(files: list[str], folder: Path, kind: str = "--wheel") -> None:
    with tempfile.TemporaryDirectory(prefix="cutoutd-source-") as scratch:
        source = Path(scratch)
        for path in files:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / path, source / path)
        (source / ".importroot").mkdir()
        (source / ".importroot" / "cutoutd").symlink_to("..")
        subprocess.run(
            [sys.executable, "-m", "build", kind, "--outdir", str(folder.resolve()), str(source)],
            check=True,
            capture_output=True,
        )


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *SOURCES],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    return sorted(name for name in map(os.fsdecode, listed) if name and (PROJECT / name).is_file())


def _requirements() -> bytes:
    return (PROJECT / "pyproject.toml").read_bytes().split(b"[tool.", 1)[0]


@contextmanager
def _alone() -> Generator[None]:
    """Tests run side by side; the first one makes, the others wait for it."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said"])[-1]
