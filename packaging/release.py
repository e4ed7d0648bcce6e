"""Does a tag name the version, and does the changelog? Also the notes of one version; it publishes nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def version() -> str:
    """The one version there is, read from config/version.py without importing it."""
    text = (PROJECT / "config" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("config/version.py names no version")
    return found[1]


def sections(changelog: str) -> dict[str, tuple[str, str]]:
    """Per version, newest first: what stands in brackets behind it (a date, or "unreleased"), and its lines."""
    parts = re.split(r"^## (\S+) \(([^)]+)\)\n", changelog, flags=re.MULTILINE)[1:]
    return {parts[at]: (parts[at + 1], parts[at + 2].strip()) for at in range(0, len(parts), 3)}


def mistakes(tag: str) -> list[str]:
    """What keeps this tag from being a release; empty when nothing does."""
    found: list[str] = []
    if tag != f"v{version()}":
        found.append(f"the tag is {tag!r}, config/version.py says {version()!r}")
    known = sections((PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"))
    newest = next(iter(known), "")
    if newest != version():
        found.append(f"CHANGELOG.md begins with {newest!r}, config/version.py says {version()!r}")
    elif not re.fullmatch(r"\d{4}-\d{2}-\d{2}", known[newest][0]):
        found.append(f"CHANGELOG.md calls {newest} {known[newest][0]!r}; a release has a date")
    return found


def notes() -> str:
    """The lines of the newest version, for its release page."""
    return sections((PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"))[version()][1] + "\n"


if __name__ == "__main__":
    problems = mistakes(sys.argv[1])
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    sys.exit(bool(problems))
