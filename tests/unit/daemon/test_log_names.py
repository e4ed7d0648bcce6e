"""Names of photos leave no text that goes into a log, whoever wrote it and whatever the name is made of."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.config.errors import mistake, printable
from cutoutd.config.load import parse_settings
from cutoutd.daemon.files.beneath import UnsafePath
from cutoutd.daemon.log_names import LogNames

NAME = "Anna Meier's passport: (2).jpg"
CONFIG = """
[[inbox]]
path = "/srv/in"
outbox = "/srv/out"
[inbox.after]
action = "archive"
archive = "/srv/in-archive"
failed = "/srv/failed"
[log]
filenames = false
"""


def hiding(config: str = CONFIG) -> LogNames:
    names = LogNames()
    names.follow(parse_settings(config))
    return names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"/srv/in/{NAME}: it is full. Free space.", "/srv/in/…"),
        (f"Its original lies at /srv/in-archive/2026/{NAME}", "Its original lies at /srv/in-archive/…"),
        (f"[Errno 13] Permission denied: {NAME.encode()!r}", "[Errno 13] Permission denied"),
        (f"[Errno 17] File exists: {NAME!r} -> {NAME.encode()!r}; again", "[Errno 17] File exists; again"),
        (f"a mistake (KeyError: {NAME!r}); please report it", "a mistake (KeyError"),
        (f"a mistake (ValueError: {NAME} is odd); please", "a mistake (ValueError"),
        (f"OSError: [Errno 5] Input/output error: '/srv/in/{NAME}'", "OSError: [Errno 5] Input/output error"),
        (f"what came back was {NAME!r}, once", "what came back was '…', once"),
        (f"it lies at .cutoutd-0a-7.original.{NAME}", "it lies at .cutoutd-0a-7.original.…"),
        (f"/home/me/.local/share/Trash/files/{NAME} is full", "/home/me/.local/share/Trash/files/…"),
        # What says nothing of a photo stays.
        ("Photos of /srv/in wait: the outbox is full.", "Photos of /srv/in wait: the outbox is full."),
        ("Give yourself access: chmod u+rwx '/srv/in'", "Give yourself access: chmod u+rwx '/srv/in'"),
        ("It doesn't answer, and its users' photos wait", "It doesn't answer, and its users' photos wait"),
        ("/srv/out/manifest.jsonl: it is full.", "/srv/out/manifest.jsonl: it is full."),
        ("Run `cutoutd retry --all`.", "Run `cutoutd retry --all`."),
    ],
)
def test_what_is_left_of_a_text(text: str, told: str) -> None:
    assert hiding().line(text) == told


@pytest.mark.slow
@given(st.text(st.characters(exclude_characters="\0/\n", exclude_categories=["Cs"]), min_size=3, max_size=40))
def test_no_name_comes_through_in_what_the_system_says_of_it(name: str) -> None:
    names = hiding()
    marked = f"qzx{name}xzq"
    path = f"/srv/in/{marked}"
    for error in (
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), marked),
        OSError(errno.EXDEV, os.strerror(errno.EXDEV), path, None, marked.encode()),
        UnsafePath("a link where a file should be", marked.encode()),
        KeyError(marked),
        ValueError(f"{marked} is odd"),
        UnicodeDecodeError("utf-8", marked.encode(), 0, 1, marked),
    ):
        for text in (str(error), repr(error), mistake(error), f"It failed: {error}.", names.told(error)):
            shown = names.line(text)
            if isinstance(error, ValueError | KeyError) and text in (str(error), f"It failed: {error}."):
                continue  # nothing in it says that it is a name: sentences take `mistake` for what nobody foresaw
            assert "qzx" not in shown, (text, shown)
            assert "xzq" not in shown, (text, shown)
    assert "qzx" not in names.line(f"{printable(path)}: it is odd. Do something.")


def test_without_the_setting_everything_is_said() -> None:
    names = hiding(CONFIG.replace("false", "true"))
    text = f"/srv/in/{NAME}: [Errno 13] Permission denied: {NAME!r}"
    assert names.line(text) == text
    assert names.line("a\nb") == r"a\nb"
    assert names.hide("a\nb") == "a\nb"


def test_every_text_in_plain_values_is_one_line() -> None:
    told = {"a": ["one\ntwo", {"b": ("\x07",)}], "n": 1, "none": None}
    assert LogNames().value(told) == {"a": [r"one\ntwo", {"b": [r"\x07"]}], "n": 1, "none": None}


def test_a_folder_reached_through_a_link_is_known_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = hiding(CONFIG.replace('/srv/in"', f'{tmp_path}/link"'))
    assert names.line(f"{tmp_path}/real/{NAME}") == f"{tmp_path}/real/…"
    assert names.line(f"{tmp_path}/link/{NAME}") == f"{tmp_path}/link/…"


def record(names: LogNames, error: BaseException) -> str:
    one = logging.LogRecord("x", logging.ERROR, __file__, 1, "photo %s\n", (error,), None)
    one.exc_info = (type(error), error, error.__traceback__)
    assert names.filter(one)
    return logging.Formatter("%(message)s").format(one)


def failing() -> BaseException:
    try:
        try:
            os.open(os.fsencode(f"/srv/in/{NAME}"), os.O_RDONLY)
        except OSError as error:
            raise RuntimeError(f"no {NAME}\nat all") from error
    except RuntimeError as error:
        error.add_note(NAME)
        return error
    raise AssertionError("it was opened")


def test_the_log_says_where_a_mistake_was_made_and_not_about_what() -> None:
    told = record(hiding(), failing())
    assert "Anna" not in told
    assert "in failing" in told
    assert "FileNotFoundError: No such file or directory" in told
    assert told.endswith("RuntimeError")
    plain = record(LogNames(), failing())
    assert "Anna" in plain
    assert "in failing" in plain
    assert plain.splitlines()[0].endswith(r"\n")


def test_a_ring_of_causes_has_an_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert hiding().told(one).count("ValueError") == 2
