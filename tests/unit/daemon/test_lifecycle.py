"""Lives that follow one another: what ends the daemon, what it waits for, and what it says."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from tests.support.conditions import wait_until
from tests.support.simulation import Heard
from tests.unit.daemon.conftest import full_disk

from cutoutd.config.errors import LedgerError
from cutoutd.daemon import lifecycle
from cutoutd.daemon import supervisor as supervisor_module
from cutoutd.daemon.components import Places
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.daemon.lifecycle import Daemon
from cutoutd.daemon.lock import holder
from cutoutd.daemon.plan import Plan
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.workers.sizing import PoolSize


class EnoughError(Exception):
    """Ends a test's daemon."""


def does_not_open() -> None:
    """What the ledger says when its file cannot be opened on a full disk."""
    raise LedgerError("The ledger cannot be opened", "ledger.sqlite", "Free space.") from full_disk()


def is_newer() -> None:
    raise LedgerError("The ledger was written by a newer cutoutd (version 9)")


def fills_up() -> None:
    raise full_disk()


def ends() -> None:
    raise EnoughError


@dataclass
class Lives:
    """Stands in for the machinery: the n-th life is born, and then lives, as the test says."""

    lives: list[tuple[Callable[[], None] | None, Callable[[], None]]]
    plans: list[Plan] = field(default_factory=list[Plan])
    seen: list[str] = field(default_factory=list[str])
    applied: list[Plan] = field(default_factory=list[Plan])
    close_error: Exception | None = None
    ledger: Ledger = field(init=False)

    def __call__(self, plan: Plan, *_rest: object, **_more: object) -> Lives:
        self.plans.append(plan)
        birth, self.act = self.lives.pop(0)
        if birth is not None:
            birth()
        return self

    def recover(self, *, count: bool) -> None:
        self.seen.append("counted" if count else "recovered")

    def apply(self, plan: Plan) -> None:
        self.applied.append(plan)
        act, self.act = self.act, lambda: None  # a reload applies once more
        act()

    @property
    def group_commit(self) -> None:
        """What a turn asks for once all messages are heard."""
        raise EnoughError

    def close(self) -> None:
        self.seen.append("closed")
        if self.close_error is not None:
            raise self.close_error

    def abandon(self) -> None:
        self.seen.append("abandoned")
        if hasattr(self, "ledger"):
            self.ledger.abandon()


@pytest.fixture
def handlers() -> Generator[None]:
    """The test runner's own signal handlers, back again afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def supervise(
    lives: Lives, plan: Plan, monkeypatch: pytest.MonkeyPatch, load: Callable[[], Plan] | None = None
) -> tuple[Supervisor, Heard]:
    """A supervisor that keeps the network and whose lives are those."""
    monkeypatch.setattr(supervisor_module, "guard_supervisor", lambda: None)
    monkeypatch.setattr(lifecycle, "LEDGER_RETRY_S", 0.01)
    monkeypatch.setattr(supervisor_module, "Components", lives)
    heard = Heard()
    return Supervisor(plan, Places(plan.inboxes[0].settings.path.parent / "state"), heard, load=load), heard


def run(supervisor: Supervisor, plan: Plan) -> None:
    Daemon(supervisor, plan.inboxes[0].settings.path.parent / "state").run()


@pytest.mark.usefixtures("handlers")
def test_a_ledger_that_does_not_open_in_a_later_life_is_waited_for(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room for the probe and none for the ledger, or fills up again in between."""
    later = (does_not_open, lambda: None)
    lives = Lives([(None, fills_up), later, later, (None, ends)])
    supervisor, heard = supervise(lives, plan, monkeypatch)
    with pytest.raises(EnoughError):
        run(supervisor, plan)
    assert lives.seen == ["counted", "abandoned", "recovered", "closed"]
    assert len(heard.warnings) == 3
    assert all("free space there and it goes on by itself" in text for text in heard.warnings)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("ready", [True, False])
def test_waiting_for_the_ledger_is_no_hanging(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, *, ready: bool
) -> None:
    """The service manager hears of it, and another program that holds the file is waited for too."""
    state = plan.inboxes[0].settings.path.parent / "state"
    Ledger(state / LEDGER_NAME).close()
    holder = sqlite3.connect(state / LEDGER_NAME, isolation_level=None)

    def is_held_by_another() -> None:
        holder.execute("BEGIN IMMEDIATE")
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    supervisor, heard = supervise(Lives([(None, is_held_by_another), (None, ends)]), plan, monkeypatch)
    vars(supervisor)["was_ready"] = ready
    signs: list[str] = []

    def sign(text: str = "alive") -> None:
        signs.append(text)
        if len(signs) == (3 if ready else 2):
            holder.close()

    monkeypatch.setattr(heard, "healthy", sign)
    monkeypatch.setattr(heard, "starting", sign)
    monkeypatch.setattr(lifecycle, "WAITING_SAID_EVERY_S", 0.0)
    with pytest.raises(EnoughError):
        run(supervisor, plan)
    assert "end the program that holds it" in heard.warnings[0]
    assert signs[1:3] == (["alive", "alive"] if ready else ["Waiting until the ledger can be written"])


def is_broken() -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


@pytest.mark.usefixtures("handlers")
def test_a_ledger_that_breaks_while_in_use_is_put_aside_and_made_anew(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = plan.inboxes[0].settings.path.parent / "state"
    Ledger(state / LEDGER_NAME).close()
    lives = Lives([(None, is_broken), (None, ends)])
    supervisor, heard = supervise(lives, plan, monkeypatch)
    with pytest.raises(EnoughError):
        run(supervisor, plan)
    assert lives.seen == ["counted", "abandoned", "recovered", "closed"]
    assert len(list(state.glob(f"{LEDGER_NAME}.damaged-*"))) == 1
    assert not (state / LEDGER_NAME).exists()
    assert "rebuilt" in heard.warnings[0]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("what", ["removed", "replaced", "cannot be put back"])
def test_a_ledger_that_is_no_longer_there_is_put_back_and_another_is_taken_up(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    state = plan.inboxes[0].settings.path.parent / "state"
    path = state / LEDGER_NAME
    lives: Lives

    def is_taken_away() -> None:
        lives.ledger = Ledger(path)
        lives.ledger.set_meta("n1", 1)
        lives.ledger.commit()
        path.unlink()
        if what == "replaced":
            path.touch()
        elif what == "cannot be put back":
            path.with_name(f"{LEDGER_NAME}.removed.part").mkdir()
        lives.ledger.data_version()

    lives = Lives([(None, is_taken_away), (None, ends)])
    supervisor, heard = supervise(lives, plan, monkeypatch)
    with pytest.raises(EnoughError):
        run(supervisor, plan)
    assert lives.seen == ["counted", "abandoned", "recovered", "closed"]
    said = {"removed": "back as it was", "replaced": "goes on with that one"}
    assert said.get(what, "it is rebuilt") in heard.warnings[0]
    found = Ledger(path)
    assert found.get_meta("n1") == (1 if what == "removed" else None)
    found.close()


@pytest.mark.usefixtures("handlers")
def test_a_state_folder_that_is_removed_between_two_lives_is_made_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon waited without an end for a folder to take writes that was no longer there."""
    state = plan.inboxes[0].settings.path.parent / "state"

    def removed_and_full() -> None:
        shutil.rmtree(state)
        fills_up()

    def ends_in_its_folder() -> None:
        assert holder(state) == os.getpid()
        ends()

    supervisor, _ = supervise(
        Lives([(None, removed_and_full), (None, ends_in_its_folder)]), plan, monkeypatch
    )
    with pytest.raises(EnoughError):
        run(supervisor, plan)


@pytest.mark.usefixtures("handlers")
def test_a_ledger_that_breaks_again_at_once_is_the_disks_fault(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = plan.inboxes[0].settings.path.parent / "state"
    Ledger(state / LEDGER_NAME).close()
    supervisor, _ = supervise(Lives([(None, is_broken), (None, is_broken)]), plan, monkeypatch)
    with pytest.raises(LedgerError, match="damaged again"):
        run(supervisor, plan)


@pytest.mark.usefixtures("handlers")
def test_a_ledger_that_does_not_open_at_the_start_is_an_error(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, _ = supervise(Lives([(does_not_open, lambda: None)]), plan, monkeypatch)
    with pytest.raises(LedgerError, match="cannot be opened"):
        run(supervisor, plan)


@pytest.mark.usefixtures("handlers")
def test_a_newer_ledger_in_a_later_life_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting would not help: somebody updated and went back while the disk was full."""
    supervisor, _ = supervise(Lives([(None, fills_up), (is_newer, lambda: None)]), plan, monkeypatch)
    with pytest.raises(LedgerError, match="newer"):
        run(supervisor, plan)


@pytest.mark.usefixtures("handlers")
def test_the_first_error_is_the_one_that_is_told(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor, _ = supervise(Lives([(None, ends)], close_error=full_disk()), plan, monkeypatch)
    with pytest.raises(EnoughError) as caught:
        run(supervisor, plan)
    assert any("disk is full" in note for note in caught.value.__notes__)


@pytest.mark.usefixtures("handlers")
def test_a_signal_sent_before_the_ledger_filled_up_still_ends_the_daemon(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def takes_none(_daemon: Daemon) -> bool:
        return False

    def told_to_stop_and_fills_up() -> None:
        monkeypatch.setattr(Daemon, "_takes_writes", takes_none)
        os.kill(os.getpid(), signal.SIGTERM)
        fills_up()

    lives = Lives([(None, told_to_stop_and_fills_up)])
    run(supervise(lives, plan, monkeypatch)[0], plan)
    assert lives.seen == ["counted", "abandoned"]


@pytest.mark.usefixtures("handlers")
def test_the_wait_for_room_writes_over_nobodys_file(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    state = plan.inboxes[0].settings.path.parent / "state"

    def lays_a_link_and_fills_up() -> None:
        (state.parent / "precious").write_text("precious")
        (state / "probe").symlink_to(state.parent / "precious")
        fills_up()

    lives = Lives([(None, lays_a_link_and_fills_up), (None, lambda: None)])
    with pytest.raises(EnoughError):
        run(supervise(lives, plan, monkeypatch)[0], plan)
    assert (state.parent / "precious").read_text() == "precious"


@pytest.mark.usefixtures("handlers")
def test_a_reload_survives_a_full_ledger_disk(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(plan, pool_size=PoolSize(plan.pool_size.size + 5, 1))

    def reloads_and_fills_up() -> None:
        supervisor.reload()
        wait_until(lambda: not vars(supervisor)["_mailbox"].queue.empty(), "the config to be read")
        fills_up()

    lives = Lives([(None, reloads_and_fills_up), (None, lambda: None)])
    supervisor, _ = supervise(lives, plan, monkeypatch, load=lambda: new)
    with pytest.raises(EnoughError):
        run(supervisor, plan)
    assert [one.pool_size for one in lives.applied] == [plan.pool_size, plan.pool_size, new.pool_size]
