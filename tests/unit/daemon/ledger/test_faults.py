"""Who pays for a mistake: one photo or folder; the ledger's own trouble passes."""

from __future__ import annotations

import sqlite3

import pytest
from tests.support.simulation import InlineIo

from cutoutd.config.errors import LedgerError
from cutoutd.daemon.files.iothread import Done
from cutoutd.daemon.files.story import Story, run
from cutoutd.daemon.ledger.faults import alone, paid_by


def test_a_mistake_is_told_and_goes_no_further() -> None:
    told: list[Exception] = []
    with alone(told.append):
        raise KeyError("one photo")
    assert [str(error) for error in told] == ["'one photo'"]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk is full"), LedgerError("damaged")])
def test_trouble_with_the_ledger_is_nobodys_fault(error: Exception) -> None:
    with pytest.raises(type(error)), alone(lambda _: pytest.fail("no photo is at fault")):
        raise error


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_story_tells_the_mistake_of_any_of_its_steps(step: int) -> None:
    told: list[str] = []
    answers: list[Done] = []
    io = InlineIo("inbox", answers.append)

    async def story() -> None:
        for number in range(3):
            if number == step:
                raise KeyError(number)
            await run(io, lambda: None)

    Story(story(), paid_by(lambda error: told.append(str(error))))
    for _ in range(step):
        assert told == []
        io.step()
        answers[-1].then(None, None)
    assert told == [str(step)]
    assert not io.waiting


def test_nor_is_it_that_of_what_a_story_is_about() -> None:
    io = InlineIo("inbox", lambda done: done.then(done.value, done.error))

    async def story() -> None:
        await run(io, lambda: None)
        raise LedgerError("damaged")

    Story(story(), paid_by(lambda _: pytest.fail("no photo is at fault")))
    with pytest.raises(LedgerError, match="damaged"):
        io.step()
