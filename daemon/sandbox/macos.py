"""The macOS sandbox profile of a process, applied by one call; nothing here runs on other platforms.

Not tested on a Mac by us: `profile` is tested as text, `apply` is the documented-by-use `sandbox_init` of
libSystem, which Apple marks deprecated and keeps. Its failure is reported, never assumed away.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path


def profile(*, keep_unix: bool, write: Iterable[Path] | None) -> str:
    """The profile text: no network (but local sockets if kept), and writing only beneath `write`.

    Args:
        keep_unix: allow AF_UNIX sockets, through which system services are reached.
        write: folders where files may be created and written; None leaves files alone.
    """
    rules = ["(version 1)", "(allow default)", "(deny network*)"]
    if keep_unix:
        rules.append("(allow network* (local unix-socket) (remote unix-socket))")
    if write is not None:
        rules.append("(deny file-write*)")
        rules += [f"(allow file-write-create file-write-data (subpath {_quoted(path)}))" for path in write]
        rules.append('(allow file-write-data (literal "/dev/null"))')
    return "\n".join(rules)


def _quoted(path: Path) -> str:
    """A path as a string of the profile language."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def apply(text: str) -> None:
    """Confines this process for good.

    Raises:
        OSError: macOS refused the profile, or the process has one already.
    """
    library = ctypes.CDLL("/usr/lib/libSystem.dylib", use_errno=True)
    message = ctypes.c_char_p()
    if library.sandbox_init(text.encode(), ctypes.c_uint64(0), ctypes.byref(message)) != 0:
        sentence = (message.value or b"no reason given").decode("utf-8", "replace")
        library.sandbox_free_error(message)
        raise OSError(ctypes.get_errno(), f"sandbox_init: {sentence}")
