"""What is remembered and told: nothing leaves the daemon unasked, and no figure floods anybody."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cutoutd.config.reporting import History, Log, Metrics, Notify
from cutoutd.config.section import Section


def test_nobody_is_told_unless_the_user_says_so() -> None:
    assert not (Notify().done)
    assert not (Notify().failed)
    assert Metrics().textfile is None


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        (Notify, "at_most_every", 0.5),
        (Metrics, "every", 0),
        (History, "keep", -1),
        (Log, "level", "loud"),
        (History, "filenames", "no"),
    ],
)
def test_what_floods_or_means_nothing_is_refused(table: type[Section], key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        table.model_validate({key: value})
