"""The words for doubt are the same for everybody who tells them, and cost nothing to know."""

from __future__ import annotations

import subprocess
import sys

from cutoutd.models.networks.doubt import Doubt


def test_they_are_short_and_plain_enough_to_stand_in_a_list() -> None:
    for doubt in Doubt:
        assert len(doubt) < 50
        assert doubt.isprintable()
        assert not set(doubt) & set(",;()\n"), doubt


def test_who_knows_them_loads_no_pixels() -> None:
    heavy = "('numpy', 'PIL', 'onnxruntime')"
    code = f"import sys, cutoutd.models.networks.doubt; print([one for one in {heavy} if one in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
