"""Every error cutoutd can name, with its exit code and a sentence for people; nothing is handled here."""

from __future__ import annotations

import json
import os
import re
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any


class ExitCode(IntEnum):
    """Exit codes are an interface: scripts and service managers rely on them."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    SOME_FAILED = 3
    CONFIG = 4
    ALREADY_RUNNING = 5
    MODEL = 6
    LEDGER = 7
    FOLDER = 8
    NETWORK = 9
    ENGINE = 10
    SERVICE = 11
    VERIFY = 12
    REPLACED = 13
    INTERRUPTED = 130  # as shells count a Ctrl-C: 128 + SIGINT


class CutoutError(Exception):
    """Base of all errors: what happened, to which file, and what to do about it.

    Args:
        what: one sentence without a final full stop saying what happened.
        path: the file or folder it happened to, or None.
        fix: what the user can do, as a sentence; empty when nothing helps.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, what: str, path: str | bytes | Path | None = None, fix: str = "") -> None:
        self.what = what
        self.path = None if path is None else Path(os.fsdecode(path))
        self.fix = fix
        super().__init__(what, path, fix)

    def __str__(self) -> str:
        where = "" if self.path is None else f"{printable(self.path)}: "
        fix = f" {self.fix}" if self.fix else ""
        stop = "" if self.what.endswith((".", "!", "?")) else "."
        return where + printable_lines(f"{self.what}{stop}{fix}")


# What a name must not do to whoever reads it: move a cursor, ring, begin a line of its own, turn text around, or look
# like another name. C0, DEL and C1; what Unicode counts as format characters (Cf) and as line and paragraph
# separators; what it has shown as nothing or as a blank of full width (fillers, the empty braille cell).
_UNPRINTABLE = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# Joiners shape what stands around them in the scripts between Arabic and Khmer, in Mongolian and among pictures
# (families, professions); variants of a character follow one that is no ASCII. Anywhere else nobody sees them.
_JOINED = (
    "\u0620-\u06dc\u0710-\u088f\u08a0-\u08e1\u0900-\u10ff\u1780-\u17b3\u1820-\u18aa\u2190-\u27ff\u2900-\u2bff\ufb50-\ufdff"
    "\ufe0f\U0001e900-\U0001faff"
)
_VARIANTS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_UNSEEN = re.compile(
    f"[{_UNPRINTABLE}]|(?<![{_JOINED}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])"
    f"|(?<![^\x00-\x7f{_UNPRINTABLE}\u200c\u200d{_VARIANTS}])[{_VARIANTS}]"
)


def printable(path: str | bytes | Path) -> str:
    r"""A path as one line of text that any terminal and log accepts, whatever bytes its name is made of.

    Bytes that are no UTF-8, control characters, those that turn the direction of text and those that nobody would see
    are shown as `\x1b` or `\u202e`. It is the one place where names become text for people. What it made it leaves.
    """
    try:
        data = os.fsencode(path)
    except UnicodeEncodeError:  # half a character of UTF-16: no name, but some text that was made of JSON
        data = str(path).encode("utf-8", "backslashreplace")
    text = data.decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():  # nearly always, and in a tenth of the time
        return text
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """Lines that may quote names or what somebody typed, as text for people; the lines stay."""
    return "\n".join(map(printable, text.split("\n")))


def mistake(error: BaseException) -> str:
    """An exception that nobody foresaw, as part of a sentence: its kind and its words on one line."""
    return f"{type(error).__name__}: {printable(str(error))}"


def words(error: BaseException) -> str:
    """An exception as part of a sentence: what we or the system say of it, else as a mistake."""
    if isinstance(error, CutoutError):
        return str(error)
    if isinstance(error, OSError) and isinstance(error.filename, int):  # a descriptor's number names nothing
        return printable(error.strerror or str(error))
    return printable(str(error)) if isinstance(error, OSError) else mistake(error)


def json_line(value: Any, *, plain: bool = False) -> str:
    r"""A value as JSON on one line that any terminal accepts; a reader of JSON gets the same texts back.

    Args:
        value: plain values; texts may hold bytes of names that are no UTF-8, as `os.fsdecode` makes them.
        plain: characters of all scripts stay as they are; unset, what is not ASCII is written as `\uXXXX`.
    """
    try:
        text = json.dumps(value, ensure_ascii=not plain)
        text.encode()
    except UnicodeEncodeError:  # a name that is not valid UTF-8 keeps its bytes as \udcXX
        text = json.dumps(value)
    return _UNSEEN.sub(_json_escape, text)


def json_lines(value: Any) -> str:
    r"""The same over several lines, for people and scripts; characters of all scripts stay as they are."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    return "\n".join(_UNSEEN.sub(_json_escape, line) for line in text.split("\n"))


def toml_text(text: str) -> str:
    r"""A text as TOML writes it; what no terminal is to get is written as `\uXXXX` or `\UXXXXXXXX`."""
    quoted = json.dumps(text, ensure_ascii=False)  # escapes as TOML does, but leaves DEL
    return _UNSEEN.sub(_toml_escape, quoted)


def _toml_escape(found: re.Match[str]) -> str:
    return "".join(
        f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}" for one in found.group()
    )


def _json_escape(found: re.Match[str]) -> str:
    r"""A character as JSON has it: `\uXXXX`, those of higher planes as two."""
    return re.sub("(....)", r"\\u\1", found.group().encode("utf-16-be").hex())


class UsageError(CutoutError):
    """The command line asks for something that does not exist or makes no sense."""

    exit_code = ExitCode.USAGE


class ConfigError(CutoutError):
    """The configuration is wrong; `problems` holds every problem found, one line each."""

    exit_code = ExitCode.CONFIG

    def __init__(
        self,
        what: str,
        path: str | bytes | Path | None = None,
        fix: str = "",
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, path, fix)
        self.problems = tuple(map(printable, problems))  # they quote keys and values

    def __str__(self) -> str:
        return "\n".join(self.problems) if self.problems else super().__str__()


class AlreadyRunningError(CutoutError):
    """Another daemon holds this state folder."""

    exit_code = ExitCode.ALREADY_RUNNING


class ModelError(CutoutError):
    """A model is missing, damaged, of the wrong shape, or not licensed for this use."""

    exit_code = ExitCode.MODEL


class LedgerError(CutoutError):
    """The ledger cannot be opened, is newer than this program, or lies where it must not."""

    exit_code = ExitCode.LEDGER


class FolderError(CutoutError):
    """An inbox, outbox or archive folder is missing, overlapping or not writable."""

    exit_code = ExitCode.FOLDER


class NetworkError(CutoutError):
    """A model download failed; only `cutoutd models pull` can raise it."""

    exit_code = ExitCode.NETWORK


class EngineError(CutoutError):
    """The inference engine cannot start as asked for."""

    exit_code = ExitCode.ENGINE


class ServiceError(CutoutError):
    """systemd or launchd refused, or is not there."""

    exit_code = ExitCode.SERVICE


class VerifyError(CutoutError):
    """The privacy self-test found a promise that does not hold."""

    exit_code = ExitCode.VERIFY


# Said of a damaged photo in an inbox, and only there true.
LOOKED_AT_AGAIN = "; it is looked at again whenever it changes"


def put_aside(detail: str) -> str:
    """What is said of a photo that has failed, where it lies in no inbox any more."""
    return detail.replace(LOOKED_AT_AGAIN, ", into the inbox")


class Reason(StrEnum):
    """Why a photo failed or was skipped; the names are part of the interface (ledger, `--json`)."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    NEEDS_DECODER = "needs-decoder"
    NO_SUBJECT = "no-subject"
    NO_PERMISSION = "no-permission"
    TOO_SLOW = "too-slow"
    OUT_OF_MEMORY = "out-of-memory"
    CRASHED = "crashed"
    BUSY = "busy"
    CANNOT_RENDER = "cannot-render"
    RAW_PAIR = "raw-pair"
    NOT_A_PHOTO = "not-a-photo"
    NOT_A_REGULAR_FILE = "not-a-regular-file"
    PLACEHOLDER = "placeholder"
    VANISHED = "vanished"
    NOT_FOUND = "not-found"
    NAME_TAKEN = "name-taken"
    EXISTS = "exists"


# A skipped file is not a failure: nothing is owed for it and `failures` does not list it.
SKIPPED = frozenset(
    {
        Reason.RAW_PAIR,
        Reason.NOT_A_PHOTO,
        Reason.NOT_A_REGULAR_FILE,
        Reason.PLACEHOLDER,
        Reason.VANISHED,
        Reason.EXISTS,
    }
)


class PhotoError(CutoutError):
    """One photo cannot be turned into a cutout; the original stays where it is."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(
        self, reason: Reason, what: str, path: str | bytes | Path | None = None, fix: str = ""
    ) -> None:
        super().__init__(what, path, fix)
        self.reason = reason
        self.args = (reason, what, path, fix)  # so that it survives pickling between processes


class PhotoChangedError(CutoutError):
    """The file changed while it was read: not an attempt, it is simply read again."""

    exit_code = ExitCode.SOME_FAILED


class OutboxError(CutoutError):
    """The outbox cannot take files now (full, gone, read-only): its inbox pauses, nothing is failed."""

    exit_code = ExitCode.FOLDER
