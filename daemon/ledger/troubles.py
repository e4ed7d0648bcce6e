"""Whose trouble an error of the ledger is: another program's, the disk's, the file's, or a mistake of ours."""

from __future__ import annotations

import errno
import sqlite3

from cutoutd.config.errors import LedgerError


class LedgerOldError(LedgerError):
    """The ledger is of an earlier version, and who asks may not change it."""


class LedgerCorruptError(LedgerError):
    """The ledger file is damaged; it can be moved aside and rebuilt by a scan."""


class DamagedRowError(sqlite3.DatabaseError):
    """A row holds what nobody wrote, which SQLite cannot know: damage all the same."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class LedgerMovedError(LedgerError):
    """Somebody removed the ledger file, or put another in its place, while it was in use."""


def is_ledgers_own(error: BaseException) -> bool:
    """Whether an error is about the ledger file, so that no photo is at fault for it."""
    if isinstance(error, LedgerError):
        return True
    return isinstance(error, sqlite3.OperationalError) or is_damage(error)


def is_damage(error: BaseException) -> bool:
    """Whether the file itself was found to be broken."""
    if isinstance(error, LedgerCorruptError):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_busy(error: BaseException) -> bool:
    """Whether another program held the ledger for longer than we wait."""
    if isinstance(error, LedgerError):
        return error.__cause__ is not None and is_busy(error.__cause__)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_passing_trouble(error: BaseException) -> bool:
    """Whether the ledger could not be used because of its disk or another program, not through a mistake of ours.

    Args:
        error: SQLite's error, an OSError, or the LedgerError that one of them became.
    """
    if isinstance(error, LedgerError):
        return error.__cause__ is not None and is_passing_trouble(error.__cause__)
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    } or is_busy(error)
