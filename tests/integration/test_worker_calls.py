"""Each decoder, the engine, closed-form matting and each encoder in a worker's sandbox: it refuses them nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401 - teaches Pillow JPEG XL  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]
import pytest
import tifffile
from PIL import Image

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's"),
    pytest.mark.timeout(300),
]
PROGRAM = Path(__file__).parents[1] / "support" / "worker_calls.py"


def photos(folder: Path) -> Path:
    """One small photo of each kind that can be made here."""
    folder.mkdir()
    ramp = np.add.outer(np.arange(160), np.arange(240))[..., None] * np.array([1, 2, 3]) % 256
    picture = Image.fromarray(ramp.astype(np.uint8))
    for name in ("a.jpg", "b.png", "c.webp", "d.avif", "e.jp2", "f.jxl", "g.tif", "h.bmp", "i.gif"):
        picture.save(folder / name)
    picture.save(folder / "j.jpg", progressive=True)
    picture.save(folder / "k.tif", compression="tiff_lzw")
    deep = ramp.astype(np.uint16) * 257
    tifffile.imwrite(folder / "l.tif", deep, photometric="rgb")  # pyright: ignore[reportUnknownMemberType]
    tifffile.imwrite(  # pyright: ignore[reportUnknownMemberType]
        folder / "m.tif", deep, photometric="rgb", compression="zlib"
    )
    return folder


def worked(inbox: Path, outbox: Path, *options: str) -> dict[str, Any]:
    outbox.mkdir()
    done = subprocess.run(
        [sys.executable, PROGRAM, inbox, outbox, *options],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_no_decoder_engine_or_encoder_is_refused_a_call(tmp_path: Path) -> None:
    inbox = photos(tmp_path / "inbox")
    said = worked(inbox, tmp_path / "outbox", "2")
    assert said["state"]["calls_listed"]
    assert said["outcomes"] == {path.name: "Report " for path in sorted(inbox.iterdir())}
    assert said["refused"] == {}


@pytest.mark.slow
def test_closed_form_matting_works_in_the_same_sandbox(tmp_path: Path) -> None:
    """Without the counter: compiled code starts threads while it holds the interpreter, and the counter needs that."""
    (tmp_path / "inbox").mkdir()
    for path in photos(tmp_path / "made").glob("[ab].*"):
        path.rename(tmp_path / "inbox" / path.name)
    said = worked(tmp_path / "inbox", tmp_path / "outbox", "2", "closed-form", "no-trap")
    assert said["state"]["calls_listed"]
    assert set(said["outcomes"].values()) == {"Report "}
    assert not [note for note in said["notes"] if "matting" in note]  # the solver was there, and did not fail
