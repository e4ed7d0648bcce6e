"""One odd file, folder, answer or listener: its photo alone pays for it, by name, and all others come through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.simulation import Simulation, simulated

from cutoutd.daemon.events import Listener, Listeners
from cutoutd.daemon.files.names import date_of
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled, folded
from cutoutd.daemon.watching.watcher import Hint
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers import pool

AFTER_2262_S = 11_160_000_000
ANY_NUMBER = st.integers(min_value=-(2**70), max_value=2**70)


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulation]]:
    made: list[Simulation] = []

    def make(**inbox_table: Any) -> Simulation:
        made.append(Simulation(tmp_path, inbox_table=inbox_table))
        return made[-1]

    with simulated(monkeypatch):
        yield make
        for one in made:
            one.die()


@given(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_ledger_takes_whatever_a_file_system_says(
    tmp_path: Path, size: int, mtime_ns: int, inode: int, access: int
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", check=False)
    path = os.urandom(8)
    _, photo = Intake(ledger).observe(
        b"/in", path, Facts(size, mtime_ns, inode, access), settled=Settled.KNOWN
    )
    assert photo is not None
    row = Intake(ledger).get(photo)
    assert row is not None
    assert row.is_of(size, mtime_ns, inode)
    assert not row.is_of(size, mtime_ns + 1, inode)
    assert folded(size) == row.size
    assert len(date_of(mtime_ns)) == len(date_of(row.mtime_ns)) == len("2026-01-01")
    ledger.close()


def test_a_photo_from_after_2262_is_cut_out_like_any_other(sim: Callable[..., Simulation]) -> None:
    one = sim(output={"name": "{date} {stem}"})
    one.put("late.jpg", b"late")
    os.utime(one.inbox / "late.jpg", (AFTER_2262_S, AFTER_2262_S))
    if os.stat(one.inbox / "late.jpg").st_mtime < AFTER_2262_S:
        pytest.skip("this file system does not keep such a time")
    one.put("good.jpg", b"good")
    one.boot().finish()
    assert one.states() == {"late.jpg": "done", "good.jpg": "done"}
    assert "2262-04-11 late.png" in one.outputs()


@given(
    st.lists(
        st.one_of(
            st.builds(pool.Finished, st.integers(-2, 9), st.one_of(st.none(), st.text(), ANY_NUMBER)),
            st.builds(
                pool.Finished,
                st.integers(1, 3),
                st.builds(
                    jobs.Finished,
                    st.text(),
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    st.floats(),
                    st.just(()),
                    st.dictionaries(st.text(), st.floats()),
                ),
            ),
            st.builds(pool.Finished, st.integers(1, 3), st.builds(jobs.Unchanged, st.text(), ANY_NUMBER)),
            st.builds(pool.Finished, st.integers(1, 3), st.builds(jobs.OverBudget, st.floats())),
            st.builds(
                pool.Finished,
                st.integers(1, 3),
                st.builds(jobs.OutboxRefused, st.binary(), ANY_NUMBER, st.text()),
            ),
            st.builds(
                pool.Died, st.integers(1, 9), st.sampled_from(["crashed", "timeout", "killed"]), st.text()
            ),
            st.builds(pool.Failed, st.integers(1, 9), st.builds(ValueError, st.text())),
        ),
        max_size=6,
    ),
    st.lists(st.binary(min_size=1, max_size=300), max_size=3),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_message_ends_the_loop(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], names: list[bytes]
) -> None:
    with pytest.MonkeyPatch.context() as patch, simulated(patch):
        one = Simulation(tmp_path_factory.mktemp("loop"))
        for name in ("a.jpg", "b.jpg"):
            one.put(name, name.encode())
        one.boot().until_in_a_worker()
        for message in messages:
            one.daemon.post(message)
        for name in names:
            one.daemon.post(Hint(str(one.inbox), name, "closed"))
        one.run(20)
        one.put("after.jpg", b"after")
        one.finish()
        assert one.states()["after.jpg"] == "done"
        assert all(row["state"] in ("done", "failed", "skipped", "superseded") for row in one.rows())
        one.die()


def test_a_listener_that_raises_is_logged_once_and_the_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    class Deaf(Listener):
        def notice(self, text: str) -> None:
            raise OSError(text)

    heard: list[str] = []

    class Hearing(Listener):
        def notice(self, text: str) -> None:
            heard.append(text)

    both = Listeners(Deaf(), Hearing())
    both.notice("one")
    both.notice("two")
    assert heard == ["one", "two"]
    assert len(caplog.records) == 1
