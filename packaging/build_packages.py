"""Builds what other systems install from: wheel, sdist, Debian package, and recipes for Homebrew, Arch and Nix.

`build_packages.py DIST`. The version comes from config/version.py, dependencies and their digests from uv.lock: nothing
about either is written anywhere else. It publishes nothing.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from deb import build_deb
from release import notes, version
from wheels import PROJECT, NoWheelsError, built_wheel, sdist

RECIPES = Path(__file__).resolve().parent / "recipes"
HOME = "https://github.com/cutoutd/cutoutd"


def closure(lock: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """The locked packages behind `names` on Linux and macOS, sorted, each once in its newest locked version."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        versions = [one for one in lock["package"] if one["name"] == name and "version" in one]
        newest = max(versions, key=lambda one: [int(n) for n in re.findall(r"\d+", one["version"])])
        found[name] = newest
        waiting += [
            one["name"] for one in newest.get("dependencies", ()) if "win32" not in one.get("marker", "")
            and "os_name == 'nt'" not in one.get("marker", "")
        ]  # fmt: skip
    return [found[name] for name in sorted(found)]


def dependencies() -> list[dict[str, Any]]:
    """What cutoutd itself needs, as uv.lock has it."""
    lock = tomllib.loads((PROJECT / "uv.lock").read_text(encoding="utf-8"))
    own = next(one for one in lock["package"] if one["name"] == "cutoutd")
    return closure(lock, [one["name"] for one in own["dependencies"]])


def needed() -> list[str]:
    """The names of what cutoutd asks for itself, from pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.split(r"[<>=~!; ]", one, maxsplit=1)[0] for one in project["dependencies"]]


def homebrew_resources(packages: list[dict[str, Any]]) -> str:
    """The `resource` blocks of a formula: sources where there are any, else the wheel that runs everywhere."""
    blocks: list[str] = []
    for one in packages:
        if one["name"] in ("numpy", "onnxruntime", "pillow"):
            continue  # Homebrew's own, named by depends_on
        file = one.get("sdist") or next(w for w in one["wheels"] if "none-any" in w["url"])
        digest = file["hash"].removeprefix("sha256:")
        blocks.append(
            f'  resource "{one["name"]}" do\n    url "{file["url"]}"\n    sha256 "{digest}"\n  end\n'
        )
    return "\n".join(blocks)


def recipes(source: Path) -> dict[str, str]:
    """File name to text of each recipe, for the sdist at `source`."""
    values = {
        "VERSION": version(),
        "SHA256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "SOURCE": f"{HOME}/releases/download/v{version()}/{source.name}",
        "HOME": HOME,
        "RESOURCES": homebrew_resources(dependencies()),
        "ARCHDEPENDENCIES": " ".join(f"python-{name}" for name in needed()),
        "NIXDEPENDENCIES": " ".join(needed()),
    }
    made: dict[str, str] = {}
    for template in sorted(RECIPES.iterdir()):
        text = re.sub(r"@([A-Z0-9]+)@", lambda match: values[match[1]], template.read_text(encoding="utf-8"))
        made[template.name.removesuffix(".in")] = text
    return made


def main() -> int:
    """Builds everything. Returns the exit code."""
    dist = Path(sys.argv[1])
    dist.mkdir(parents=True, exist_ok=True)
    shutil.copy2(built_wheel(), dist)
    source = sdist(dist)
    for name, text in recipes(source).items():
        (dist / name).write_text(text, encoding="utf-8")
    (dist / "RELEASE_NOTES.md").write_text(notes(), encoding="utf-8")
    if shutil.which("dpkg-deb") is None:
        sys.stderr.write("No Debian package: dpkg-deb is not installed here.\n")
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="cutoutd-deb-") as scratch:
            build_deb(Path(scratch), dist, sysconfig.get_python_version())
    except (NoWheelsError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"No Debian package: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
