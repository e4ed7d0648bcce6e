"""From the state folder's lock to the last commit: lives of the daemon's parts that follow one another.

One life is the usual case. A ledger that cannot be written for a while, is damaged, or is no longer where it was, ends
it, and the next one recovers as after a crash. What a life does is `supervisor`'s.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from cutoutd.config.errors import LedgerError, printable
from cutoutd.daemon.components import Components
from cutoutd.daemon.ledger.database import LEDGER_NAME
from cutoutd.daemon.ledger.file import is_held, move_aside, save_removed
from cutoutd.daemon.ledger.troubles import LedgerMovedError, is_busy, is_damage, is_passing_trouble
from cutoutd.daemon.lock import StateLock
from cutoutd.daemon.supervisor import Supervisor

# A full ledger disk is looked at this often; it must take this much before work begins again.
LEDGER_RETRY_S = 2.0
LEDGER_ROOM_BYTES = 1 << 20
# A ledger that is found damaged again within this time of being rebuilt lies on a disk that nobody can trust.
DAMAGED_AGAIN_S = 600.0
# A third of what the service manager is asked for at each step of a start.
WAITING_SAID_EVERY_S = 30.0


class Daemon:
    """One daemon.

    Args:
        supervisor: does the work of each life.
        state: the state folder.
        clock: monotonic seconds.
    """

    def __init__(
        self, supervisor: Supervisor, state: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._supervisor = supervisor
        self._listener = supervisor.listener
        self._state = state
        self._clock = clock
        self._waiting_said_at = float("-inf")
        self._rebuilt_at = float("-inf")
        self._at_once = False  # the next life need not wait for anything

    def run(self) -> None:
        """Holds the state folder, does the work until told to stop, and leaves everything owed in the ledger.

        Raises:
            AlreadyRunningError: another daemon is at work with this state folder.
            LedgerError: the ledger cannot be opened.
        """
        lock = StateLock(self._state)
        try:
            self._listener.starting("Opening the ledger")
            self._supervisor.take_process()
            self._live(first=True)
            while not self._supervisor.finished:
                self._wait_for_ledger()
                lock = lock.renewed()
                self._live(first=False)
        finally:
            self._supervisor.end()
            lock.release()

    def _live(self, *, first: bool) -> None:
        """One life of the parts; it ends with the daemon, or when the ledger cannot be written for a while.

        In the second case nothing more is published, and the next life recovers as after a crash.
        """
        supervisor = self._supervisor
        if supervisor.finished:
            return
        try:
            parts = supervisor.make_components()
        except (LedgerError, OSError) as error:
            if first or not is_passing_trouble(error):
                raise
            self._wait_is_on(error)
            return
        try:
            parts.recover(count=first)
            supervisor.work()
            parts.close()
        except LedgerMovedError:
            self._follow(parts)
        except sqlite3.DatabaseError as error:
            parts.abandon()
            if is_damage(error):
                self._rebuild(error)
            elif is_passing_trouble(error):
                self._wait_is_on(error)
            else:
                raise
        except BaseException as error:
            try:
                parts.close()
            except sqlite3.Error as second:  # the first error is the one to be told
                error.add_note(f"Nor could the ledger be closed ({second}); the next start recovers.")
            raise

    # --- a ledger that was removed or replaced ---------------------------------------------------------------

    def _follow(self, parts: Components) -> None:
        """Puts a ledger back that was removed: it is still open, and whole. Another in its place is taken up."""
        path = parts.ledger.path
        said = f"The ledger {printable(path)} was removed while in use"
        closed = False
        try:
            copy = save_removed(parts.ledger)
            closed = True
            parts.abandon()
            if copy is not None:
                copy.replace(path)
        except (sqlite3.Error, OSError) as error:
            if not closed:
                parts.abandon()
            self._listener.warning(
                f"{said} and cannot be put back ({error}); it is rebuilt from what is there."
            )
            return
        self._at_once = True  # nobody has it open now: what removes it in this moment takes it for good
        if copy is None:
            said = f"Another ledger lies at {printable(path)}; cutoutd goes on with that one."
        else:
            said = f"{said}. It is back as it was; `cutoutd forget --all` empties it."
        self._listener.warning(said)

    # --- a damaged ledger ------------------------------------------------------------------------------------

    def _rebuild(self, error: Exception) -> None:
        """Puts the damaged ledger aside, though it may have passed the look at a start; the next life makes a new one.

        Raises:
            LedgerError: it was damaged a moment ago too, or cannot be put aside.
        """
        path = self._state / LEDGER_NAME
        if self._clock() < self._rebuilt_at + DAMAGED_AGAIN_S:
            fix = "Check the disk of the state folder; no photo and no cutout is touched meanwhile."
            raise LedgerError(f"The ledger is damaged again ({error})", path, fix) from error
        self._rebuilt_at = self._clock()
        try:
            aside = move_aside(path, time.time())
        except OSError as second:
            fix = "Check the state folder's disk and permissions."
            raise LedgerError(
                f"The ledger is damaged and cannot be put aside ({second})", path, fix
            ) from error
        self._listener.warning(
            f"The ledger was damaged and lies at {printable(aside)}; it is rebuilt from what is there."
        )

    # --- a ledger that cannot be written for a while ---------------------------------------------------------

    def _wait_is_on(self, error: Exception) -> None:
        remedy = "end the program that holds it" if is_busy(error) else "free space there"
        self._listener.warning(
            f"The ledger in {self._state} cannot be written ({error}). Photos wait and nothing is "
            f"published; {remedy} and it goes on by itself."
        )

    def _wait_for_ledger(self) -> None:
        """Until the state folder takes writes and nobody holds the ledger, or the daemon is told to stop."""
        while not self._supervisor.finished:
            self._sign_of_life()
            if self._supervisor.rest(0.0 if self._at_once else LEDGER_RETRY_S):
                self._at_once = False
                if self._takes_writes():
                    return

    def _takes_writes(self) -> bool:
        import tempfile  # hardly any daemon comes here

        try:
            # Without a name, where it can be: whatever somebody laid under one of ours would be in the way.
            with tempfile.TemporaryFile(dir=self._state) as probe:
                probe.write(bytes(LEDGER_ROOM_BYTES))
            return not is_held(self._state / LEDGER_NAME)
        except FileNotFoundError:
            return True  # the folder was removed, and is made for the next life
        except OSError:
            return False

    def _sign_of_life(self) -> None:
        """Waiting is no hanging: the service manager's watchdog, or its limit for a start, must not end it."""
        if self._supervisor.was_ready:
            self._listener.healthy()
        elif self._clock() >= self._waiting_said_at + WAITING_SAID_EVERY_S:
            self._waiting_said_at = self._clock()
            self._listener.starting("Waiting until the ledger can be written")
