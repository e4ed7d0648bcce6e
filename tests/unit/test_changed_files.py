"""What `make fast` checks the types of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.changed_files import PROJECT, changed, checked_by_pyright, imports_of, module_of, to_check


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import cutoutd.models.cutout", {"cutoutd.models.cutout"}),
        ("from cutoutd.daemon.ledger import masks", {"cutoutd.daemon.ledger.masks"}),
        (
            "from cutoutd.daemon.ledger import (\n    faults,\n    masks as kept,\n)\n",
            {"cutoutd.daemon.ledger.masks"},
        ),
        ("def f():\n    from cutoutd.models.cutout import cut_out\n", {"cutoutd.models.cutout"}),
        ("from tests.support.photos import encoded", {"tests.support.photos"}),
    ],
)
def test_every_way_to_import_a_module_is_seen(text: str, modules: set[str]) -> None:
    assert modules <= imports_of(text)


def test_a_changed_file_is_checked_and_so_is_who_imports_it(tmp_path: Path) -> None:
    for path, text in {
        "daemon/a.py": "",
        "daemon/b.py": "from cutoutd.daemon.a import one",
        "daemon/c.py": "from cutoutd.daemon import b",
        "tests/d.py": "import cutoutd.daemon.a as it",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    files = ["daemon/a.py", "daemon/b.py", "daemon/c.py", "tests/d.py"]
    assert to_check({"daemon/a.py", "README.md"}, files, tmp_path) == [
        "daemon/a.py",
        "daemon/b.py",
        "tests/d.py",
    ]
    assert to_check(set(), files, tmp_path) == []


def test_new_and_changed_files_are_named_and_deleted_ones_are_not(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    assert changed(tmp_path / "nowhere") is None
    git("init", "-b", "main")
    for name in ("same.py", "changed.py", "deleted.py"):
        (tmp_path / name).write_text("")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "changed.py").write_text("1")
    (tmp_path / "new.py").write_text("")
    (tmp_path / "deleted.py").unlink()
    assert changed(tmp_path) == {"changed.py", "new.py"}


def test_the_files_of_this_tree_are_those_of_its_rules() -> None:
    files = checked_by_pyright(PROJECT)
    assert {"daemon/supervisor.py", "tests/support/changed_files.py", "benchmarks/hops.py"} <= set(files)
    assert not any(path.startswith((".importroot", "models/training")) for path in files)
    assert module_of("daemon/supervisor.py") == "cutoutd.daemon.supervisor"
    assert module_of("tests/support/changed_files.py") == "tests.support.changed_files"
