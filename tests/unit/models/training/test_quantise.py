"""Eight-bit networks: no overflow on any processor, means kept, the shipped files among them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the training dependency group")
torch = pytest.importorskip("torch", reason="needs the training dependency group")
cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.networks.catalog import STANDARD, ModelSpec, catalogue, decider_spec  # noqa: E402
from cutoutd.models.training import export, join, quantise, streamline  # noqa: E402
from cutoutd.models.training.network import CutoutNet  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]

# What the instruction that adds two products keeps: 16 bits with sign; the activations are 255 at most.
LARGEST = 2**15 - 1
BRIGHTEST = 255


def worst_pair(weights: np.ndarray) -> int:
    """The largest sum of two neighbouring products for eight-bit weights (outputs, inputs, height, width)."""
    flat = weights.astype(np.int64).transpose(0, 2, 3, 1).reshape(len(weights), -1)
    pairs = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))).reshape(len(weights), -1, 2)
    up, down = pairs.clip(0, None).sum(2).max(), -pairs.clip(None, 0).sum(2).min()
    return int(max(up, down)) * BRIGHTEST


def quantised(weights: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    return np.round(weights / (ranges / 127)[:, None, None, None])


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (5, 16, 1, 1), (1, 24, 3, 3), (4, 1, 1, 1)])
def test_widened_ranges_leave_no_pair_that_overflows(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        weights = (rng.standard_normal(shape) * rng.uniform(0.001, 3)).astype(np.float32)
        weights[0] = 0  # a dead channel
        ranges = quantise.widened_ranges(weights)
        assert worst_pair(quantised(weights, ranges)) <= LARGEST
        assert np.all(np.abs(quantised(weights, ranges)) <= 127)
        # Not wider than needed: where one pair sets the range, it uses it.
        assert np.all(ranges <= 2 * np.maximum(quantise.own_ranges(weights), quantise.LEAST_RANGE) + 1e-6)


def test_ranges_of_their_own_would_overflow() -> None:
    weights = np.full((1, 4, 1, 1), 0.5, np.float32)
    assert worst_pair(quantised(weights, quantise.own_ranges(weights))) > LARGEST


@pytest.mark.parametrize("spec", [catalogue()[STANDARD], decider_spec()], ids=lambda spec: spec.name)
def test_the_shipped_networks_cannot_overflow(spec: ModelSpec) -> None:
    graph = onnx.load(str(spec.path)).graph
    stored = quantise.values(graph)
    judged = 0
    for node in graph.node:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "QLinearConv" and groups == 1:
            weights = stored[node.input[3]]
            assert weights.dtype == np.int8
            assert worst_pair(weights) <= LARGEST, node.name
            judged += 1
    assert judged >= 50


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "segmentation" / "duts"
    folder.mkdir(parents=True)
    for k in range(40):
        photo = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (80, 60))
        cv2.imwrite(str(folder / f"{k:03}.webp"), photo)
        cv2.imwrite(str(folder / f"{k:03}.png"), np.zeros((60, 80), np.uint8))
    return tmp_path / "data"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = CutoutNet().eval()
    export.write_onnx(net, tmp_path / "single.onnx", {export.INPUT: export.plain_scene(64)})
    export.halve_weights(tmp_path / "single.onnx")
    return tmp_path / "single.onnx"


def test_a_network_in_eight_bits_answers_nearly_the_same(tmp_path: Path, data: Path, network: Path) -> None:
    out = tmp_path / "small.onnx"
    card = out.with_suffix(".toml")
    card.write_text('file = "small.onnx"\nbytes = 1\nsha256 = "00"\n')
    moved = quantise.quantise(network, out, partial(quantise.Photos, data), side=64, photos=20)
    assert 0 < moved <= quantise.TOLERANCES[""]
    assert out.stat().st_size < 0.7 * network.stat().st_size
    assert f"bytes = {out.stat().st_size}\n" in card.read_text()
    # Any size still runs: height and width stay free.
    assert export.run_onnx(out, {export.INPUT: np.zeros((1, 3, 96, 64), np.float32)}).shape == (1, 1, 96, 64)


def test_a_convolution_that_pads_for_itself_answers_with_the_same_bits(
    tmp_path: Path, data: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded, padded = tmp_path / "folded.onnx", tmp_path / "padded.onnx"
    quantise.quantise(network, folded, partial(quantise.Photos, data), side=64, photos=3)
    monkeypatch.setattr(quantise, "pads_into_convolutions", lambda _graph: 0)
    quantise.quantise(network, padded, partial(quantise.Photos, data), side=64, photos=3)
    kinds = [{node.op_type for node in onnx.load(str(path)).graph.node} for path in (folded, padded)]
    assert "Pad" not in kinds[0]
    assert "Pad" in kinds[1]
    for shape in ((64, 64), (96, 160)):
        scene = {export.INPUT: np.random.default_rng(3).standard_normal((1, 3, *shape)).astype(np.float32)}
        assert np.array_equal(export.run_onnx(folded, scene), export.run_onnx(padded, scene))


@pytest.mark.parametrize("spec", [catalogue()[STANDARD], decider_spec()], ids=lambda spec: spec.name)
def test_the_shipped_networks_are_written_as_they_run(spec: ModelSpec, tmp_path: Path) -> None:
    kinds = [node.op_type for node in onnx.load(str(spec.path)).graph.node]
    assert not {"Pad", "Conv"} & set(kinds)
    again = tmp_path / "again.onnx"
    streamline.rewritten(spec.path, again)
    assert [node.op_type for node in onnx.load(str(again)).graph.node] == kinds


def test_nothing_is_written_when_the_answer_moves_too_far(
    tmp_path: Path, data: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quantise.TOLERANCES, "", 0.0)
    with pytest.raises(SystemExit, match="Not written"):
        quantise.quantise(network, tmp_path / "small.onnx", partial(quantise.Photos, data), side=64, photos=3)
    assert not (tmp_path / "small.onnx").exists()


def test_biases_take_over_what_rounding_adds_to_the_mean(tmp_path: Path, data: Path, network: Path) -> None:
    quantise.in_single_precision(network, tmp_path / "folded.onnx")
    model = onnx.load(str(tmp_path / "folded.onnx"))
    quantise.own_biases(model.graph)
    first = quantise.convolutions(model.graph)[0]
    before = quantise.values(model.graph)
    means = quantise.channel_means(model, [first.source], quantise.Photos(data, 5, 64))[first.source]
    quantise.correct_biases(model, quantise.Photos(data, 5, 64))
    errors = quantise.rounding_errors(before[first.weights], first.ranges)
    after = quantise.values(model.graph)[quantise.convolutions(model.graph)[0].bias]
    assert np.allclose(after + errors @ means, before[first.bias], atol=1e-6)
    assert not np.array_equal(after, before[first.bias])


def test_joined_networks_answer_with_the_weighted_mean_of_their_logits(tmp_path: Path, network: Path) -> None:
    torch.manual_seed(1)
    other = CutoutNet("lite2").eval()
    export.write_onnx(other, tmp_path / "other.onnx", {export.INPUT: export.plain_scene(64)})
    both = join.join([onnx.load(str(network)), onnx.load(str(tmp_path / "other.onnx"))], [1.0, 3.0])
    onnx.save(both, str(tmp_path / "both.onnx"))
    scene = {export.INPUT: export.plain_scene(64)}
    answers = [export.run_onnx(tmp_path / f"{name}.onnx", scene) for name in ("single", "other", "both")]
    assert np.abs(answers[0] - answers[1]).max() > 0.01
    logits = [np.log(answer / (1 - answer)) for answer in answers]
    assert np.allclose(logits[2], (logits[0] + 3 * logits[1]) / 4, atol=1e-4)


def test_one_network_alone_cannot_be_joined(network: Path) -> None:
    with pytest.raises(ValueError, match="two networks or more"):
        join.join([onnx.load(str(network))], [1.0])
