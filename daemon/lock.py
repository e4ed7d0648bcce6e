"""One daemon per state folder, and no new one while workers of the last one live; by file locks alone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from cutoutd.config.errors import AlreadyRunningError, CutoutError, LedgerError

# `holder` takes the lock for an instant to see whether it is free; a daemon that meets that waits no longer.
LOOKER_S = 2.0
# How long a new daemon waits for workers that the last one left behind; they die with it, within moments.
ORPHANS_WAIT_S = 30.0
_ID_LONGEST = 32  # of an instance; those made here have 8
PID_BYTES = 32  # more than any process number has digits


class _NotPlainError(OSError):
    """A link, a pipe or a folder lies under a name of ours."""


def _open_plain(path: Path, flags: int) -> int:
    """A file of the state folder; a pipe under its name is not waited for, and no link leads to a file of somebody's.

    Raises:
        _NotPlainError: something else lies there.
        OSError: it cannot be opened.
    """
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _NotPlainError(error.errno, "it is no plain file", os.fspath(path)) from error
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise _NotPlainError(errno.ENXIO, "it is no plain file", os.fspath(path))


def _odd_lock(path: Path) -> LedgerError:
    return LedgerError("This is to be a lock of cutoutd, and is no plain file", path, "Remove it.")


class StateLock:
    """The exclusive lock on a state folder; holding it *is* being the daemon.

    Raises:
        AlreadyRunningError: another daemon holds it; names its pid.
        LedgerError: the folder cannot be written.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / "daemon.lock"
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = _open_plain(self.path, os.O_RDWR | os.O_CREAT)
            self._folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except _NotPlainError as error:
            raise _odd_lock(self.path) from error
        except OSError as error:
            raise LedgerError(
                f"The state folder cannot be used ({error.strerror})", state, "Check its permissions."
            ) from error
        until = time.monotonic() + LOOKER_S
        while not self._taken():
            pid = holder(state)
            if pid is None and time.monotonic() < until:
                time.sleep(0.01)  # only a `cutoutd status` that was looking at this very moment
                continue
            self.release()
            raise AlreadyRunningError(
                f"Another cutoutd (process {pid or 'unknown'}) is already at work with this state folder",
                state,
                "Use that one (`cutoutd status`), or stop it first.",
            )
        # In place and never shortened, so that a full disk takes it too. Who holds the lock helps people; that it is
        # held is what counts, so a first start on a full disk goes on without.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, f"{os.getpid():<{PID_BYTES}}".encode(), 0)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Who tidies up may remove the file; the folder stays as long as anything in it.
        if _is_locked(self._folder, fcntl.LOCK_EX):
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # or `holder` would meet our own
            return False
        return True

    def renewed(self) -> StateLock:
        """This one; or, where the state folder was removed, with all that lies in it, the one of a folder made anew.

        Raises:
            AlreadyRunningError: another daemon was quicker.
            LedgerError: the folder cannot be made.
        """
        state = self.path.parent
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._folder), state.stat()):
                return self
        new = StateLock(state)
        self.release()
        return new

    def release(self) -> None:
        """Lets another daemon start; the number that stays behind means nothing without the lock."""
        os.close(self._fd)
        os.close(self._folder)


def holder(state: Path) -> int | None:
    """The pid of the daemon at work with a state folder, 0 where that is not known; None when none is."""
    try:
        fd = _open_plain(state / "daemon.lock", os.O_RDWR)
    except (FileNotFoundError, _NotPlainError):
        return 0 if _folder_is_locked(state) else None
    except PermissionError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, PID_BYTES, 0).strip()
        return int(text) if text.isdigit() else 0
    else:
        return 0 if _folder_is_locked(state) else None
    finally:
        os.close(fd)


def _folder_is_locked(state: Path) -> bool:
    try:
        fd = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _is_locked(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _is_locked(fd: int, how: int) -> bool:
    """Takes a folder's lock. Returns whether another holds it; not on file systems that lock no folders (NFS)."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def workers_gone(lock_path: Path) -> bool:
    """Whether no worker of an earlier daemon still holds the shared worker lock.

    Raises:
        LedgerError: something else lies under its name.
    """
    try:
        fd = _open_plain(lock_path, os.O_RDWR | os.O_CREAT)
    except _NotPlainError as error:
        raise _odd_lock(lock_path) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def wait_for_workers(
    lock_path: Path, clock: Callable[[], float], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Returns once the workers of an earlier daemon are gone.

    Raises:
        CutoutError: they do not end.
    """
    until = clock() + ORPHANS_WAIT_S
    while not workers_gone(lock_path):
        if clock() > until:
            raise CutoutError(
                "Workers of an earlier cutoutd are still alive", lock_path.parent, "End them and start again."
            )
        sleep(0.05)


def instance_id(state: Path, remembered: str = "") -> str:
    """This state folder's random id, kept beside the ledger so that a lost ledger does not change it.

    Args:
        state: the state folder.
        remembered: what the ledger says it is, for a file that is lost or damaged; unset, a new one is made then.

    Raises:
        LedgerError: its file can be neither read nor written.
    """
    path = state / "instance"
    try:
        with open(_open_plain(path, os.O_RDONLY), "rb") as file:
            text = file.read(_ID_LONGEST + 2).strip().decode("ascii", "replace")
        if _is_id(text):
            return text
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _no_instance(path, error) from error
    text = remembered if _is_id(remembered) else secrets.token_hex(4)
    part = path.with_name("instance.part")
    try:
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, text.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(path)
    except OSError as error:
        raise _no_instance(path, error) from error
    return text


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _ID_LONGEST and all(c in "0123456789abcdef" for c in text)


def _no_instance(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"The id of this state folder cannot be kept ({error.strerror})",
        path,
        "See that it is a plain file, or not there, and that the folder may be written.",
    )
