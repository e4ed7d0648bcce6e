from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from cutoutd.config.limits import Limits


def test_sizes_and_times_are_read_with_their_units() -> None:
    limits = Limits.model_validate({"max_bytes": "50 MB", "time_per_photo": "2m"})
    assert (limits.max_bytes, limits.time_per_photo) == (50 * 10**6, 120)


@pytest.mark.parametrize("least", [{"worker_memory": "799 MB"}, {"max_bytes": 0}, {"photos_in_flight": 0}])
def test_what_no_photo_could_be_done_with_is_refused(least: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(least)


@pytest.mark.slow
def test_what_workers_import_leaves_the_other_tables_alone() -> None:
    """They take a tenth of a worker's start."""
    code = (
        "import sys; import cutoutd.daemon.workers.job, cutoutd.models.cutout; "
        "sys.exit('cutoutd.config.settings' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
