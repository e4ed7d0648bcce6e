"""What fuzzing found in HEIC files stays found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding.photo import PhotoLimits, decode, read_header

LIMITS = PhotoLimits(max_bytes=10**9, max_megapixels=150)
SEEDS = Path(__file__).parents[3] / "reliability" / "fuzz" / "seeds"


@pytest.mark.slow
def test_an_item_whose_type_is_no_text_is_unreadable_and_kills_nobody(tmp_path: Path) -> None:
    data = (SEEDS / "turned.heic").read_bytes()
    broken = data.replace(b"Exif", b"\xb8xif", 1)
    assert broken != data
    path = tmp_path / "broken.heic"
    path.write_bytes(broken)
    # In a process of its own: the mistake, should it come back, is a segmentation fault.
    code = (
        "import sys\nfrom pathlib import Path\nfrom cutoutd.models.decoding.photo import PhotoLimits, read_header\n"
        "read_header(Path(sys.argv[1]).read_bytes(), 'broken.heic', PhotoLimits(10**9, 150))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PhotoError" in done.stderr
    assert "damaged" in done.stderr


def test_a_file_that_ends_in_its_list_of_items_is_unreadable() -> None:
    data = (SEEDS / "alpha.heic").read_bytes()
    cut = data[: data.index(b"infe") + 4]
    with pytest.raises(PhotoError) as caught:
        read_header(cut, "IMG_1.HEIC", LIMITS)
    assert caught.value.reason is Reason.UNREADABLE
    assert not isinstance(caught.value.__cause__, LookupError)


def test_without_its_decoder_the_failure_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # import pi_heif raises ImportError
    with pytest.raises(PhotoError, match="pip install pi-heif") as caught:
        read_header((SEEDS / "astronaut.heic").read_bytes(), "IMG_1.HEIC", LIMITS)
    assert caught.value.reason is Reason.NEEDS_DECODER


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_truncated_heic_is_unreadable(part: float) -> None:
    data = (SEEDS / "astronaut.heic").read_bytes()
    data = data[: int(len(data) * part)]
    with pytest.raises(PhotoError) as caught:
        decode(data, read_header(data, "IMG_1.HEIC", LIMITS))
    assert caught.value.reason is Reason.UNREADABLE


def test_limits_hold_for_heic() -> None:
    with pytest.raises(PhotoError) as caught:
        read_header((SEEDS / "astronaut.heic").read_bytes(), "IMG_1.HEIC", PhotoLimits(10**9, 0.01))
    assert caught.value.reason is Reason.TOO_LARGE
