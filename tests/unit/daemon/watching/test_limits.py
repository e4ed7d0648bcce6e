"""Refused watches as sentences: which limit, its value now, and a better one."""

from __future__ import annotations

import errno
import os
import resource
import sys
from pathlib import Path

import pytest

from cutoutd.daemon.watching.limits import NoEvents, explain, present_limits


def proc(root: Path, **limits: int) -> Path:
    """A /proc/sys with these limits; `fs_watches=8` and the like."""
    names = {
        "fs_watches": "fs/inotify/max_user_watches",
        "user_watches": "user/max_inotify_watches",
        "fs_instances": "fs/inotify/max_user_instances",
        "user_instances": "user/max_inotify_instances",
    }
    for name, value in limits.items():
        path = root / names[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOENT, "gone", "does not exist"),
        (errno.EACCES, "denied", "permission"),
        (errno.ENOSPC, "limit", "fs.inotify.max_user_watches=524288"),
        (errno.EMFILE, "limit", "fs.inotify.max_user_instances=1024"),
        (errno.EIO, "broken", "Input/output error"),
    ],
)
def test_refusals_are_sentences_for_people(code: int, kind: str, words: str) -> None:
    why, answer = explain(Path("/in"), OSError(code, os.strerror(code)))
    assert answer == kind
    assert why.startswith("/in ")
    assert words in why


@pytest.mark.parametrize(
    ("code", "limits", "words"),
    [
        (
            errno.ENOSPC,
            {"fs_watches": 8192},
            "max_user_watches is 8192). Raise it with `sudo sysctl fs.inotify.max_user_watches=524288`",
        ),
        (errno.ENOSPC, {"fs_watches": 524288}, "sysctl fs.inotify.max_user_watches=1048576"),
        (errno.ENOSPC, {"fs_watches": 8192, "user_watches": 8192}, "sysctl fs.inotify.max_user_watches="),
        (
            errno.ENOSPC,
            {"fs_watches": 8192, "user_watches": 2},
            "(user.max_inotify_watches is 2). Raise it with `sudo sysctl user.max_inotify_watches=",
        ),
        (errno.ENOSPC, {}, "(fs.inotify.max_user_watches is unknown)"),
        (
            errno.EMFILE,
            {"fs_instances": 128},
            "(fs.inotify.max_user_instances is 128). Raise it with `sudo sysctl fs.inotify.max_user_instances=1024`",
        ),
        (errno.EMFILE, {"fs_instances": 128, "user_instances": 0}, "(user.max_inotify_instances is 0)"),
    ],
)
def test_the_sentence_names_the_limit_that_was_met(
    tmp_path: Path, code: int, limits: dict[str, int], words: str
) -> None:
    why, kind = explain(Path("/in"), OSError(code, os.strerror(code)), proc(tmp_path, **limits))
    assert kind == "limit"
    assert words in why
    assert "/etc/sysctl.d" in why


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors by /proc")
def test_a_limit_of_open_files_is_not_taken_for_one_of_watches(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        why, kind = explain(Path("/in"), OSError(errno.EMFILE, "x"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert kind == "limit"
    assert "ulimit -n" in why
    assert "sysctl" not in why


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENFILE])
def test_want_of_memory_or_of_files_in_the_whole_system_may_pass_too(code: int) -> None:
    why, kind = explain(Path("/in"), OSError(code, os.strerror(code)))
    assert kind == "limit"
    assert NoEvents(why, "limit").may_pass


def test_without_proc_no_limit_is_known(tmp_path: Path) -> None:
    assert present_limits(tmp_path) == {}
    assert present_limits(proc(tmp_path, fs_watches=8, user_instances=9)) == {
        "fs.inotify.max_user_watches": 8,
        "user.max_inotify_instances": 9,
    }


@pytest.mark.parametrize(
    ("others", "end"),
    [
        (0, "Until then it is looked through every 5 s."),
        (1, "Until then it and 1 other folder are looked through every 5 s."),
        (9, "Until then it and 9 other folders are looked through every 5 s."),
    ],
)
def test_the_sentence_says_what_is_done_meanwhile(others: int, end: str) -> None:
    assert NoEvents("/in may not be read. Give it.", "denied").sentence(5, others).endswith(f"Give it. {end}")
