"""Where files lie that tests read and the project does not hold: beside it, or where a variable says; reads none."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder(name: str, variable: str) -> Path:
    """The folder that the environment variable names; else `shared/<name>` beside the project or a folder above it.

    Where there is none, a path that does not exist: tests skip then.
    """
    said = os.environ.get(variable)
    if said:
        return Path(said)
    project = Path(__file__).resolve().parents[2]
    places = [parent / "shared" / name for parent in project.parents]
    return next((place for place in places if place.is_dir()), places[0])
