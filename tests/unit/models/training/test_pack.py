from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.models.training import pack


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for k in range(30):
        for folder, suffix, size in (("segmentation/duts", "webp", 3000), ("segmentation/duts", "png", 700)):
            path = tmp_path / "data" / folder / f"{k:03}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes([k]) * size)
    path = tmp_path / "data" / "backgrounds" / "houses" / "1.webp"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"room")
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_there_and_back(data: Path, tmp_path: Path) -> None:
    limit = 40_000
    written = pack.pack(data, tmp_path / "parts", limit)
    assert len(written) > 2
    assert all(path.stat().st_size <= limit for path in written)
    assert pack.unpack(tmp_path / "parts", tmp_path / "back") == 61
    assert contents(tmp_path / "back") == contents(data)


def test_photo_and_mask_share_a_part(data: Path) -> None:
    for files in pack.parts(data, 40_000):
        stems = [path.with_suffix("") for path in files if "segmentation" in path.parts]
        assert all(stems.count(stem) == 2 for stem in stems)


def test_equal_data_give_equal_parts(data: Path, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in pack.pack(data, tmp_path / "a", 40_000)]
    assert first == [path.read_bytes() for path in pack.pack(data, tmp_path / "b", 40_000)]
