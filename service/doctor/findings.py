"""What a look at the machine found, as the doctor says it; it looks at nothing."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from cutoutd.config.errors import ExitCode

Level = Literal["ok", "note", "warning", "error"]


class Finding(Struct, frozen=True):
    """One thing that was looked at.

    `code` is the exit code of the whole command when this is an error and the first one.
    """

    area: str
    level: Level
    what: str
    fix: str = ""
    code: ExitCode = ExitCode.FOLDER
