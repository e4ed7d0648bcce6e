"""What ONNX Runtime throws, and what its words mean; it loads nothing but the classes of its errors."""

from __future__ import annotations

import re
from functools import cache

from cutoutd.models.onnx_runtime import runtime

# Not every version has all of them.
_RUNTIME_ERRORS = (
    "Fail",
    "InvalidArgument",
    "NoSuchFile",
    "NoModel",
    "EngineError",
    "RuntimeException",
    "InvalidProtobuf",
    "ModelLoaded",
    "NotImplemented",
    "InvalidGraph",
    "EPFail",
    "ModelLoadCanceled",
    "ModelRequiresCompilation",
    "NotFound",
)


# What the engine and the libraries below it say when memory runs out, on the processor and on graphics cards.
_NO_MEMORY = re.compile(
    r"bad[_ ]alloc|fail\w* to allocate|cannot allocate|allocation fail|alloc_failed|out of (?:host |device )?memory",
    re.IGNORECASE,
)


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """Every exception ONNX Runtime throws; its own derive from Exception alone and have no common base."""
    state = runtime().capi.onnxruntime_pybind11_state
    own = tuple(getattr(state, name) for name in _RUNTIME_ERRORS if hasattr(state, name))
    return (*own, RuntimeError, ValueError)


def lacks_memory(error: Exception) -> bool:
    """Whether an engine's error says that memory ran out; it has no class of its own for that."""
    return _NO_MEMORY.search(str(error)) is not None


def first_line(error: Exception) -> str:
    """The telling part of an engine's message: one line, not a page of C++ locations."""
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
