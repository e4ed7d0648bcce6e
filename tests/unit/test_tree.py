"""The tree's own rules: each module has its test file, and a sub-package's `__init__` loads nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "models", "daemon", "service")

# Modules without a test file of their own, where their behaviour is tested, and why not beside them.
ELSEWHERE = {
    "config/version.py": ("tests/packaging/test_versions.py", "a number; what depends on it is the packages"),
    "daemon/fleet/confining.py": (
        "tests/endtoend/test_fleet.py",
        "a process that has done it can do nothing else",
    ),
    "daemon/fleet/link.py": ("tests/unit/daemon/fleet/test_keeper.py", "the other end of the same pipes"),
    "daemon/fleet/node.py": ("tests/endtoend/test_fleet.py", "it is a node"),
    "daemon/fleet/node_process.py": ("tests/endtoend/test_fleet.py", "it is a node"),
    "daemon/fleet/scheduler.py": ("tests/endtoend/test_fleet.py", "it is the scheduler"),
    "daemon/fleet/spawning.py": (
        "tests/unit/daemon/fleet/test_keeper.py",
        "starts the processes tested there",
    ),
    "daemon/fleet/tasks.py": ("tests/endtoend/test_fleet.py", "names for what runs on a node"),
    "daemon/files/interface.py": ("tests/unit/daemon/files/test_filesystem.py", "a protocol without code"),
    "models/planes.py": ("tests/unit/models/matting/test_resample.py", "names of types without code"),
    "models/networks/pull.py": ("tests/integration/test_pull.py", "needs a server in a process of its own"),
    "service/cli/gallery.py": ("tests/endtoend/test_gallery_page.py", "its page is looked at by a browser"),
    "service/cli/run.py": ("tests/endtoend/test_arrivals.py", "it is the daemon"),
    "service/doctor/findings.py": ("tests/unit/service/doctor/test_doctor.py", "a record without code"),
    "service/verify/daemon.py": ("tests/endtoend/test_privacy.py", "it is a daemon"),
}
# The daemon's parts, as others call them.
PARTS = frozenset(
    [
        "aftercare",
        "arrivals",
        "budget",
        "commands",
        "components",
        "control",
        "dispatcher",
        "inbox_watcher",
        "ledger",
        "outboxes",
        "publisher",
        "renames",
        "scheduler",
        "self_test",
        "transitions",
        "worker_manager",
        "workers",
    ]
)
# The training code needs PyTorch and hours; its parts that decide anything are tested beside it.
UNTESTED_ROOM = "models/training/"


def modules() -> list[str]:
    return [
        str(path.relative_to(PROJECT))
        for room in ROOMS
        for path in sorted((PROJECT / room).rglob("*.py"))
        if not path.name.startswith("__")
    ]


def mirror(module: str) -> Path:
    path = Path(module)
    return PROJECT / "tests" / "unit" / path.parent / f"test_{path.name}"


def test_each_module_has_its_test_file() -> None:
    tested = [module for module in modules() if not module.startswith(UNTESTED_ROOM)]
    missing = [module for module in tested if module not in ELSEWHERE and not mirror(module).exists()]
    assert missing == [], f"write {[str(mirror(module).relative_to(PROJECT)) for module in missing]}"
    assert [place for place, _why in ELSEWHERE.values() if not (PROJECT / place).exists()] == []


def test_the_list_names_only_what_there_is_and_has_no_test_file() -> None:
    assert set(ELSEWHERE) <= set(modules())
    assert [module for module in ELSEWHERE if mirror(module).exists()] == []


def test_each_test_folder_has_its_room() -> None:
    unit = PROJECT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert [str(folder) for folder in folders if not (PROJECT / folder).is_dir()] == []


def test_a_package_is_one_sentence_and_imports_nothing() -> None:
    for path in (path for room in ROOMS for path in (PROJECT / room).rglob("__init__.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert len(tree.body) == 1, (
            f"{path} must hold its sentence only: workers import packages before they are confined"
        )
        assert ast.get_docstring(tree), path


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "cutoutd.daemon.supervisor",
        "cutoutd.service.cli.run",
        "cutoutd.daemon.workers.process",
        "cutoutd.service.main",
    ],
)
def test_the_supervisor_loads_no_pixels_no_network_and_no_fleet_before_there_is_one(module: str) -> None:
    heavy = (
        "numpy",
        "PIL",
        "onnxruntime",
        "tifffile",
        "dask",
        "distributed",
        "cryptography",
        "cutoutd.daemon.fleet",
    )
    code = f"import sys, {module}; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_part_sets_an_attribute_of_another() -> None:
    """A part that is to change is told so by a method."""
    assert [
        (module, ast.unparse(target))
        for module in modules()
        if module.startswith("daemon/")
        for node in ast.walk(ast.parse((PROJECT / module).read_text()))
        for target in _targets(node)
        if isinstance(target, ast.Attribute) and ast.unparse(target.value).rpartition(".")[2] in PARTS
    ] == []


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
