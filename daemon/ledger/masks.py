"""Masks that were edited by hand for photos, kept beside the ledger as long as those are made with them; it looks into
none.

A mask is copied: its owner may go on with the file or delete it, and workers need to read this one folder only.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import MOST_MASK_BYTES
from cutoutd.daemon.ledger.database import Ledger

# In the state folder.
FOLDER = "masks"
# What is still being copied; after an hour its command has died.
COPYING = ".part"
ABANDONED_S = 3600.0
# Before a photo's number, what names the mask that it is made with in the ledger's small table (`remarks.py`).
MADE_WITH = "photo mask "
_NAME = re.compile(r"[0-9a-f]{32}")

# Of photos made with them, of rows whose cutout is still to be made, also once they are tried again or
# their file is back, and of commands that nobody has taken up.
_WANTED = f"""
    SELECT m.value AS name FROM meta m, photos p
        WHERE m.name >= '{MADE_WITH}' AND m.name < '{MADE_WITH}:' AND p.state <> 'superseded' AND p.path IS NOT NULL
            AND p.id = CAST(substr(m.name, {len(MADE_WITH) + 1}) AS INTEGER)
    UNION SELECT json_extract(overrides, '$.mask') FROM photos
        WHERE overrides <> '' AND (state IN ('pending', 'running', 'delivering')
            OR (path IS NOT NULL AND state IN ('failed', 'skipped')))
    UNION SELECT json_extract(arguments, '$.overrides.mask') FROM commands
        WHERE taken IS NULL AND json_valid(arguments)
"""


def folder_of(state: Path) -> Path:
    """The folder below the state folder; `make_folder` makes it."""
    return state / FOLDER


def make_folder(state: Path) -> Path:
    """Makes the folder, for its owner alone. Raises OSError."""
    folder = folder_of(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    _hand_over(state, folder)
    return folder


def is_name(text: str) -> bool:
    """Whether a text is a name that `copied` gives."""
    return _NAME.fullmatch(text) is not None


def copied(state: Path, source: Path) -> str:
    """Copies a mask to where workers can read it; nobody's until `keep`. Returns its name.

    Raises:
        UsageError: it cannot be read, is empty, or larger than any mask.
        OSError: there is no room for it.
    """
    data = _read(source)
    path = make_folder(state) / f"{secrets.token_hex(16)}{COPYING}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _hand_over(state, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path.name.removesuffix(COPYING)


def _read(source: Path) -> bytes:
    try:
        with source.open("rb") as file:
            data = file.read(MOST_MASK_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The mask cannot be read ({error.strerror})", source) from error
    if not data:
        raise UsageError("The mask is empty", source, "Save it anew in your picture editor.")
    if len(data) > MOST_MASK_BYTES:
        raise UsageError(
            f"The mask is larger than {MOST_MASK_BYTES // 1_000_000} MB", source, "Save it as a grey PNG."
        )
    return data


def _hand_over(state: Path, path: Path) -> None:
    """What root's command makes for another user's daemon is that user's, like SQLite's own files."""
    if os.geteuid() == 0:
        owner = state.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def keep(ledger: Ledger, name: str) -> None:
    """Gives a copied mask its name, in the transaction that also writes who wants it: `drop_orphans` waits for it."""
    folder = folder_of(ledger.path.parent)
    (folder / f"{name}{COPYING}").rename(folder / name)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lies(ledger: Ledger, name: str) -> bool:
    """Whether a mask of this name is still there."""
    return (folder_of(ledger.path.parent) / name).is_file()


def drop_orphans(ledger: Ledger) -> int:
    """Removes the masks that no photo is made with and no command waits for any more.

    Returns:
        How many there were.

    Raises:
        OSError: one cannot be removed.
    """
    folder = folder_of(ledger.path.parent)
    if not _others(folder, _wanted(ledger)):
        return 0
    with ledger.durably():  # nobody names another one meanwhile
        gone = _others(folder, _wanted(ledger))
        for path in gone:
            path.unlink(missing_ok=True)
    return len(gone)


def _wanted(ledger: Ledger) -> frozenset[str]:
    return frozenset(str(row["name"]) for row in ledger.read(_WANTED) if row["name"])


def _others(folder: Path, wanted: frozenset[str]) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in paths if path.name not in wanted and not _being_copied(path)]


def _being_copied(path: Path) -> bool:
    if not path.name.endswith(COPYING):
        return False
    with contextlib.suppress(FileNotFoundError):
        return abs(time.time() - path.lstat().st_mtime) < ABANDONED_S
    return True
