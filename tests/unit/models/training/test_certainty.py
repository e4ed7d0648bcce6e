from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")

from tests.support.photos import pixels  # noqa: E402

from cutoutd.models.networks.catalog import catalogue  # noqa: E402
from cutoutd.models.networks.segmenter import Segmenter  # noqa: E402
from cutoutd.models.training import certainty  # noqa: E402

SPEC = catalogue()["cutout-s"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "segmentation" / "duts"
    folder.mkdir(parents=True)
    cat = pixels("chelsea")[..., ::-1]
    mask = np.zeros(cat.shape[:2], np.uint8)
    mask[40:260, 100:330] = 255
    cv2.imwrite(str(folder / "cat.webp"), cat)
    cv2.imwrite(str(folder / "cat.png"), mask)
    return tmp_path


def test_a_cat_is_found_and_sweeps_are_not(data: Path) -> None:
    found = certainty.judge(Segmenter(SPEC, threads=1), data, ["duts/cat"])
    assert [kept for _, kept in found["photos with a subject"]] == [True]
    assert len(found["made sweeps"]) == certainty.MADE
    assert sum(kept for _, kept in found["made sweeps"]) <= certainty.MADE // 10


def test_the_pictures_are_the_same_every_time(data: Path) -> None:
    first, second = (list(certainty.pictures(data, ["duts/cat"])) for _ in range(2))
    assert [group for group, _ in first] == [group for group, _ in second]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))


def test_the_table_counts_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "LIMITS", (0.9, 0.96, 0.999))
    text = certainty.lines({"one": [(0.99, True), (0.955, False)]})
    assert text[-1] == "| one | 2 | 1 | 0 | 1 | 2 | 0.955 0.990 |"
