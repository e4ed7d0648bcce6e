"""Errors are sentences with an exit code of their own, and come through a pipe as they went in."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.config import errors
from cutoutd.config.errors import (
    SKIPPED,
    ConfigError,
    CutoutError,
    ExitCode,
    PhotoError,
    Reason,
    json_line,
    printable,
    words,
)

ALL = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, CutoutError) and one is not CutoutError
]


def test_what_happened_to_which_file_and_what_to_do() -> None:
    assert str(CutoutError("it is full", "/out", "Free space.")) == "/out: it is full. Free space."
    assert str(CutoutError("Is it full?", None, "")) == "Is it full?"


def test_a_name_that_is_no_text_can_be_shown_anywhere() -> None:
    error = CutoutError("it is odd", b"/in/\xff.jpg")
    assert str(error) == "/in/\\xff.jpg: it is odd."
    assert printable(b"/in/\xff\n.jpg").isprintable()
    str(error).encode("utf-8")


def test_all_problems_of_a_configuration_are_said_at_once() -> None:
    error = ConfigError("two mistakes", "/c.toml", problems=("c.toml:1: one", "c.toml:2: two"))
    assert str(error) == "c.toml:1: one\nc.toml:2: two"
    assert str(ConfigError("it is missing", "/c.toml")) == "/c.toml: it is missing."


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_that_is_documented(kind: type[CutoutError]) -> None:
    assert kind.exit_code in ExitCode
    assert kind.exit_code not in {ExitCode.OK, ExitCode.INTERNAL}
    assert kind.__doc__


def test_exit_codes_are_an_interface_and_never_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "INTERNAL": 1, "USAGE": 2, "SOME_FAILED": 3, "CONFIG": 4, "ALREADY_RUNNING": 5, "MODEL": 6,
        "LEDGER": 7, "FOLDER": 8, "NETWORK": 9, "ENGINE": 10, "SERVICE": 11, "VERIFY": 12, "REPLACED": 13,
        "INTERRUPTED": 130,
    }  # fmt: skip


def test_an_error_survives_the_way_between_processes() -> None:
    sent = PhotoError(Reason.TOO_LARGE, "it is large", "/in/a.jpg", "Raise the limit.")
    came = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own
    assert (came.reason, str(came)) == (sent.reason, str(sent))
    assert str(pickle.loads(pickle.dumps(CutoutError("a", "/b", "C.")))) == "/b: a. C."  # noqa: S301 - same


def test_a_descriptor_has_no_name_to_be_told(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    os.close(here)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        os.stat(here)
    assert words(caught.value) == "Bad file descriptor"
    assert words(OSError(13, "Permission denied", "/in")).endswith("Permission denied: '/in'")


def test_what_is_skipped_is_no_failure() -> None:
    assert Reason.NOT_A_PHOTO in SKIPPED
    assert Reason.UNREADABLE not in SKIPPED
    assert len(set(Reason)) == len({reason.value for reason in Reason})


SHAPED = "👨\u200d👩\u200d👧 ❤\ufe0f 👁\ufe0f\u200d🗨\ufe0f می\u200cخواهم क्\u200dष 葛\U000e0100.jpg"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a\x1b]0;PWNED\x07.jpg", r"a\x1b]0;PWNED\x07.jpg"),
        (b"x\n2026-01-01 ERROR forged.jpg", r"x\n2026-01-01 ERROR forged.jpg"),
        ("photo\u202egnp.jpg".encode(), r"photo\u202egnp.jpg"),
        ("\u009b31m.jpg".encode(), r"\x9b31m.jpg"),
        ("Žluťoučký 写真 🐈.jpg".encode(), "Žluťoučký 写真 🐈.jpg"),
        ("in\u200bvoice\u00ad.jpg".encode(), r"in\u200bvoice\xad.jpg"),
        ("a\u200db\u200c\u3164\ufe0f.jpg".encode(), r"a\u200db\u200c\u3164\ufe0f.jpg"),
        ("tag\U000e0041.jpg".encode(), r"tag\U000e0041.jpg"),
        # What shapes letters and pictures is part of them.
        (SHAPED.encode(), SHAPED),
    ],
)
def test_what_acts_on_a_terminal_is_shown_instead(name: bytes, text: str) -> None:
    assert printable(name) == text


def test_what_nobody_would_see_is_shown_in_text_and_in_json() -> None:
    unseen = [
        one for one in map(chr, range(0x110000)) if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")
    ]
    assert len(unseen) > 200
    for one in unseen:
        name = f"a{one}b"
        assert one not in printable(name.replace("\0", ""))
        line = json_line(name, plain=True)
        assert one not in line
        assert json.loads(line) == name
    assert json_line(SHAPED, plain=True) == f'"{SHAPED}"'


@given(st.binary(max_size=64))
def test_every_name_is_one_line_that_only_prints(name: bytes) -> None:
    text = printable(name.replace(b"\0", b""))
    assert len(text.splitlines()) <= 1
    assert all(ord(one) >= 0x20 and not 0x7F <= ord(one) < 0xA0 for one in text)
    assert not set(text) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029")


@pytest.mark.parametrize("end", [".", "!", "?", ""])
def test_a_sentence_has_one_full_stop(end: str) -> None:
    said = str(CutoutError(f"The disk said no{end}", "/a/b.jpg", "Try again."))
    assert said == f"/a/b.jpg: The disk said no{end or '.'} Try again."
