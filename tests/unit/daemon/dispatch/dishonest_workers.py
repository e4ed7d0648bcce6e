"""Workers that were taken over by a photo."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.simulation import Simulation

from cutoutd.daemon.workers import protocol


def always(one: Simulation, photo: str, answer: Callable[[], protocol.Result]) -> None:
    """A worker that was taken over by this photo, whenever it has it in hand."""
    honest = one.workers.work
    path = bytes(one.inbox / photo)

    def work(job: protocol.Job) -> protocol.Result:
        return answer() if job.path == path else honest(job)

    vars(one.workers)["work"] = work


def wait_for_a_failure(one: Simulation) -> None:
    """Hours may pass, in large steps."""
    for _ in range(2000):
        one.turn()
        if one.heard.failures:
            return
        one.pass_time(4.0)
    raise AssertionError(one.rows())
