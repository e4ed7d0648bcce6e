"""Many nodes in one process, for `benchmarks/fleet.py`: real Dask workers over real TLS, whose job is to wait.

`python -m benchmarks.standins NODE_FOLDER NODES SLOTS JOB_S` joins the fleet of a node's folder that many times. Each
photo is read and digested, its outbox gets a small temporary, and the answer is a worker's. No worker process, sandbox
or pixels are behind it, and nothing is synced: a node does all that on a machine of its own, and waits for it there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.digests import cutout_digest_of
from tests.support.pretended_fleet import answer_to

from cutoutd.config.fleet import NODE_FILE, load_node
from cutoutd.daemon.fleet import dask, tasks
from cutoutd.daemon.fleet.records import Joined, NodeJob, Returned
from cutoutd.daemon.fleet.roles import Role
from cutoutd.daemon.workers.codec import dumps, from_json, loads, to_json


class StandIn:
    """What all of them do.

    Args:
        slots: photos at once, for each of them.
        job_s: how long each photo takes besides.
    """

    def __init__(self, slots: int, job_s: float) -> None:
        self._slots = slots
        self._job_s = job_s

    def join(self, terms: str) -> str:
        """Agrees to anything."""
        del terms
        return dumps(Joined(self._slots, self._slots, {}, "", 0.0)).decode("ascii")

    async def photo(self, job: str) -> str:
        """See the module."""
        given: NodeJob = from_json(NodeJob, loads(job.encode("ascii"), trusted=True), at="job", trusted=True)
        if self._job_s:
            await asyncio.sleep(self._job_s)
        made = answer_to(given.job, _write)
        return dumps(Returned(to_json(made))).decode("ascii")

    def drop(self, life: str, call: int) -> None:
        """Nothing runs that could be ended."""
        del life, call


def _write(_outbox: bytes, temporary: bytes, data: bytes) -> str:
    path = Path(os.fsdecode(temporary))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return cutout_digest_of(data)


async def work(folder: Path, nodes: int, slots: int, job_s: float) -> None:
    """Until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    settings = load_node(folder / NODE_FILE)
    node = StandIn(slots, job_s)
    tasks.serve(node)
    security = dask.security(folder, Role.NODE)
    workers: list[Any] = [
        dask.worker_class()(
            settings.scheduler,
            nthreads=slots,
            node=node,
            name=f"{settings.name}/{number}",
            security=security,
        )
        for number in range(nodes)
    ]
    for worker in workers:
        await worker
    print("joined", flush=True)
    await stopped.wait()


def main(folder: str, nodes: str, slots: str, job_s: str) -> None:
    """Without a goodbye at the end: what is in hand then is owed."""
    asyncio.run(work(Path(folder), int(nodes), int(slots), float(job_s)))


if __name__ == "__main__":
    main(*sys.argv[1:])
