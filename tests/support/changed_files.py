"""Which Python files have changed since the main branch, and which import them: what `make fast` checks the types of.

A change can make a type wrong in its own file and in those that name what it declares. Files further away see the same
names as before; all of them are checked by `make types` and in CI.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# A change of these may concern every file.
OF_ALL = frozenset({"pyproject.toml", "packaging/constraints.txt"})
_IMPORT = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+([\w., ]+))", re.MULTILINE
)


def changed(project: Path) -> set[str] | None:
    """Paths of files that differ from where this branch left the main one; None where git does not say."""
    main = _git(project, "rev-parse", "--verify", "--quiet", "origin/main") or ["HEAD"]
    base = _git(project, "merge-base", "HEAD", main[0])
    since = None if base is None else _git(project, "diff", "--name-only", "--diff-filter=d", base[0])
    new = _git(project, "ls-files", "--others", "--exclude-standard")
    return None if since is None or new is None else {*since, *new}


def _git(project: Path, *words: str) -> list[str] | None:
    try:
        done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()


def module_of(path: str) -> str:
    """What a file is imported as: those of the four rooms below `cutoutd`."""
    dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return dotted if dotted.startswith(("tests.", "benchmarks.", "packaging.")) else f"cutoutd.{dotted}"


def imports_of(text: str) -> set[str]:
    """Modules that a file may import, as they are written; what is imported from a package may be one too."""
    found: set[str] = set()
    for source, names, plain in _IMPORT.findall(text):
        found |= {word.split()[0] for word in plain.split(",") if word.split()}
        if source:
            found.add(source)
            found |= {f"{source}.{name}" for name in re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)}
    return found


def to_check(changes: Iterable[str], files: Iterable[str], project: Path) -> list[str]:
    """The changed ones of these files, and those of them that import one."""
    files = sorted(files)
    touched = set(changes) & set(files)
    modules = {module_of(path) for path in touched}
    return [
        path
        for path in files
        if path in touched or modules & imports_of((project / path).read_text(encoding="utf-8"))
    ]


def checked_by_pyright(project: Path) -> list[str]:
    """Every file that `pyproject.toml` has it check."""
    rules = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    left_out = tuple(rules["exclude"])
    found = (
        path.relative_to(project).as_posix()
        for room in rules["include"]
        for path in (project / room).rglob("*.py")
    )
    return [path for path in found if not path.startswith(left_out)]


def main() -> None:
    """Prints the files; `all` where it cannot be told which, nothing where none has changed."""
    changes = changed(PROJECT)
    everything = changes is None or bool(changes & OF_ALL)
    files = ["all"] if everything else to_check(changes or (), checked_by_pyright(PROJECT), PROJECT)
    sys.stdout.write("\n".join(files) + "\n")


if __name__ == "__main__":
    main()
