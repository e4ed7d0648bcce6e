"""What holds for each table of the configuration."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from cutoutd.config.section import Section


class _Table(Section):
    size: int = Field(default=3, ge=1)


def test_a_key_that_nobody_declared_is_an_error() -> None:
    with pytest.raises(ValidationError, match="sise"):
        _Table.model_validate({"sise": 3})


def test_values_never_change_after_loading() -> None:
    table = _Table()
    with pytest.raises(ValidationError, match="frozen"):
        table.size = 4  # type: ignore[misc]
    assert table.size == 3


def test_a_default_must_be_valid_too() -> None:
    class Wrong(Section):
        size: int = Field(default=0, ge=1)

    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Wrong()
