"""No other module of the daemon opens, looks at, renames, removes or makes files of users by a joined path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

DAEMON = Path(__file__).parents[4] / "daemon"

OF_OS = frozenset({
    "access", "chmod", "chown", "lchown", "link", "listdir", "lstat", "makedirs", "mkdir", "mkfifo", "mknod", "open",
    "pathconf", "readlink", "remove", "removedirs", "removexattr", "rename", "renames", "replace", "rmdir", "scandir",
    "setxattr", "getxattr", "listxattr", "stat", "statvfs", "symlink", "truncate", "unlink", "utime", "walk", "fwalk",
})  # fmt: skip
OF_OS_PATH = frozenset({
    "exists", "getatime", "getctime", "getmtime", "getsize", "isdir", "isfile", "islink", "ismount", "lexists",
    "realpath", "samefile",
})  # fmt: skip
OF_PATHS = frozenset({
    "chmod", "exists", "expanduser", "glob", "group", "hardlink_to", "is_block_device", "is_char_device", "is_dir",
    "is_fifo", "is_file", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod", "lstat", "mkdir", "open", "owner",
    "read_bytes", "read_text", "readlink", "rename", "rglob", "rmdir", "samefile", "stat", "symlink_to", "touch",
    "unlink", "write_bytes", "write_text",
})  # fmt: skip
# What has methods of the same names and goes through `daemon/files/`, or is no file at all.
NO_PATHS = frozenset({"fs", "_fs", "entry", "match"})

OWN = "our own folder of state, which is for us alone (0700)"
SYSTEM = "the kernel's or the program's own files"
ROOT = "a folder that the user configured, as a whole"
NAMED = "what the user named on the command line; links are resolved on purpose"

# Module → what it may call, and why.
ALLOWED: dict[str, tuple[set[str], str]] = {
    "batch_settings.py": ({"os.lstat", "os.path.isfile", "os.stat"}, NAMED),
    "config_file.py": ({".stat"}, "the config"),
    "dispatch/deliverable_rules.py": (
        {".stat"},
        "a list that the config names; it opens no photo",
    ),
    "dispatch/worker_manager.py": ({".iterdir"}, "certificates that `fleet init` made"),
    "fleet/confining.py": ({".exists"}, SYSTEM),
    "fleet/joining.py": ({".read_bytes", ".stat"}, "the networks"),
    "fleet/node.py": ({".read_bytes"}, "our own certificate"),
    "fleet/node_process.py": ({".mkdir"}, OWN),
    "host_load.py": ({".exists", ".glob", ".read_text"}, SYSTEM),
    "log_names.py": ({"os.path.realpath"}, ROOT + ": what it is called, in order to hide what lies below"),
    "lifecycle.py": ({".replace"}, OWN),
    "lock.py": ({".mkdir", ".replace", ".stat", ".unlink", "open", "os.open"}, OWN),
    "plan.py": (
        {".is_dir", ".mkdir", ".stat"},
        "the background picture, the models and our own cache, by the config",
    ),
    "sources.py": (
        {
            ".is_symlink",
            ".stat",
            "open",
            "os.lstat",
            "os.open",
            "os.path.islink",
            "os.path.realpath",
            "os.readlink",
            "os.walk",
        },
        NAMED,
    ),
    "upgrade.py": ({".read_text", "os.stat"}, SYSTEM),
    "watching/limits.py": ({".read_text"}, SYSTEM),
    "watching/watcher.py": (
        {".stat", "os.path.isdir", "os.path.realpath"},
        ROOT + "; and whether a sub-folder without a watch is still there",
    ),
    "workers/trial.py": ({".exists", ".stat"}, "a network's file, named on the command line"),
    "workers/exit_status.py": ({".open"}, SYSTEM),
    "workers/lifetime.py": ({"os.open"}, "our own lock"),
    "workers/process.py": ({".read_text", ".write_text", "os.listdir"}, SYSTEM),
}
# Rooms that never have a user's file in hand.
ROOMS = {
    "files/": "the one place",
    "ledger/": OWN,
    "sandbox/": SYSTEM + ", and rules bound to folders as a whole",
}


def _calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id == "open":
            yield "open", node.lineno
        if not isinstance(function, ast.Attribute):
            continue
        whose, name = function.value, function.attr
        match whose:
            case ast.Name(id="os") if name in OF_OS:
                yield f"os.{name}", node.lineno
            case ast.Name(id="os" | "re" | "time"):
                pass
            case ast.Name(id="shutil"):
                yield f"shutil.{name}", node.lineno
            case ast.Attribute(value=ast.Name(id="os"), attr="path"):
                if name in OF_OS_PATH:
                    yield f"os.path.{name}", node.lineno
            case ast.Name(id=receiver) | ast.Attribute(attr=receiver) if receiver in NO_PATHS:
                pass
            case _ if name in OF_PATHS or (name == "replace" and len(node.args) == 1):
                yield f".{name}", node.lineno
            case _:
                pass


def _of(source: str) -> set[str]:
    return {call for call, _ in _calls(ast.parse(source))}


def test_files_of_users_are_reached_beneath_their_folder() -> None:
    for path in sorted(DAEMON.rglob("*.py")):
        module = path.relative_to(DAEMON).as_posix()
        if module.startswith(tuple(ROOMS)):
            continue
        allowed, _why = ALLOWED.get(module, (set(), ""))
        found = dict(_calls(ast.parse(path.read_text(encoding="utf-8"))))
        assert found.keys() - allowed == set(), (
            f"daemon/{module} goes to files by path: use `RealFileSystem` of daemon/files, made for the folder that the"
            f" user configured ({found})"
        )
        assert allowed - found.keys() == set(), f"no longer used: take it off the list ({module})"


def test_the_rule_sees_what_it_is_for() -> None:
    assert _of("os.open(os.path.join(a, b), 0)") == {"os.open"}
    assert _of("from pathlib import Path\n(Path(a) / b).unlink()") == {".unlink"}
    assert _of("shutil.move(a, b)\nopen(a)\nos.path.isfile(a)") == {"shutil.move", "open", "os.path.isfile"}
    assert _of("path.replace(other)\nself.settings.path.stat()") == {".replace", ".stat"}
    assert _of("fs.unlink(a)\nself._fs.open(a, 0)\nentry.stat(follow_symlinks=False)\nos.fstat(fd)") == set()
    assert _of("'a'.replace('a', 'b')") == set()
