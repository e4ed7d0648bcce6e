"""Settings turned into orders for workers: what they may read and write, how many, and what one photo becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.models import add_large_stand_in

from cutoutd.config.errors import CutoutError
from cutoutd.config.settings import Settings
from cutoutd.daemon.plan import (
    Plan,
    make_plan,
    usable_cache,
    worker_setups,
)
from cutoutd.models.networks.accelerators import NEEDS, Needs
from cutoutd.models.networks.catalog import FAST


def _plan(tmp_path: Path, inbox: dict[str, Any] | None = None, **tables: Any) -> Plan:
    table = {"path": tmp_path / "in", "outbox": tmp_path / "out", **(inbox or {})}
    return make_plan(Settings.model_validate({"inbox": [table], **tables}), tmp_path / "models", None)


def test_an_unknown_model_is_a_sentence_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(CutoutError, match="no-such-model"):
        _plan(tmp_path, {"model": "no-such-model"})


def test_workers_may_write_outboxes_only_and_only_folders_that_are_there(tmp_path: Path) -> None:
    plan = _plan(tmp_path, {"after": {"action": "archive", "archive": tmp_path / "archive"}})
    (tmp_path / "archive").mkdir()
    nothing = worker_setups(plan, tmp_path / "state", {})[0]
    assert tmp_path / "in" not in nothing.read_paths
    assert nothing.write_paths == ()
    both = worker_setups(plan, tmp_path / "state", {tmp_path / "in": (1, 1), tmp_path / "out": (1, 2)})[0]
    assert {tmp_path / "in", tmp_path / "archive"} <= set(both.read_paths)
    assert both.write_paths == (tmp_path / "out",)
    (tmp_path / "state" / "masks").mkdir(parents=True)
    masked = worker_setups(plan, tmp_path / "state", {})[0]
    assert set(masked.read_paths) - set(nothing.read_paths) == {tmp_path / "state" / "masks"}
    assert tmp_path / "state" not in (*both.read_paths, *both.write_paths)


def test_workers_get_what_the_accelerator_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "card0").touch()
    (tmp_path / "driver").mkdir()
    needs = Needs(devices=(f"{tmp_path}/card*",), reads=(f"{tmp_path}/driver",))
    monkeypatch.setitem(NEEDS, "cuda", needs)
    setup = worker_setups(_plan(tmp_path, engine={"providers": ["cuda", "cpu"]}), tmp_path / "state", {})[0]
    assert setup.devices == (tmp_path / "card0",)
    assert tmp_path / "driver" in setup.read_paths
    assert setup.unconfined == ""
    plain = worker_setups(_plan(tmp_path, engine={"providers": ["cpu"]}), tmp_path / "state", {})[0]
    assert (plain.devices, plain.unconfined) == ((), "")
    assert tmp_path / "driver" not in plain.read_paths


def test_files_are_left_alone_where_the_driver_or_the_user_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NEEDS, "rocm", Needs(unconfined="its driver compiles"))
    rocm = worker_setups(_plan(tmp_path, engine={"providers": ["rocm"]}), tmp_path / "state", {})[0]
    assert (rocm.sandbox, rocm.unconfined) == (True, "rocm: its driver compiles")
    network = worker_setups(_plan(tmp_path, engine={"sandbox": "network"}), tmp_path / "state", {})[0]
    assert (network.sandbox, network.unconfined) == (True, 'engine.sandbox is "network"')
    off = worker_setups(_plan(tmp_path, engine={"sandbox": False}), tmp_path / "state", {})[0]
    assert off.sandbox is False


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert usable_cache(tmp_path / "file" / "cache") is None
    assert usable_cache(None) is None
    assert usable_cache(tmp_path / "cache") == tmp_path / "cache"
    table = {"path": tmp_path / "in", "outbox": tmp_path / "out"}
    plan = make_plan(
        Settings.model_validate({"inbox": [table]}), tmp_path / "models", tmp_path / "file" / "c"
    )
    setup = worker_setups(plan, tmp_path / "state", {})[0]
    assert setup.write_paths == ()
    assert setup.context.cache_dir is None


@pytest.mark.slow
def test_only_the_first_slots_load_a_large_network_and_know_where_it_is(tmp_path: Path) -> None:
    large = add_large_stand_in(tmp_path / "models")
    assert large.path is not None
    plan = _plan(tmp_path, {"model": "large", "draft_then_final": True}, engine={"workers": 3})
    first, second, third = worker_setups(plan, tmp_path / "state", {})
    assert first == second
    assert [spec.name for spec in first.context.specs] == [FAST, "large"]
    assert [spec.name for spec in third.context.specs] == [FAST]
    assert large.path in first.read_paths
    assert large.path not in third.read_paths
    assert set(third.read_paths) < set(first.read_paths)
    assert replace(
        third,
        context=first.context,
        read_paths=first.read_paths,
        memory_limit_bytes=first.memory_limit_bytes,
    ) == first  # fmt: skip
    assert plan.engines_for(large=True) == plan.engines
    assert plan.engines_for(large=False).specs == third.context.specs


@pytest.mark.slow
def test_stages_that_need_a_large_network(tmp_path: Path) -> None:
    add_large_stand_in(tmp_path / "models")

    def stages(**inbox: Any) -> frozenset[str]:
        (found,) = _plan(tmp_path, inbox).large_stages().values()
        return found

    assert stages() == frozenset()
    assert stages(model="large") == {"draft", "final"}  # also for rows that were to have a draft once
    assert stages(model="large", draft_then_final=True) == {"final"}


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "draft"), [("standard", None), ("fast", None), ("large", FAST)])
def test_no_draft_is_made_that_comes_no_sooner_than_the_final(
    tmp_path: Path, quality: str, draft: str | None
) -> None:
    """Of a burst each photo was made twice by the same network, and the last cutout came twice as late."""
    add_large_stand_in(tmp_path / "models")
    (one,) = _plan(tmp_path, {"quality": quality, "draft_then_final": True}).inboxes
    assert (one.draft and one.draft.name) == draft


def test_an_inbox_is_watched_anew_only_for_what_concerns_its_watch(tmp_path: Path) -> None:
    one = _plan(tmp_path).inboxes[0]
    assert one.watched_like(one.settings)
    assert one.watched_like(one.settings.model_copy(update={"quality": "best"}))
    assert not one.watched_like(one.settings.model_copy(update={"recursive": False}))


def test_an_inbox_is_found_by_its_bytes(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    assert plan.inbox(bytes(tmp_path / "in")) is plan.inboxes[0]
    assert plan.inbox(b"/elsewhere") is None
