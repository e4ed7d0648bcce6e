"""The wheels that packages are made of, for tests; where they cannot be had the test says so and is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import wheels as made

built_wheel = made.built_wheel


def wheelhouse(python_version: str = "3.11") -> Path:
    """A folder with the wheels of everything that cutoutd needs, in the locked versions."""
    try:
        return made.wheelhouse(python_version)
    except made.NoWheelsError as error:
        pytest.skip(f"the wheels for the machine cannot be had: {error}")
