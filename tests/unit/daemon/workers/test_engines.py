"""A worker's warm-up and its look at itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.daemon.workers.engines import Engines, run_self_test, segmenter_of, threads


def test_the_built_in_photo_passes_and_leaves_nothing(engines: Engines, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run_self_test(engines)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_network_is_loaded_once_and_only_those_of_the_warm_up(engines: Engines) -> None:
    assert segmenter_of("tiny") is segmenter_of("tiny")
    with pytest.raises(StopIteration):
        segmenter_of("another")
    assert threads() == engines.threads
