"""Keeps the tests of one machine or image in one process of pytest-xdist.

pytest-xdist 3.8 writes a test's group behind its name, which pytest 9.1 and later no longer let it do: every process
then made the machine or image anew, all at the same time. Here the group is read from the test's file.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from xdist.scheduler import LoadGroupScheduling  # pyright: ignore[reportMissingTypeStubs]

_GROUP = re.compile(r'^ *pytest\.mark\.xdist_group\("(\w+)"\)', re.MULTILINE)


@functools.cache
def group_of(file: Path) -> str:
    """The group that a test file's `pytestmark` names, or ""."""
    found = _GROUP.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return found[1] if found else ""


class FileGroups(LoadGroupScheduling):
    """`--dist loadgroup`, with one group for all tests of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file = self.config.rootpath / nodeid.split("::", 1)[0]
        return group_of(file) or super()._split_scope(nodeid)
