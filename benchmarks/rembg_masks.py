"""Runs rembg's own session class on photos; started by rembg's Python, which need not know cutoutd.

`python rembg_masks.py SESSION MODEL.onnx OUT.npz PHOTO...` writes one uint8 mask per photo, at the network's
scale (rembg's last step, the enlargement, is skipped), and `ms` and `resting_mb` beside them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main(session_name: str, model: Path, out: Path, photos: list[Path]) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["REMBG_HOME"] = os.environ["U2NET_HOME"] = home  # before rembg is imported
        # Where rembg looks for a file it fetched earlier, so that it fetches none.
        placed = Path(home) / "models" / session_name / f"{session_name}.onnx"
        placed.parent.mkdir(parents=True)
        shutil.copyfile(model, placed)
        masks, ms = run(session_name, placed, photos)
    import numpy as np

    np.savez(out, ms=ms, resting_mb=resting_mb(), **{f"mask{n}": mask for n, mask in enumerate(masks)})


def run(session_name: str, placed: Path, photos: list[Path]) -> tuple[list[Any], float]:
    import numpy as np
    import onnxruntime as ort
    from PIL import Image
    from rembg.session_factory import new_session

    whole = Image.Image.resize

    def keep_masks_small(image: Any, *args: Any, **options: Any) -> Any:
        return image if image.mode == "L" else whole(image, *args, **options)

    Image.Image.resize = keep_masks_small
    more = {"model_path": str(placed)} if session_name.endswith("_custom") else {}
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    session = new_session(session_name, sess_opts=options, **more)
    masks, times = [], []
    for path in photos:
        photo = Image.open(path).convert("RGB")
        started = time.perf_counter()
        (mask,) = session.predict(photo)
        times.append((time.perf_counter() - started) * 1e3)
        masks.append(np.asarray(mask))
    return masks, statistics.median(times[1:] or times)


def resting_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
