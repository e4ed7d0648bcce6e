"""What is said of a photo that is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cutoutd.config.errors import PhotoError, Reason
from cutoutd.models.decoding import refusals


@pytest.mark.parametrize(
    ("refusal", "again"),
    [
        (refusals.incomplete, True),
        (refusals.damaged, True),
        (refusals.overpacked, True),
        (refusals.larger_than_said, True),
        (refusals.not_read, False),  # another copy would not help
    ],
)
def test_each_names_the_format_the_detail_and_what_helps(
    refusal: Callable[[str, str], PhotoError], again: bool
) -> None:
    error = refusal("TIFF", "strip 3")
    assert error.reason is Reason.UNREADABLE
    assert "TIFF" in error.what
    assert error.what.endswith("(strip 3)")
    assert (error.fix == refusals.AGAIN) is again
    assert "(" not in refusal("TIFF", "").what


def test_a_variant_may_have_a_way_out_of_its_own() -> None:
    assert refusals.not_read("RAW", fix="Convert it to DNG.").fix == "Convert it to DNG."


def test_nothing_to_be_seen_is_no_damage() -> None:
    assert refusals.invisible().reason is Reason.NO_SUBJECT
