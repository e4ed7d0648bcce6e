"""What Dask was told: its settings whatever the user's say, and each photo once, on one node, in one slot."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import pytest
from tests.support.conditions import wait_until

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

    async def photo(self, job: str) -> str:
        self.asked.append(job)
        return f"made {job}"

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


class Fleet:
    """A real scheduler, a real node and the head's client, in this process."""

    def __init__(self, certificates: Path) -> None:
        self.certificates = certificates
        self.said: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        head, folder = dask.security(self.certificates, Role.HEAD), str(self.certificates)
        self.scheduler: Any = dask.scheduler_class()(
            host="127.0.0.1",
            port=0,
            protocol="tls://",
            security=head,
            dashboard=False,
            local_directory=folder,
        )
        await self.scheduler
        self.worker: Any = dask.worker_class()(
            self.scheduler.address, nthreads=2, resources={dask.PHOTO: 2}, local_directory=folder,
            security=dask.security(self.certificates, Role.NODE),
        )  # fmt: skip
        await self.worker
        self.client: Any = await dask.load().Client(
            self.scheduler.address,
            security=head,
            asynchronous=True,
            set_as_default=False,
            direct_to_workers=False,
        )
        self.client.subscribe_topic(tasks.ANSWERS, self._heard)
        self.relay: Any = Relay(self.scheduler.address, self.certificates, -1)
        self.relay._client = self.client
        return self

    def _heard(self, event: Any) -> None:
        self.said.append(event[1])

    async def __aexit__(self, *_error: object) -> None:
        for one in (self.client, self.worker, self.scheduler):
            await one.close()


async def until(true: Callable[[], Any]) -> None:
    """The loop goes on meanwhile."""
    await asyncio.to_thread(wait_until, true, "Dask to have done it", 10)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


def test_a_real_scheduler_tries_each_photo_once_on_its_node_in_one_slot(certificates: Path) -> None:
    node = Noting()
    tasks.serve(node)

    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            address = fleet.worker.address
            futures = [fleet.relay._submit(address, token, "the same") for token in ("1", "2")]
            await until(lambda: len(fleet.said) == 2)
            found = [
                {
                    "retries": one.retries,
                    "resources": one.resource_restrictions,
                    "where": one.worker_restrictions == {address},
                    "elsewhere": one.loose_restrictions,
                }
                for one in fleet.scheduler.tasks.values()
            ]
            assert (
                found == [{"retries": 0, "resources": {dask.PHOTO: 1}, "where": True, "elsewhere": False}] * 2
            )
            assert sorted(fleet.said, key=lambda said: said["token"]) == [
                {"token": token, "answer": "made the same", "worker": address} for token in ("1", "2")
            ]
            assert node.asked == ["the same"] * 2  # not pure: equal jobs are two photos
            scheduler = fleet.scheduler
            assert (scheduler.allowed_failures, scheduler.worker_ttl, scheduler.extensions) == (0, 30, {})
            del futures

    run(seen())


@pytest.mark.parametrize(
    "report",
    [
        {"op": "log-event", "worker": "tls://another:1", "topic": tasks.ANSWERS, "msg": {"token": "1"}},
        {"op": "subscribe-topic", "topic": tasks.ANSWERS, "client": "me"},
        {"op": "client-releases-keys", "keys": ["photo-1"], "client": "cutoutd-head"},
        "close",
    ],
)
def test_a_node_speaks_of_nobody_but_itself(certificates: Path, report: Any) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            fleet.worker.batched_stream.send(report)
            await until(lambda: not fleet.scheduler.workers)
            assert fleet.said == []

    run(seen())


def test_a_node_is_heard_of_often_enough_and_no_oftener(certificates: Path) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            await fleet.worker.heartbeat()
            pace_s = fleet.worker.periodic_callbacks["heartbeat"].callback_time / 1000
            assert pace_s == dask.HEARTBEAT_S < dask.NODE_SILENT_S / 3

    run(seen())
