"""A fleet of real processes: scheduler, two nodes and the head; some are killed in the middle of the work."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.conditions import wait_until
from tests.support.fleet import Fleet
from tests.support.models import STAND_IN

from cutoutd.config.errors import ExitCode
from cutoutd.daemon.fleet import dask
from cutoutd.daemon.fleet.roles import Role

pytest.importorskip("distributed", reason="the extra fleet is not installed")
pytest.importorskip("cryptography", reason="the extra fleet is not installed")

from cutoutd.service.fleet.certificates import authority, issue

PHOTOS = 40


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.stop()


def photo(path: Path, number: int, *, times: int = 1) -> None:
    """A small block on a plain ground, another one for each number; many times as large, it takes a while."""
    picture = Image.new("RGB", (200 * times, 150 * times), (230, 232, 235))
    colour = (200, 6 * number % 255, 40)
    picture.paste(colour, (60 * times + number % 7, 35 * times, 140 * times, 115 * times))
    part = path.with_name(f".{path.name}.new")
    picture.save(part, "JPEG", quality=90)
    part.rename(path)


def done(fleet: Fleet) -> int:
    return len(fleet.head.rows("state = 'done'"))


def test_each_photo_comes_once_while_a_node_and_the_scheduler_are_killed(fleet: Fleet) -> None:
    fleet.start("anna", "bert")
    for number in range(PHOTOS):
        photo(fleet.head.inbox / f"{number}.jpg", number)
    fleet.head.wait(lambda: done(fleet) >= 5, "the first photos")
    busy = [one["name"] for one in fleet.status()["nodes"] if one["busy"]] or ["anna"]
    fleet.kill_node(busy[0])
    fleet.head.wait(lambda: done(fleet) >= 15, "the head and the other node to go on")
    fleet.kill_scheduler()
    fleet.head.wait(lambda: done(fleet) >= 20, "the head to go on alone")
    fleet.start_scheduler()
    fleet.head.wait(lambda: done(fleet) == PHOTOS, "all photos", 60)

    assert fleet.head.outputs() == sorted(f"{number}.png" for number in range(PHOTOS))
    assert {row["state"] for row in fleet.head.rows()} == {"done"}
    assert {row["attempts"] for row in fleet.head.rows()} <= {0, 1}, fleet.said()
    left = next(name for name in ("anna", "bert") if name != busy[0])
    fleet.wait_for(left)  # it joins the new scheduler by itself
    assert fleet.stop_node(left) == 0
    assert fleet.head.stop() == 0
    assert fleet.head.leftovers() == []


@pytest.mark.thorough  # a node leaves above too, with nothing in hand
def test_a_node_that_is_told_to_leave_finishes_what_it_has_in_hand(tmp_path: Path) -> None:
    fleet, many = Fleet(tmp_path, local=False, slots=2), 48  # seconds of work, however quick the machine
    try:
        fleet.start("anna")
        for number in range(many):
            photo(fleet.head.inbox / f"{number}.jpg", number, times=30)
        fleet.head.wait(lambda: any(one["busy"] for one in fleet.status()["nodes"]), "the node to be at work")
        assert fleet.stop_node("anna") == 0
        fleet.head.wait(lambda: fleet.head.said("The node anna has left."), "the head to hear of it")
        fleet.head.wait(lambda: not fleet.head.rows("state IN ('running', 'delivering')"), "its photos")
        assert 1 <= done(fleet) < many
        assert not fleet.head.said("given out again")
        made_there = fleet.head.outputs()[0]
        here = fleet.root / "here"
        original = fleet.head.inbox / Path(made_there).with_suffix(".jpg")
        made = fleet.head.cli("once", str(original), "-o", str(here), "--model", STAND_IN)
        assert made.returncode == 0, made.stderr
        assert (here / made_there).read_bytes() == (fleet.head.outbox / made_there).read_bytes()
    finally:
        fleet.stop()


def test_strangers_and_nodes_give_no_orders(fleet: Fleet) -> None:
    """Against a real scheduler: who may connect, and what each may ask for."""
    fleet.init("anna")
    theirs = Fleet(fleet.root / "theirs", port=fleet.port).init("anna")
    fleet.start_scheduler()
    ours, other = fleet.certificates / "nodes" / "anna", theirs.certificates / "nodes" / "anna"

    assert asked(fleet.address, ours, Role.NODE, {"op": "versions"})
    assert asked(fleet.address, fleet.certificates, Role.HEAD, {"op": "identity"})
    for forbidden in ("identity", "register-client", "run_function", "broadcast", "terminate", "gather"):
        assert not asked(fleet.address, ours, Role.NODE, {"op": forbidden}), forbidden
    assert not asked(fleet.address, other, Role.NODE, {"op": "versions"})
    assert not asked(fleet.address, theirs.certificates, Role.HEAD, {"op": "identity"})
    assert asked(fleet.address, fleet.certificates, Role.HEAD, {"op": "identity"})  # nobody ended it

    with socket.create_connection(("127.0.0.1", fleet.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in plain.recv(100)


def asked(address: str, folder: Path, role: Role, message: dict[str, Any]) -> bool:
    """Whether a scheduler answers this, to somebody with these certificates."""
    distributed = dask.load()

    async def ask() -> bool:
        comm: Any = None
        try:
            security = dask.security(folder, role)
            comm = await distributed.comm.connect(
                address, timeout=5, **security.get_connection_args("worker")
            )
            await comm.write(message | {"reply": True})
            return bool(await asyncio.wait_for(comm.read(), 10))
        except (OSError, TimeoutError):
            return False
        finally:
            if comm is not None:
                comm.abort()

    return asyncio.run(ask())


def test_a_node_that_differs_is_refused_with_a_sentence(fleet: Fleet) -> None:
    fleet.init("anna", "bert", "carl")
    issue(fleet.certificates / "nodes" / "carl", authority(fleet.certificates), Role.NODE, "anna")
    empty = fleet.root / "empty"
    empty.mkdir()
    file = fleet.certificates / "nodes" / "anna" / "node.toml"
    file.write_text(file.read_text().replace(f'here = "{fleet.head.inbox}"', f'here = "{empty}"'))
    wrong = fleet.certificates / "nodes" / "bert"
    issue(wrong, authority(fleet.certificates), Role.NODE, "bert", days=0)
    fleet.start_scheduler()
    fleet.start_node("anna")
    fleet.start_node("bert")
    assert fleet.start_node("carl").wait(30) == ExitCode.CONFIG
    assert "calls it carl, and its certificate anna" in fleet.log("carl").read_text()
    fleet.head.start()
    fleet.wait_for("anna", state="refused")
    anna, bert, _ = fleet.status()["nodes"]
    assert "inode" in anna["why"]
    assert (bert["name"], bert["state"]) == ("bert", "missing")
    assert fleet.head.said("The node anna gets no photo")
    wait_until(lambda: "certificate" in fleet.log("bert").read_text(), "the expired one to be told", 30)
    photo(fleet.head.inbox / "a.jpg", 1)
    fleet.head.wait(lambda: done(fleet) == 1, "the head to work alone")
    assert list(empty.iterdir()) == []
