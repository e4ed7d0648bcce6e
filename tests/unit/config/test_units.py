"""Durations, sizes and folders as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.config.units import expand_path, format_bytes, format_duration, parse_bytes, parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("750ms", 0.75),
        ("10s", 10),
        ("5m", 300),
        ("1h30m", 5400),
        ("30d", 30 * 86400),
        ("1.5 h", 5400),
        (7, 7),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "fast", "10", "-3s", "3 weeks", "1s later", "s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("500KB", 500_000), ("2GiB", 2 * 2**30), ("1.5 MB", 1_500_000), ("12b", 12), (99, 99)],
)
def test_sizes(text: object, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "big", "200", "5 TB", "MB", "-1KB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: write"):
        parse_bytes(text)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "9" * 400 + "s", "40000d", 1e300])
def test_nothing_waits_for_ever(value: object) -> None:
    with pytest.raises(ValueError, match="is too long: write at most 36500d"):
        parse_duration_s(value)


@pytest.mark.parametrize("value", [10**400, "9" * 400 + "GB", float("inf"), float("nan")])
def test_sizes_are_finite(value: object) -> None:
    with pytest.raises(ValueError, match="is too large: write at most"):
        parse_bytes(value)


def test_true_is_neither_a_second_nor_a_byte() -> None:
    with pytest.raises(ValueError, match="true is not a duration"):
        parse_duration_s(True)
    with pytest.raises(ValueError, match="false is not a size"):
        parse_bytes(False)


def test_a_path_with_a_null_character_is_none() -> None:
    with pytest.raises(ValueError, match="null character"):
        expand_path("/srv/\0")


@given(st.integers(min_value=0, max_value=10**9))
def test_durations_survive_being_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration_s(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(min_value=0, max_value=10**15))
def test_sizes_survive_being_written(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == count


def test_paths_expand_home_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SHOOT", "wedding")
    assert expand_path("~/in/$SHOOT") == Path("/home/ann/in/wedding")
    assert expand_path("in", Path("/etc/cutoutd")) == Path("/etc/cutoutd/in")
    assert expand_path("../in", Path("/etc/cutoutd")) == Path("/etc/in")


@pytest.mark.parametrize(("text", "sentence"), [("  ", "the path is empty"), ("$NO_SUCH_THING/x", "not set")])
def test_paths_that_lead_nowhere(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        expand_path(text)
