"""What Dask was told: its settings whatever the user's say, and each photo once, on one node, in one slot."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the extra fleet is not installed")
pytest.importorskip("cryptography", reason="the extra fleet is not installed")

from cutoutd.daemon.fleet import dask, tasks
from cutoutd.daemon.fleet.relay import Relay
from cutoutd.daemon.fleet.roles import Role
from cutoutd.service.fleet.certificates import authority, issue


class Noting:
    """A node that only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def join(self, terms: str) -> str:
        return terms

    def photo(self, order: str) -> str:
        self.asked.append(order)
        return f"made {order}"

    def drop(self, life: str, call: int) -> None: ...


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    by = authority(tmp_path)
    for role in (Role.HEAD, Role.NODE):
        issue(tmp_path, by, role, role.value, hosts=("127.0.0.1",))
    return tmp_path


def test_the_users_own_settings_of_dask_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "7")
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING", "True")
    plain: Any = importlib.import_module("dask")
    plain.config.refresh()
    assert plain.config.get("distributed.scheduler.allowed-failures") == 7
    dask.load()
    said = {
        name: plain.config.get(f"distributed.scheduler.{name}")
        for name in ("allowed-failures", "work-stealing", "worker-ttl")
    }
    assert said == {"allowed-failures": 0, "work-stealing": False, "worker-ttl": "30s"}


def test_a_real_scheduler_tries_each_photo_once_on_its_node_in_one_slot(certificates: Path) -> None:
    node = Noting()
    tasks.serve(node)

    async def seen() -> dict[str, Any]:
        distributed = dask.load()
        scheduler: Any = dask.scheduler_class()(
            host="127.0.0.1", port=0, protocol="tls://", security=dask.security(certificates, Role.HEAD),
            dashboard=False, local_directory=str(certificates),
        )  # fmt: skip
        await scheduler
        worker: Any = dask.worker_class()(
            scheduler.address, nthreads=2, resources={dask.PHOTO: 2}, memory_limit=None, dashboard=False,
            security=dask.security(certificates, Role.NODE), local_directory=str(certificates),
        )  # fmt: skip
        await worker
        client: Any = await distributed.Client(
            scheduler.address,
            security=dask.security(certificates, Role.HEAD),
            asynchronous=True,
            set_as_default=False,
            direct_to_workers=False,
        )
        relay: Any = Relay(scheduler.address, certificates, -1)
        relay._client = client
        executor = relay._executor(worker.address)
        futures = [executor.submit(tasks.photo, "the same") for _ in range(2)]
        answers = [await asyncio.wrap_future(one) for one in futures]
        found = [
            {
                "retries": one.retries,
                "resources": one.resource_restrictions,
                "where": one.worker_restrictions == {worker.address},
                "elsewhere": one.loose_restrictions,
            }
            for one in scheduler.tasks.values()
        ]
        of_all = {
            "failures": scheduler.allowed_failures,
            "silent_s": scheduler.worker_ttl,
            "steals": "stealing" in scheduler.extensions,
        }
        await client.close()
        await worker.close()
        await scheduler.close()
        return {"answers": answers, "tasks": found, "of_all": of_all}

    told = asyncio.run(asyncio.wait_for(seen(), 30))
    assert told["answers"] == ["made the same"] * 2
    assert node.asked == ["the same"] * 2  # not pure: equal orders are two photos
    one = {"retries": 0, "resources": {dask.PHOTO: 1}, "where": True, "elsewhere": False}
    assert told["tasks"] == [one, one]
    assert told["of_all"] == {"failures": 0, "silent_s": 30, "steals": False}
