"""What an engine's errors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.models.networks.engine_errors import first_line, lacks_memory, runtime_errors
from cutoutd.models.onnx_runtime import runtime


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("std::bad_alloc", True),
        ("Failed to allocate memory for requested buffer of size 1024", True),
        ("CUDA failure 2: out of memory", True),
        ("CUBLAS_STATUS_ALLOC_FAILED", True),
        ("clCreateBuffer: CL out of host memory", True),
        ("Protobuf parsing failed.", False),
        ("Invalid rank for input: got 3", False),
    ],
)
def test_what_means_that_memory_ran_out(words: str, memory: bool) -> None:
    assert lacks_memory(RuntimeError(words)) is memory


def test_of_a_page_of_locations_one_line_is_told() -> None:
    assert first_line(RuntimeError("  Load failed\n  at /a/b.cc:12\n  at /c.cc:3")) == "Load failed"
    assert first_line(RuntimeError("")) == "RuntimeError"
    assert len(first_line(RuntimeError("x" * 1000))) == 300


def test_a_file_that_is_no_network_raises_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(runtime_errors()):
        runtime().InferenceSession(str(tmp_path / "no.onnx"), providers=["CPUExecutionProvider"])
