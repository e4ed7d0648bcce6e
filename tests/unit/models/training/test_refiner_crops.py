"""Real crops become scenes of several scales with mostly real answers; those for testing are never learned from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")
torch = pytest.importorskip("torch", reason="needs the training dependency group")
pytest.importorskip("onnx", reason="needs the training dependency group")

from cutoutd.models.matting.refiner import REFINER_FILE, run, session  # noqa: E402
from cutoutd.models.training import refiner, refiner_crops  # noqa: E402
from cutoutd.models.training.refiner_network import Refiner  # noqa: E402


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Eight red discs on grey, as DETAIL has them: the answer is blurred and lies a little aside."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for place in range(8):
        truth = cv2.circle(np.zeros((256, 256), np.uint8), (128, 100 + 4 * place), 70, 255, -1, cv2.LINE_AA)
        photo = np.where(truth[..., None] > 127, (40, 40, 200), (120, 120, 120)).astype(np.uint8)
        coarse = cv2.resize(cv2.GaussianBlur(np.roll(truth, 3, 1), (0, 0), 6), (128, 128))
        cv2.imwrite(str(folder / f"{place}.webp"), photo, [cv2.IMWRITE_WEBP_QUALITY, 101])
        cv2.imwrite(str(folder / f"{place}.png"), truth)
        cv2.imwrite(str(folder / f"{place}_coarse.png"), coarse)
    return folder


def test_one_crop_in_four_is_kept_for_testing(crops: Path) -> None:
    learned, kept = (refiner_crops.names_of(crops, kept=which) for which in (False, True))
    assert kept == ["0", "4"]
    assert sorted(learned + kept) == [str(place) for place in range(8)]


def test_a_firmer_answer_is_parted_where_it_was_before() -> None:
    answer = np.float32([0, 0.2, 0.5, 0.8, 1])
    assert refiner_crops.firmer(answer, 1.0) == pytest.approx(answer, abs=0.01)
    firm = refiner_crops.firmer(answer, 3.0)
    assert firm == pytest.approx([0, 1 / 65, 0.5, 64 / 65, 1], abs=0.01)


def test_shards_are_what_the_trainer_reads(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = tmp_path / "shards"
    arguments = ["refiner_crops", "--data", str(crops), "--out", str(shards), "--rounds", "3"]
    monkeypatch.setattr(sys, "argv", arguments)
    refiner_crops.main()
    assert len(list(shards.glob("*[0-9].npz"))) == 3
    pool = refiner.Pool(shards)
    pool.refresh()
    assert len(pool.scenes) == 12, "two shards of six crops; the first is for testing"
    photo, truth, hints = pool.batch(np.random.default_rng(0), 4)
    assert (photo.shape, truth.shape, hints.shape) == ((4, 3, 128, 128), (4, 1, 128, 128), (4, 9, 128, 128))
    assert 0.05 < float(truth.mean()) < 0.95
    assert float((hints[:, 0:1] - truth).abs().mean()) < 0.2, "the answer is one to this crop"


def test_a_shipped_network_is_gone_on_from() -> None:
    network = Refiner().eval()
    network.load_state_dict(refiner.weights_of(REFINER_FILE))
    rng = np.random.default_rng(0)
    photo, hints = rng.random((3, 64, 64), np.float32), rng.random((9, 64, 64), np.float32)
    with torch.no_grad():
        ours = network(torch.from_numpy(photo)[None], torch.from_numpy(hints)[None])[0, 0].numpy()
    assert run(session(1), photo, hints) == pytest.approx(ours, abs=1e-4)


def test_crops_of_little_contrast_are_shown_as_the_product_shows_them() -> None:
    photo = np.full((3, 32, 32), 100, np.uint8)
    photo[:, 16:] = 120
    pixels, told = refiner.shown(photo, np.full((9, 32, 32), 110, np.uint8))
    assert pixels.max() - pixels.min() == pytest.approx(4 * 20 / 255, abs=1e-3)
    assert told[:3] == pytest.approx(110 / 255)
    assert told[3:] == pytest.approx(0.5, abs=1e-3)
