"""The door to ONNX Runtime, and that there is no other."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cutoutd.config
from cutoutd.models import onnx_runtime

ROOMS = Path(cutoutd.config.__file__).resolve().parents[1]
OF_THE_PRODUCT = sorted(
    path
    for room in ("config", "models", "daemon", "service")
    for path in (ROOMS / room).rglob("*.py")
    if "training" not in path.relative_to(ROOMS).parts
)


@pytest.mark.slow
def test_the_engine_is_told_to_report_nothing_home() -> None:
    code = (
        "import onnxruntime as ort; calls = []; ort.disable_telemetry_events = lambda: calls.append(1);"
        "from cutoutd.models.onnx_runtime import runtime; runtime(); print(len(calls))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1"


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        "from cutoutd.models.onnx_runtime import runtime; runtime()",
        "from cutoutd.models.matting.refiner import session; session(1)",
        "from cutoutd.models.networks.engine_errors import runtime_errors; runtime_errors()",
    ],
)
def test_it_leaves_nothing_in_the_home_folder_whoever_loads_it_first(first: str, tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    subprocess.run([sys.executable, "-c", first], env=bare | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


def _imports(path: Path) -> set[str]:
    """What a file imports, by statement or by a name in words; nothing of one that does not speak of the engine."""
    found: set[str] = set()
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if "onnxruntime" in text else ():
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found |= {str(node.args[0].value)} if name in ("import_module", "__import__") else set()
    return found


def test_nothing_else_imports_it() -> None:
    doors = [
        path for path in OF_THE_PRODUCT if any(name.split(".")[0] == "onnxruntime" for name in _imports(path))
    ]
    assert doors == [Path(onnx_runtime.__file__).resolve()]
