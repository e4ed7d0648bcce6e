"""What a running daemon says of itself, at each moment of its life."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tests.support.simulation import Simulation

from cutoutd.daemon.ledger.control import Control, Verb
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.daemon.live_status import DaemonState
from cutoutd.daemon.workers.protocol import OutboxRefused

Make = Callable[..., Simulation]


def test_at_work_and_at_rest(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot()
    one.workers.hang = True
    one.until_in_a_worker()
    status = one.daemon.status()
    assert status.state is DaemonState.WORKING
    assert [(hand.name, hand.stage) for hand in status.in_hand] == [("a.jpg", "working")]
    one.workers.hang = False
    one.finish()
    status = one.daemon.status()
    assert (status.state, status.in_hand, status.why) == (DaemonState.IDLE, (), "")
    assert status.counts.done == 1


def test_a_pause_and_who_asked_for_it(sim: Make) -> None:
    one = sim().boot()
    one.finish()
    other = Ledger(one.root / "state" / LEDGER_NAME, check=False)
    Control(other).command(Verb.PAUSE)
    other.close()
    one.pass_time(10)
    one.run(4)
    status = one.daemon.status()
    assert status.state is DaemonState.PAUSED
    assert "cutoutd resume" in status.why


def test_an_end_that_waits_for_what_is_in_hand(sim: Make) -> None:
    one = sim()
    one.put("a.jpg", b"frame")
    one.boot()
    one.workers.hang = True
    one.until_in_a_worker()
    one.daemon.stop()
    assert one.daemon.status().state is DaemonState.STOPPING


def test_before_a_worker_is_warm_it_is_starting(sim: Make) -> None:
    one = sim().boot()
    assert one.daemon.status().state is DaemonState.STARTING


def test_an_inbox_that_is_away_says_so(sim: Make) -> None:
    one = sim().boot()
    one.finish()
    one.inbox.rename(one.root / "aside")
    one.parts.inbox_watchers[bytes(one.inbox)].lost("moved")
    one.run(20)
    (inbox,) = one.daemon.status().inboxes
    assert not inbox.watching
    assert "does not exist" in inbox.trouble


def test_photos_that_wait_for_a_folder_are_no_rest(sim: Make) -> None:
    """It was "idle" beside "1 to do", with nothing to say why."""
    one = sim().boot()
    one.finish()
    one.workers.refuse = OutboxRefused(bytes(one.outbox), errno.ENOSPC, "No space left on device")
    one.put("a.jpg", b"frame")
    one.until(lambda: one.daemon.status().state is DaemonState.WAITING)
    status = one.daemon.status()
    assert status.counts.pending == 1
    assert "wait for a folder" in status.why
    one.workers.refuse = None
    one.finish()
    assert (one.daemon.status().state, one.daemon.status().why) == (DaemonState.IDLE, "")


def test_a_photo_that_rests_waits_for_no_other_inboxs_folder(sim: Make) -> None:
    one = sim()
    other = one.root / "other"
    other.mkdir(parents=True)
    one.tables = {
        "inbox": [
            {"path": folder, "outbox": one.outbox, "name": folder.name, "events": "poll", "poll_every": 1}
            for folder in (one.inbox, other)
        ]
    }
    one.put("a.jpg", b"frame")
    one.boot()
    one.finish()
    other.rename(one.root / "aside")
    one.parts.inbox_watchers[bytes(other)].lost("moved")
    one.run(20)
    ledger = one.parts.ledger
    ledger.write("UPDATE photos SET state = 'pending', not_before = ?", (one.wall + 1000,))
    status = one.daemon.status()
    assert [bool(inbox.trouble) for inbox in status.inboxes] == [False, True]
    assert (status.counts.pending, status.why) == (1, "")
    ledger.write("UPDATE photos SET inbox = ?", (bytes(other),))
    assert "wait for a folder" in one.daemon.status().why


def test_without_names_only_a_number_is_told(sim: Make) -> None:
    one = sim()
    one.tables = {"history": {"filenames": False}}
    one.put("secret.jpg", b"frame")
    one.boot()
    one.workers.hang = True
    one.until_in_a_worker()
    (hand,) = one.daemon.status().in_hand
    assert hand.name == f"photo {hand.photo}"
