"""Keeps what photos are called out of logs, notifications and errors where `log.filenames` says so; it logs nothing.

Names reach those texts by ways that nobody plans: an `OSError` quotes its file, a mistake quotes a key, a library
quotes what it was given. So nothing is asked of whoever writes a sentence: every text is filtered once, where it
leaves the daemon (`Listeners`, the log's handler, standard error). Where a name ends no sentence can tell, since a
name may hold anything that a sentence holds: what follows a folder's path is left out up to the end of its line.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Mapping
from typing import Any, cast

from cutoutd.config.errors import printable
from cutoutd.config.settings import Settings
from cutoutd.config.timeouts import run_with_timeout

# What stands for a name.
HIDDEN = "…"
# A folder on a mount that hangs must not keep the daemon from its start; its links are then not followed.
_LOOK_S = 1.0

_QUOTED = r"""b?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
# `PermissionError: [Errno 13] Permission denied: b'a.jpg'`, or any other exception's words after its type.
_EXCEPTION = re.compile(
    r"\b((?:\w+\.)*\w*(?:Error|Exception|Warning|Interrupt|Exit|Unsafe\w*|Written))"
    r": (?:(\[Errno -?\d+\] [^:'\"\n]*)[^\n]*|[^\n]*)"
)
_SYSTEMS = re.compile(rf"(\[Errno -?\d+\] [^\n]*?)(?:(?:: | -> ){_QUOTED})+")
# A quotation stands by itself: an apostrophe within a word begins none.
_QUOTATION = re.compile(rf"(?<![\w'\"])({_QUOTED})(?!\w)")
# Names of originals on their way, and of those in the trash.
_OURS = re.compile(r"(\.original\.|/(?:\.?Trash(?:-\d+)?)/(?:\d+/)?(?:files|info)/)[^\n]*")


class LogNames(logging.Filter):
    """The filter; until it is told to, it hides nothing. It keeps every text on one line, whatever is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = False
        self._roots: tuple[str, ...] = ()
        self._below: re.Pattern[str] | None = None

    def follow(self, settings: Settings) -> None:
        """Takes up what the settings say, and which folders hold photos."""
        folders: set[str] = set()
        for inbox in settings.inbox:
            for folder in (inbox.path, inbox.outbox, inbox.after.archive, inbox.after.failed):
                if folder is not None:
                    told = os.fspath(folder)
                    folders |= {told, run_with_timeout(_LOOK_S, lambda at=told: os.path.realpath(at), told)}
        shown = {printable(folder.rstrip("/")) for folder in folders} - {""}
        self._roots = tuple(sorted(shown, key=len, reverse=True))
        below = "|".join(re.escape(root) for root in self._roots)
        # The manifest's name is ours, and the end of its line may say why it cannot be written.
        self._below = re.compile(rf"({below})/(?!manifest\.(?:jsonl|csv)\b)[^\n]*") if below else None
        self.hidden = not settings.log.filenames

    # --- texts -----------------------------------------------------------------------------------------------

    def line(self, text: str) -> str:
        """One line that only prints, without names where they are to be hidden."""
        return printable(self.hide(text))

    def hide(self, text: str) -> str:
        """The same text, of one line or several, without names where they are to be hidden."""
        if not self.hidden:
            return text
        text = _EXCEPTION.sub(
            lambda found: f"{found[1]}: {found[2].rstrip()}" if found[2] else found[1], text
        )
        text = _SYSTEMS.sub(r"\1", text)
        text = _QUOTATION.sub(self._quotation, text)
        if self._below is not None:
            text = self._below.sub(rf"\1/{HIDDEN}", text)
        return _OURS.sub(rf"\1{HIDDEN}", text)

    def _quotation(self, found: re.Match[str]) -> str:
        """Folders that the user configured may be quoted, and everything above them."""
        inner = found[1].lstrip("b")[1:-1]
        named = inner in self._roots or any(root.startswith(f"{inner.rstrip('/')}/") for root in self._roots)
        return found[1] if named else f"'{HIDDEN}'"

    def value(self, value: Any) -> Any:
        """Every text in plain values: in lists, tables' values, anywhere."""
        if isinstance(value, str):
            return self.line(value)
        if isinstance(value, Mapping):
            return {key: self.value(one) for key, one in cast("Mapping[Any, Any]", value).items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in cast("list[Any]", value)]
        return value

    # --- the log -----------------------------------------------------------------------------------------------

    def filter(self, record: logging.LogRecord) -> bool:
        """For the log's handler: the record's words on one line, and what is said of its exception."""
        if self.hidden and isinstance(record.args, tuple):
            record.args = tuple(_kind(one) if isinstance(one, BaseException) else one for one in record.args)
        record.msg, record.args = self.line(record.getMessage()), None
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.exc_text = self.told(error)
        elif record.exc_text:
            record.exc_text = self.hide(record.exc_text)
        record.exc_info = None
        record.stack_info = None
        return True

    def told(self, error: BaseException) -> str:
        """Where an exception came from, and its words; where names are hidden, only of what kind it is."""
        if not self.hidden:
            text = "".join(traceback.format_exception(error)).rstrip("\n")
            return "\n".join(printable(one) for one in text.split("\n"))
        lines: list[str] = []
        seen: set[int] = set()
        at: BaseException | None = error
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            frames = [
                line for one in traceback.format_tb(at.__traceback__) for line in one.rstrip("\n").split("\n")
            ]
            lines = [*frames, _kind(at), *(["which led to:"] if lines else []), *lines]
            at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        return "\n".join(printable(one) for one in lines)


def _kind(error: BaseException) -> str:
    """What kind of exception it is, and the system's words for it."""
    kind = type(error).__name__
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and type(error) in _PLAIN else kind


def _kinds(kind: type[OSError]) -> set[type[OSError]]:
    """Python's own kinds of OSError, whose `strerror` is the system's and not somebody's sentence."""
    found = {kind} if kind.__module__ == "builtins" else set[type[OSError]]()
    return found.union(*(_kinds(one) for one in kind.__subclasses__()))


_PLAIN = _kinds(OSError)
