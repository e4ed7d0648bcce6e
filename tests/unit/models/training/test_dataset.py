from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")

from cutoutd.models.training import dataset  # noqa: E402
from cutoutd.models.training.sampling import Mixture, Shares  # noqa: E402

LISTED = Path(dataset.__file__).with_name("validation.txt")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for source in ("duts", "pets"):
        folder = tmp_path / "segmentation" / source
        folder.mkdir(parents=True)
        for k in range(20):
            mask = np.zeros((150, 210), np.uint8)
            mask[30:120, 60:150] = 255
            if source == "pets":
                mask[30:34, 60:150] = 128
            cv2.imwrite(str(folder / f"{k:03}.png"), mask)
            cv2.imwrite(str(folder / f"{k:03}.webp"), rng.integers(0, 255, (150, 210, 3)).astype(np.uint8))
    (tmp_path / "cutouts_rgba" / "emoji").mkdir(parents=True)
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = 255
    cv2.imwrite(
        str(tmp_path / "cutouts_rgba" / "emoji" / "square.webp"), rgba, [cv2.IMWRITE_WEBP_QUALITY, 101]
    )
    (tmp_path / "backgrounds" / "houses").mkdir(parents=True)
    for name in ("7_kitchen", "7_bedroom", "8_kitchen"):
        cv2.imwrite(
            str(tmp_path / "backgrounds" / "houses" / f"{name}.webp"), np.full((90, 120, 3), 99, np.uint8)
        )
    return tmp_path


def test_a_pair_is_either_trained_on_or_held_out(data: Path) -> None:
    collection = dataset.read_all(data)
    train = {(p.source, p.name) for p in collection.train}
    held = {(p.source, p.name) for p in collection.validation}
    assert len(train) + len(held) == 40
    assert not train & held
    assert held == {e[:2] for k, e in enumerate(dataset.listing(data)) if dataset.held_out(k)}


def test_one_photo_in_25_is_held_out() -> None:
    assert 0.03 < np.mean([dataset.held_out(k) for k in range(14_738)]) < 0.05


def test_validation_list_agrees_with_the_rule() -> None:
    """The committed list names every held-out photo of the collection; its length is the rule's."""
    names = LISTED.read_text("utf-8").split()
    assert len(names) == sum(dataset.held_out(k) for k in range(14_738)) == len(set(names))
    assert names == sorted(names)


def test_views_of_one_house_fall_on_one_side() -> None:
    for number in range(200):
        sides = {dataset.held_out_background(f"houses/{number}_{room}") for room in ("kitchen", "bedroom")}
        assert len(sides) == 1


def test_cutouts_bring_their_alpha(data: Path) -> None:
    (cutout,) = dataset.read_cutouts(data)
    assert cutout.source == "emoji"
    assert cutout.mask[32, 32] == 255
    assert cutout.mask[2, 2] == 0


def test_large_photos_are_shrunk_with_their_masks(data: Path) -> None:
    pair = dataset.read_pair("duts", "000", data / "segmentation" / "duts" / "000.png", longest=105)
    assert pair.photo.shape == (75, 105, 3)
    assert pair.mask.shape == (75, 105)


def test_a_missing_photo_is_named(data: Path) -> None:
    (data / "segmentation" / "duts" / "003.webp").unlink()
    with pytest.raises(FileNotFoundError, match="003"):
        dataset.read_all(data)


def test_no_data_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(dataset.DATA_VARIABLE, raising=False)
    with pytest.raises(SystemExit, match=dataset.DATA_VARIABLE):
        dataset.data_folder(None)
    with pytest.raises(SystemExit, match="segmentation"):
        dataset.data_folder(str(tmp_path))


def test_batches_are_repeatable_and_whole(data: Path) -> None:
    mixture = Mixture(dataset.read_all(data), 96, Shares(composites=0.4, close_ups=0.3, empty=0.1))
    first, again = next(mixture.batches(3, 12)), next(mixture.batches(3, 12))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.photos.shape == (12, 96, 96, 3)
    assert first.alphas.shape == first.valid.shape == (12, 96, 96)
    assert first.alphas.max() == 255
    assert set(np.unique(first.valid)) <= {0, 1}


def test_only_empty_scenes_when_asked(data: Path) -> None:
    mixture = Mixture(dataset.read_all(data), 64, Shares(composites=0, close_ups=0, empty=1))
    assert next(mixture.batches(0, 8)).alphas.max() == 0
