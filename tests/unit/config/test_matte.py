from __future__ import annotations

import pytest
from pydantic import ValidationError

from cutoutd.config.matte import Matte


def test_a_region_that_is_none_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ValidationError, match="not the region's width and height"):
        Matte(roi="50% 50% 20% 20%")


@pytest.mark.parametrize("keep", ["auto", "all", "largest", 1, 40])
def test_subjects_that_stay_are_named_or_counted(keep: str | int) -> None:
    assert Matte.model_validate({"keep": keep}).keep == keep


@pytest.mark.parametrize("keep", ["most", 0, -1, 1.5])
def test_other_words_and_counts_are_refused(keep: object) -> None:
    with pytest.raises(ValidationError, match="keep"):
        Matte.model_validate({"keep": keep})
