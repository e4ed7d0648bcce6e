from __future__ import annotations

import pytest

from cutoutd.config.errors import ModelError
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import FAST
from cutoutd.models.networks.ready import ready


@pytest.mark.slow
def test_a_network_is_loaded_once_and_uses_every_core() -> None:
    fast = ready("fast")
    assert ready("fast") is fast
    assert fast.spec.name == FAST
    assert fast._threads == cores()  # pyright: ignore[reportPrivateUsage]


def test_an_unknown_name_says_what_it_may_mean() -> None:
    with pytest.raises(ModelError, match="no model called 'isnte'"):
        ready("isnte")
