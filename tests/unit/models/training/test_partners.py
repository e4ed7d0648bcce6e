from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training dependency group")

from cutoutd.models.training.partners import FARTHEST, Partners  # noqa: E402


def layer(value: float) -> torch.nn.Module:
    net = torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(net.weight, value)
    return net


def test_partners_take_the_mean_and_keep_their_own_counters(tmp_path: Path) -> None:
    one, two = layer(1.0), layer(3.0)
    one.num_batches_tracked.fill_(7)  # type: ignore[operator]  # a buffer
    first, second = Partners(tmp_path, "one"), Partners(tmp_path, "two")
    assert first.meet(one, 100) == 0  # nobody there yet
    assert torch.equal(one.weight, torch.tensor([1.0, 1.0]))
    assert second.meet(two, 120) == 1
    assert torch.equal(two.weight, torch.tensor([2.0, 2.0]))
    assert first.meet(one, 200) == 1  # what the other wrote before it took the mean
    assert torch.equal(one.weight, torch.tensor([2.0, 2.0]))
    assert int(one.num_batches_tracked) == 7  # type: ignore[arg-type]


def test_a_partner_of_another_time_is_left_alone(tmp_path: Path) -> None:
    Partners(tmp_path, "old").meet(layer(9.0), 10)
    one = layer(1.0)
    assert Partners(tmp_path, "one").meet(one, 10 + FARTHEST) == 0
    assert torch.equal(one.weight, torch.tensor([1.0, 1.0]))


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    Partners(tmp_path / "new", "one").meet(layer(1.0), 0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.partner"]
