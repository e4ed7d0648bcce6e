"""The bundled networks on another processor: emulated, with AVX2 and without the newer eight-bit instructions."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image
from tests.support.photos import pixels

from cutoutd.models.networks.catalog import FAST, STANDARD, catalogue

EMULATOR = shutil.which("qemu-x86_64")

pytestmark = [
    pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64 (Debian: qemu-user)"),
    pytest.mark.skipif(
        sysconfig.get_platform() != "linux-x86_64", reason="emulates one x86-64 Linux program on another"
    ),
]

# Bare ONNX Runtime: what a provider's own code would choose by the processor is chosen here too.
ASK = """
import hashlib, sys
import numpy as np, onnxruntime
from PIL import Image
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
photo = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((int(sys.argv[3]),) * 2), np.float32) / 255
planes = np.ascontiguousarray(((photo - 0.498) / 0.502).transpose(2, 0, 1)[None], np.float32)
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
alpha = session.run(None, {"photo": planes})[0]
print(float(alpha.max()), hashlib.sha256((alpha * 255 + 0.5).astype(np.uint8).tobytes()).hexdigest())
"""


# An emulated processor takes ten seconds for a picture of the usual size, and tens for the larger network; the products
# are those of the same weights in any size.
@pytest.mark.parametrize(
    ("name", "side"),
    [(FAST, 160), *(pytest.param(name, 320, marks=pytest.mark.thorough) for name in (FAST, STANDARD))],
)
def test_the_answer_has_the_same_bits_where_products_are_added_in_sixteen(
    name: str, side: int, tmp_path: Path
) -> None:
    photo = tmp_path / "cat.png"
    Image.fromarray(pixels("chelsea")).save(photo)
    command = [
        os.path.realpath(sys.executable),
        "-c",
        ASK,
        str(catalogue()[name].path),
        str(photo),
        str(side),
    ]
    paths = os.pathsep.join(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    variables = {
        "PYTHONPATH": paths,
        "PATH": os.environ["PATH"],
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    assert EMULATOR is not None
    here, there = (
        subprocess.run(
            [*prefix, *command], env=variables, capture_output=True, text=True, check=True, timeout=240
        )
        for prefix in ([], [EMULATOR, "-cpu", "Haswell"])
    )
    surest, digest = there.stdout.split()
    assert float(surest) > 0.9
    assert len(digest) == hashlib.sha256().digest_size * 2
    assert there.stdout == here.stdout
