from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.faulty_filesystem import Fault, FaultyFileSystem

from cutoutd.config.errors import OutboxError
from cutoutd.daemon.delivery import manifest
from cutoutd.daemon.files.filesystem import RealFileSystem


def one(
    number: int = 1, source: str = "DSC_1.jpg", at: float = 1.7e9, supersedes: str = "", **facts: Any
) -> bytes:
    made: dict[str, Any] = {
        "source": source,
        "source_digest": "cd" * 32,
        "output": f"DSC_{number}.png",
        "deliverable": "cutout",
        "width": 60,
        "height": 40,
        "size": 1234,
        "sha256": "ab" * 32,
        "seconds": 0.1234,
        "model": "cutout-s",
    }
    return manifest.line(manifest.Made(**{**made, **facts}), at=at, supersedes=supersedes)


COMMON = """
import os, sys
from pathlib import Path
from cutoutd.config.errors import OutboxError
from cutoutd.daemon.delivery import manifest
from cutoutd.daemon.files.filesystem import RealFileSystem
path, number = Path(sys.argv[1]), int(sys.argv[2])
def one(n):
    made = manifest.Made("s", "", "o", "d", n, 1, 1, "", 0.0, "m")
    return manifest.line(made, at=float(n))
"""
BELOW_LIMIT = (
    COMMON
    + """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
try:
    manifest.append(path, one(2), RealFileSystem(os.fsencode(path.parent)))
except OutboxError:
    sys.exit(3)
"""
)
MANY = (
    COMMON
    + """
for n in range(number, number + 50):
    manifest.append(path, one(n), RealFileSystem(os.fsencode(path.parent)))
"""
)


def append(path: Path, text: bytes, mode: int = 0o600) -> bool:
    return manifest.append(path, text, RealFileSystem(os.fsencode(path.parent)), mode)


def run(code: str, path: Path, number: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, str(path), number])


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_is_one_json_object_with_all_facts() -> None:
    assert json.loads(one(supersedes="ef" * 8)) == {
        "time": "2023-11-14T22:13:20Z",
        "state": "done",
        "source_digest": "cd" * 32,
        "seconds": 0.12,
        "supersedes": "ef" * 8,
        "id": manifest.id_of(one()),
        "source": "DSC_1.jpg",
        "output": "DSC_1.png",
        "deliverable": "cutout",
        "width": 60,
        "height": 40,
        "bytes": 1234,
        "sha256": "ab" * 32,
        "model": "cutout-s",
        "confidence": None,
        "needs_review": [],
    }
    assert one().count(b"\n") == 1


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.csv"])
def test_a_file_that_came_back_after_another_took_its_place_has_a_line(tmp_path: Path, name: str) -> None:
    """A PNG that was made again as WebP, and then as the same PNG: the last line speaks of what lies there."""
    path = tmp_path / name
    first = one(1)
    second = one(1, at=1.8e9, output="DSC_1.webp", sha256="ee" * 32, supersedes=manifest.id_of(first))
    assert append(path, first)
    assert append(path, second)
    back = one(1, at=1.9e9, supersedes=manifest.id_of(second))
    assert append(path, back)
    assert manifest.id_of(back).encode() in lines(path)[-1]
    assert append(path, one(1, at=2.0e9)) is False


@pytest.mark.parametrize(
    "source", ["Föhn ☀.jpg", 'a"b\\c.jpg', "two\nlines.jpg", os.fsdecode(b"\xff\xfe.jpg")]
)
def test_any_file_name_survives(source: str) -> None:
    assert json.loads(one(source=source))["source"] == source
    assert one(source=source).count(b"\n") == 1


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_lines_are_appended_in_order_and_readable_by_who_may_read_cutouts(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "manifest.jsonl"
    before = os.umask(0o077)  # the daemon's own
    try:
        assert all(append(path, one(number), mode) for number in range(3))
    finally:
        os.umask(before)
    assert lines(path) == [one(0), one(1), one(2)]
    assert path.stat().st_mode & 0o777 == mode


def test_who_may_read_a_manifest_that_is_there_stays_its_owners_choice(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    append(path, one(1), 0o600)
    append(path, one(2), 0o644)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_repeated_line_is_not_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    append(path, one(1))
    append(path, one(2))
    assert append(path, one(1)) is False
    assert lines(path) == [one(1), one(2)]


@pytest.mark.parametrize("kept", range(1, 20, 3))
def test_a_torn_last_line_is_removed(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(one(1) + one(2)[:kept])
    append(path, one(3))
    assert lines(path) == [one(1), one(3)]


def test_a_torn_only_line_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(one(2)[:9])
    append(path, one(3))
    assert lines(path) == [one(3)]


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(one(1) + one(2)[:-1])
    append(path, one(3))
    assert lines(path) == [one(1), one(2), one(3)]


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.csv"])
@pytest.mark.parametrize(
    "strange",
    [
        b"[" * 50_000,
        b"{" * 50_000 + b"\n",
        b'{"supersedes": [], "sha256": "%s"}\n' % (b"ab" * 32),
        b'{"id": {}, "output": "DSC_2.png", "source": "another", "sha256": "%s"}\n' % (b"ab" * 32),
        b"9" * 10_000,
        b'"' * 9_999,
        b"\xff\xfe\0" * 999,
        b"\0" * 10_000 + b"\n",
    ],
)
def test_no_line_of_somebody_elses_holds_up_a_photo(tmp_path: Path, strange: bytes, name: str) -> None:
    path = tmp_path / name
    append(path, one(1))
    path.write_bytes(path.read_bytes() + strange)
    assert append(path, one(2))
    assert b"DSC_2.png" in lines(path)[-1]


def test_a_torn_line_that_is_repeated_whole_appears_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(one(1) + one(2)[:30])
    assert append(path, one(2)) is True
    assert lines(path) == [one(1), one(2)]


def test_a_link_in_place_of_the_manifest_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / "manifest.jsonl").symlink_to(elsewhere)
    with pytest.raises(OutboxError):
        append(tmp_path / "manifest.jsonl", one())
    assert elsewhere.read_bytes() == b"precious"


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="manifest"):
        append(tmp_path / "gone" / "manifest.jsonl", one())


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    fs = FaultyFileSystem(Fault("write", errno.ENOSPC))
    with pytest.raises(OutboxError, match="No space left"):
        manifest.append(tmp_path / "manifest.jsonl", one(), fs)


def test_what_is_no_plain_file_of_its_own_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.jsonl")
    with pytest.raises(OutboxError, match="pipe"):
        append(tmp_path / "manifest.jsonl", one())
    (tmp_path / "manifest.jsonl").unlink()
    (tmp_path / "theirs").write_bytes(b"precious")
    os.link(tmp_path / "theirs", tmp_path / "manifest.jsonl")
    with pytest.raises(OutboxError, match="second name"):
        append(tmp_path / "manifest.jsonl", one())
    assert (tmp_path / "theirs").read_bytes() == b"precious"


def test_who_holds_the_lock_for_ever_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_LOCK_S", 0.1)
    path = tmp_path / "manifest.jsonl"
    append(path, one(1))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutboxError):
            append(path, one(2))
    assert append(path, one(2))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    append(path, one(1))
    before = path.read_bytes()
    # A real limit of the kernel in a real process: the write is cut short in the middle of the line.
    child = run(BELOW_LIMIT, path, str(len(before) + 20))
    assert child.wait() == 3
    assert path.read_bytes() == before


@pytest.mark.slow
def test_two_processes_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    writers = [run(MANY, path, str(first)) for first in (0, 1000)]
    assert [writer.wait() for writer in writers] == [0, 0]
    numbers = [json.loads(text)["width"] for text in lines(path)]
    assert sorted(numbers) == [*range(50), *range(1000, 1050)]


@pytest.mark.parametrize("text", [b"", b"{}", b"{}\n{}\n"])
def test_only_whole_single_lines_are_taken(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        append(tmp_path / "manifest.jsonl", text)


def test_a_line_that_says_the_same_at_another_time_is_not_written_again(tmp_path: Path) -> None:
    """A lost ledger is made anew from the cutouts that lie there, and asks for all their lines again."""
    path = tmp_path / "manifest.jsonl"
    assert append(path, one(1))
    assert append(path, one(2))
    assert append(path, one(1, at=1.8e9, supersedes="ab" * 8)) is False
    assert append(path, one(1, at=1.9e9, sha256="ee" * 32)) is True
    assert append(path, one(1, at=2.0e9)) is True  # back again: the last line spoke of other bytes
    assert len(lines(path)) == 4


@pytest.mark.parametrize(
    "source", ["Föhn, ☀.jpg", 'a"b.jpg', "two\nlines.jpg", "=1+1.jpg", os.fsdecode(b"\xff.jpg")]
)
def test_a_list_as_csv_takes_any_name_on_one_line(tmp_path: Path, source: str) -> None:
    path = tmp_path / "manifest.csv"
    assert append(path, one(1, source=source))
    assert append(path, one(1, source=source)) is False
    assert append(path, one(1, source=source, at=1.8e9)) is False
    assert append(path, one(2, source=source))
    head, first, second = lines(path)
    assert head.decode() == ",".join(manifest.COLUMNS) + "\n"
    (cells,) = csv.reader([first.decode()])
    row = dict(zip(manifest.COLUMNS, cells, strict=True))
    assert (row["output"], row["width"], row["id"]) == (
        "DSC_1.png",
        "60",
        manifest.id_of(one(1, source=source)),
    )
    assert not row["source"].startswith("=")
    assert second.count(b"\n") == 1


@pytest.mark.parametrize("kept", [3, 40, 120])
def test_a_torn_last_row_of_a_csv_is_removed(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "manifest.csv"
    append(path, one(1))
    whole = path.read_bytes()
    path.write_bytes(whole + manifest.as_csv(one(2))[:kept])
    append(path, one(3))
    assert path.read_bytes() == whole + manifest.as_csv(one(3))


def test_a_whole_last_row_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    append(path, one(1))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append(path, one(2))
    assert lines(path)[1:] == [manifest.as_csv(one(1)), manifest.as_csv(one(2))]
