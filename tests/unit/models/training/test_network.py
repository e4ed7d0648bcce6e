from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training dependency group")
cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")
onnx = pytest.importorskip("onnx", reason="needs the training dependency group")

from cutoutd.models.training import export, loss, soup, train  # noqa: E402
from cutoutd.models.training.network import CutoutNet, normalise  # noqa: E402


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A hundred red balls on noise: enough to see a loss fall."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "segmentation" / "duts"
    folder.mkdir(parents=True)
    yy, xx = np.mgrid[0:120, 0:160]
    for k in range(100):
        inside = (yy - rng.integers(40, 80)) ** 2 + (xx - rng.integers(50, 110)) ** 2 < rng.integers(
            20, 38
        ) ** 2
        photo = rng.integers(60, 160, (120, 160, 3)).astype(np.uint8)
        photo[inside] = (20, 20, 220)
        cv2.imwrite(str(folder / f"{k:03}.webp"), photo)
        cv2.imwrite(str(folder / f"{k:03}.png"), inside.astype(np.uint8) * 255)
    return tmp_path / "data"


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    small = [
        "--size",
        "64",
        "--batch",
        "4",
        "--workers",
        "0",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--peak",
        "0.002",
    ]
    return ["--data", str(data), "--out", str(out), *small, *more]


def run(*given: str) -> None:
    train.train(train.parser().parse_args(given))


def curve(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]


def test_shapes_and_range() -> None:
    net = CutoutNet()
    photo = normalise(torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8))
    net.train()
    assert [tuple(t.shape) for t in net(photo)] == [(2, 1, 64 // s, 96 // s) for s in (2, 4, 8, 16)]
    net.eval()
    alpha = net(photo).detach()
    assert alpha.shape == (2, 1, 64, 96)
    assert 0 <= float(alpha.min()) <= float(alpha.max()) <= 1


def test_size_is_as_the_card_says() -> None:
    assert 3.4e6 < sum(p.numel() for p in CutoutNet().parameters()) < 3.7e6


@pytest.mark.parametrize("kind", ["lite0", "lite1", "lite2"])
def test_every_encoder_fits_the_decoder(kind: str) -> None:
    net = CutoutNet(kind).eval()
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def truth() -> torch.Tensor:
    plane = torch.zeros(1, 1, 64, 64)
    plane[..., 16:48, 20:44] = 1
    return plane


def logits(plane: torch.Tensor, strength: float = 12) -> list[torch.Tensor]:
    pooled = (torch.nn.functional.avg_pool2d(plane, s) for s in (2, 4, 8, 16))
    return [(p * 2 - 1) * strength for p in pooled]


def test_loss_orders_answers() -> None:
    valid = torch.ones_like(truth())
    right = loss.total_loss(logits(truth()), truth(), valid)
    shifted = loss.total_loss(logits(truth().roll(3, 3)), truth(), valid)
    hazy = loss.total_loss(logits(truth(), 0.5), truth(), valid)
    wrong = loss.total_loss(logits(1 - truth()), truth(), valid)
    assert right < shifted < wrong
    assert right < hazy < wrong


def test_loss_does_not_look_where_it_may_not() -> None:
    valid = torch.ones_like(truth())
    valid[..., :16] = 0
    wrong_there = truth().clone()
    wrong_there[..., :12] = 1
    same = loss.total_loss(logits(truth()), truth(), valid) - loss.total_loss(
        logits(wrong_there), truth(), valid
    )
    # 2 % is left: the coarsest scale blends across the line.
    assert abs(float(same)) < 0.02 * float(loss.total_loss(logits(1 - truth()), truth(), valid))


def test_edges_weigh_more() -> None:
    weight = loss.edge_weight(truth(), torch.ones_like(truth()))
    assert weight[0, 0, 16, 30] > 2
    assert weight[0, 0, 32, 32] == pytest.approx(1, abs=0.5)
    assert weight[0, 0, 2, 2] == 1


def test_box_mean_is_a_window_mean() -> None:
    plane = torch.rand(1, 1, 20, 30)
    assert float(loss.box_mean(plane, 5)[0, 0, 10, 12]) == pytest.approx(
        float(plane[..., 8:13, 10:15].mean()), rel=1e-5
    )


def test_learning_rate_follows_samples() -> None:
    peak = 1e-3
    assert train.learning_rate(0, 0, 1000, peak) < 0.01 * peak
    assert train.learning_rate(0, 10_000, 1000, peak) == pytest.approx(peak, rel=0.01)
    assert train.learning_rate(500, 10_000, 1000, peak) == pytest.approx(peak / 2, rel=0.01)
    assert train.learning_rate(5000, 10_000, 1000, peak) == pytest.approx(peak * 1e-3)


def test_frozen_stages() -> None:
    assert train.frozen("enc.stem.conv.weight", 1)
    assert train.frozen("enc.stages.1.0.dw.conv.weight", 2)
    assert not train.frozen("enc.stages.2.0.dw.conv.weight", 2)
    assert not train.frozen("enc.stem.conv.weight", 0)
    assert not train.frozen("dec.0.a.0.weight", 7)


@pytest.mark.slow
def test_training_learns_stops_and_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(*arguments(data, out, "--total", "64"))
    first = curve(out)[-1]
    assert first["at"] == "end"
    assert first["seen"] == 64
    run(*arguments(data, out, "--total", "240"))
    lines = curve(out)
    assert [line["seen"] for line in lines if line.get("at") == "start"] == [0, 64]
    assert lines[-1]["seen"] == 240
    before, after = (line["validation"]["duts"]["mae"] for line in (first, lines[-1]))  # type: ignore[index]
    assert after < before
    halved = torch.load(out / "average16.pt", weights_only=True)
    assert all(t.dtype == torch.float16 for t in halved.values() if t.is_floating_point())


def test_frozen_weights_do_not_move(data: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    torch.save(CutoutNet().state_dict(), start)
    run(*arguments(data, tmp_path / "run", "--start", str(start), "--total", "16", "--frozen", "2"))
    old, new = (
        torch.load(start, weights_only=True),
        torch.load(tmp_path / "run" / "run.pt", weights_only=True)["net"],
    )
    assert torch.equal(old["enc.stages.1.0.dw.conv.weight"], new["enc.stages.1.0.dw.conv.weight"])
    assert not torch.equal(old["enc.stages.4.0.dw.conv.weight"], new["enc.stages.4.0.dw.conv.weight"])
    assert torch.equal(old["enc.stages.4.0.dw.bn.running_mean"], new["enc.stages.4.0.dw.bn.running_mean"])


def test_wide_filters_may_stay_as_they_are(data: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    torch.save(CutoutNet().state_dict(), start)
    run(*arguments(data, tmp_path / "run", "--start", str(start), "--total", "16", "--filters-stay"))
    old, new = (
        torch.load(start, weights_only=True),
        torch.load(tmp_path / "run" / "run.pt", weights_only=True)["net"],
    )
    filters = {
        name for name, weight in old.items() if name.endswith("dw.conv.weight") and weight.shape[-1] > 3
    }
    moved = {name for name, weight in old.items() if not torch.equal(weight, new[name])}
    assert filters
    assert not filters & moved
    assert "enc.stages.3.0.dw.conv.weight" in moved  # 3 x 3
    assert "enc.stages.4.0.expand.conv.weight" in moved


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Constant folding:UserWarning")
def test_export_agrees_and_updates_the_card(tmp_path: Path) -> None:
    weights, out = tmp_path / "w.pt", tmp_path / "net.onnx"
    torch.save(train.half_weights(CutoutNet()), weights)
    out.with_suffix(".toml").write_text('name = "net"\nfile = "net.onnx"\nbytes = 1\nsha256 = "00"\n')
    worst, mean = export.export(weights, out, "lite0", 96)
    assert worst < export.TOLERANCE
    assert mean < export.HALVING_TOLERANCE
    card = out.with_suffix(".toml").read_text()
    assert f"bytes = {out.stat().st_size}" in card
    assert 'sha256 = "00"' not in card


def test_soup_is_the_weighted_mean() -> None:
    a, b = (
        {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([4.0, 2.0]), "n": torch.tensor(5)},
    )
    mixed = soup.mix([a, b], [1, 3])
    assert mixed["w"].tolist() == [3.0, 2.0]
    assert int(mixed["n"]) == 5
    with pytest.raises(ValueError, match="belong together"):
        soup.mix([a, {"v": torch.zeros(1)}], [1, 1])


def test_another_encoder_takes_the_decoder_that_fits(tmp_path: Path) -> None:
    small = CutoutNet("lite0")
    torch.save(train.half_weights(small), tmp_path / "small.pt")
    large = CutoutNet("lite2")
    before = {name: value.clone() for name, value in large.state_dict().items()}
    taken = train.load_decoder(large, tmp_path / "small.pt")
    after = large.state_dict()
    assert "dec.0.a.0.weight" in taken
    assert not any(name.startswith("enc.") for name in taken)
    assert not {"top.0.weight", "lat.0.0.weight", "lat.1.0.weight"} & set(taken)  # these read other channels
    assert torch.allclose(after["dec.0.a.0.weight"], small.state_dict()["dec.0.a.0.weight"], atol=1e-3)
    assert all(torch.equal(after[name], before[name]) for name in after if name not in taken)
