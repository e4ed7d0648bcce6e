"""Paths on the command line: as click's, but an empty text is none."""

from __future__ import annotations

import os
from typing import Any

import click


class PathType(click.Path):
    """Refuses an empty text, which would mean the working folder; a script's variable that is not set comes so."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As click's; fails for an empty text."""
        if value in ("", b""):
            self.fail("an empty text names no file and no folder", param, ctx)
        return super().convert(value, param, ctx)
