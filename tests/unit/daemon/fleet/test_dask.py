"""What Dask was told: its settings whatever the user's say, each photo once on one node, and who speaks for whom."""

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

pytestmark = pytest.mark.slow


class Noting:
    """A node that only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dropped: list[tuple[str, int]] = []

    def join(self, terms: str) -> str:
        return terms

    async def photo(self, job: str) -> str:
        self.asked.append(job)
        return f"made {job}"

    def drop(self, life: str, call: int) -> None:
        self.dropped.append((life, call))


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
        self.node = Noting()
        self.said: list[dict[str, Any]] = []
        self.gone: list[str] = []
        self.heard: list[str] = []  # what of the two, in the order that it came

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
            self.scheduler.address, node=self.node, nthreads=2, local_directory=folder, name="node/1",
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
        self.client.subscribe_topic(tasks.ANSWERS, self._answered)
        self.client.subscribe_topic(tasks.GONE, self._gone)
        # What a client says waits some milliseconds for more to be said.
        await until(lambda: self.scheduler._broker._topics[tasks.GONE].subscribers)
        self.relay: Any = Relay(self.scheduler.address, self.certificates, -1)
        self.relay._client = self.client
        return self

    def _answered(self, event: Any) -> None:
        self.said.append(event[1])
        self.heard.append("an answer")

    def _gone(self, event: Any) -> None:
        self.gone.append(event[1]["worker"])
        self.heard.append("its end")

    def give(self, *tokens: str) -> None:
        """The same job under each of them."""
        for token in tokens:
            message = {"op": dask.PHOTO, "token": token, "job": "the same"}
            self.relay._pass_on(self.worker.address, message)

    async def __aexit__(self, *_error: object) -> None:
        for one in (self.client, self.worker, self.scheduler):
            await one.close()


async def until(true: Callable[[], Any]) -> None:
    """The loop goes on meanwhile."""
    await asyncio.to_thread(wait_until, true, "Dask to have done it", 10)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


def test_each_photo_reaches_its_node_once_and_is_answered_once(certificates: Path) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            fleet.give("1", "2")
            fleet.relay._pass_on(fleet.worker.address, {"op": dask.DROP, "life": "life", "call": 7})
            fleet.relay._pass_on("tls://127.0.0.1:1", {"op": dask.PHOTO, "token": "3", "job": "nobody's"})
            await until(lambda: len(fleet.said) == 2)
            assert sorted(fleet.said, key=lambda said: said["token"]) == [
                {"token": token, "answer": "made the same", "worker": fleet.worker.address}
                for token in ("1", "2")
            ]
            assert fleet.node.asked == ["the same"] * 2  # equal jobs are two photos
            assert fleet.node.dropped == [("life", 7)]
            assert not fleet.worker.photos
            scheduler = fleet.scheduler
            assert (scheduler.tasks, scheduler.worker_ttl, scheduler.extensions) == ({}, 30, {})

    run(seen())


def test_the_head_hears_of_a_nodes_end_after_all_that_it_answered(certificates: Path) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            fleet.give("1", "2", "3")
            await until(lambda: len(fleet.node.asked) == 3)
            await fleet.worker.close()
            await until(lambda: fleet.gone)
            assert fleet.heard == [*["an answer"] * 3, "its end"]

    run(seen())


@pytest.mark.parametrize(
    "report",
    [
        {"op": "log-event", "worker": "tls://another:1", "topic": tasks.ANSWERS, "msg": {"token": "1"}},
        {"op": "subscribe-topic", "topic": tasks.ANSWERS, "client": "me"},
        {"op": dask.PASS_ON, "node": "tls://another:1", "message": {"op": "close"}},
        {"op": "task-finished", "key": "photo-1"},
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


@pytest.mark.parametrize("asked", ["heartbeat_worker", "unregister"])
def test_a_node_is_alive_and_leaves_by_its_own_word_alone(certificates: Path, asked: str) -> None:
    other = certificates / "other"
    issue(other, authority(certificates), Role.NODE, "other", hosts=("127.0.0.1",))
    more: dict[str, Any] = {"metrics": {}} if asked == "heartbeat_worker" else {"stimulus_id": "me"}

    async def ask(fleet: Fleet, folder: Path) -> Any:
        """What the scheduler says to whoever has these certificates, of the node that has others."""
        distributed, security = dask.load(), dask.security(folder, Role.NODE)
        connected = distributed.comm.connect(
            fleet.scheduler.address, **security.get_connection_args("worker")
        )
        comm: Any = await connected
        try:
            message: dict[str, Any] = {"op": asked, "address": fleet.worker.address, "reply": True, **more}
            await comm.write(message)
            return await comm.read()
        except OSError:
            return None
        finally:
            comm.abort()

    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            assert await ask(fleet, other) is None
            assert list(fleet.scheduler.workers) == [fleet.worker.address]
            assert await ask(fleet, certificates) is not None
            left = asked == "unregister"
            await until(lambda: fleet.gone == ([fleet.worker.address] if left else []))
            assert bool(fleet.scheduler.certificates) is not left

    run(seen())


@pytest.mark.parametrize("name", ["anna/2", "node2/2", "anna", None])
def test_a_node_joins_by_no_other_name_than_its_certificates(certificates: Path, name: str | None) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            worker: Any = dask.worker_class()(
                fleet.scheduler.address, node=Noting(), nthreads=1, local_directory=str(certificates), name=name,
                security=dask.security(certificates, Role.NODE),
            )  # fmt: skip
            with pytest.raises(RuntimeError) as refused:
                await worker
            assert "its certificate calls it node" in str(refused.value.__cause__)
            await worker.close()
            assert list(fleet.scheduler.workers) == [fleet.worker.address]

    run(seen())


def test_a_node_is_heard_of_often_enough_and_no_oftener(certificates: Path) -> None:
    async def seen() -> None:
        async with Fleet(certificates) as fleet:
            await fleet.worker.heartbeat()
            pace_s = fleet.worker.periodic_callbacks["heartbeat"].callback_time / 1000
            assert pace_s == dask.HEARTBEAT_S < dask.NODE_SILENT_S / 3

    run(seen())
