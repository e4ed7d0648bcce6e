"""A worker's warm-up and its look at itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.daemon.workers.engines import Engines, run_self_test, segmenter_of, threads, warm_up
from cutoutd.models.networks.segmenter import Segmenter


def test_the_built_in_photo_passes_and_leaves_nothing(engines: Engines, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run_self_test(engines)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_network_of_the_processors_is_run_at_the_start_only_where_somebody_compares_its_answer(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(warm_up(engines)["tiny"].proof) == 32

    def run(_one: Segmenter, _rgb: object) -> object:
        raise AssertionError("nobody compares it")

    monkeypatch.setattr(Segmenter, "first_look", run)
    assert warm_up(replace(engines, proven=False))["tiny"].proof == ""


def _cuda(_one: Segmenter) -> str:
    return "cuda"


def test_an_accelerator_is_run_at_the_start_in_any_case(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "provider", property(_cuda))
    assert warm_up(replace(engines, proven=False))["tiny"].proof != ""


def test_a_network_is_loaded_once_and_only_those_of_the_warm_up(engines: Engines) -> None:
    assert segmenter_of("tiny") is segmenter_of("tiny")
    with pytest.raises(StopIteration):
        segmenter_of("another")
    assert threads() == engines.threads
