"""Every output and matte option has a flag, and what flags say is what a configuration would say."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from cutoutd.config.errors import UsageError
from cutoutd.config.matte import Matte
from cutoutd.config.output import Output
from cutoutd.service.cli.control import redo
from cutoutd.service.cli.once import once
from cutoutd.service.cli.option_flags import (
    deliverables,
    fixes_of,
    matte_options,
    output_and_matte_flags,
    output_options,
)

seen: dict[str, Any] = {}


@click.command()
@output_and_matte_flags
def command(**values: Any) -> None:
    seen.clear()
    seen.update(values)


def values(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return dict(seen)


def test_every_option_has_a_flag() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for model in (Output, Matte):
        for name in model.model_fields:
            if name not in ("preset", "engine"):
                assert f"--{name.replace('_', '-')}" in text
    assert "--edge-engine" in text


def test_flags_become_what_the_config_would_hold() -> None:
    given = values("--format", "jpeg", "--background", "white", "--max-size", "800", "--edge-engine", "plain")
    assert output_options(given) == {"format": "jpeg", "background": "white", "max_size": 800}
    (order,) = deliverables(given, ())
    assert (order.format, order.background, order.max_size) == ("jpeg", "white", 800)
    assert matte_options(given) == Matte(engine="plain")


def test_what_is_not_given_is_the_default() -> None:
    assert output_options(values()) == {}
    assert matte_options(values()) == Matte()


def test_yes_and_no_have_a_flag_each() -> None:
    assert output_options(values("--lossless", "--format", "webp"))["lossless"] is True
    assert output_options(values("--no-lossless", "--format", "webp"))["lossless"] is False


def test_keep_takes_points_beside_a_word_and_not_two_words() -> None:
    both = values("--keep", "largest", "--keep", "12,30", "--keep", "5%,6%")
    assert matte_options(both).keep == "largest"
    assert fixes_of(both).keep == ("12,30", "5%,6%")
    assert matte_options(values("--keep", "12,30")).model_fields_set == set()
    with pytest.raises(UsageError, match="all and largest"):
        matte_options(values("--keep", "all", "--keep", "largest"))
    with pytest.raises(UsageError, match="here"):
        fixes_of(values("--keep", "here,there"))


def test_keep_takes_a_number_or_a_word() -> None:
    assert matte_options(values("--keep", "3")).keep == 3
    assert matte_options(values("--keep", "largest")).keep == "largest"


def test_a_pack_is_several_orders_with_names_of_their_own() -> None:
    orders = deliverables(values(), ("marketplaces",))
    assert len(orders) > 2
    assert len({order.label for order in orders}) == len(orders)
    assert all("{deliverable}" in order.name for order in orders)
    (single,) = deliverables(values("--max-size", "64"), ("web",))
    assert (single.max_size, "{deliverable}" in single.name) == (64, False)


def test_a_users_preset_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    (order,) = deliverables(values(), ("shop",), {"shop": {"preset": "web", "max_size": 32}})
    assert order.max_size == 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--quality", "many"), "--quality"),
        (("--quality", "fast"), "once --model"),  # as an inbox has it
        (("--format", "gif"), "--format"),
        (("--background", "no colour"), "--background"),
    ],
)
def test_a_bad_value_names_its_flag(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        deliverables(values(*arguments), ())
    assert "--help" in caught.value.fix


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "jpeg"), "write --background white, or --format png"),
        (("--format", "jpeg", "--lossless"), "write --format webp or png, or leave lossless out"),
        (("--background", "photo", "--margin", "10px"), "write --trim too"),
        (("--format", "tiff", "--bits", "16"), "^--bits 16 keeps the colours as they are: write --colour keep-profile"),
    ],
)  # fmt: skip
def test_what_to_write_instead_is_said_as_it_is_typed(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        deliverables(values(*arguments), ())


def test_a_bad_value_is_said_as_in_a_configuration() -> None:
    with pytest.raises(
        UsageError, match=r'^--keep: "banana" is not "auto", "all", "largest" or a whole number'
    ):
        matte_options(values("--keep", "banana"))


@pytest.mark.parametrize("called", [once, redo])
def test_help_has_options_of_one_kind_together(called: click.Command) -> None:
    context = click.Context(called)
    text = called.get_help(context)
    _, _, rest = text.partition("\nWhat the cutout looks like:\n")
    picture, _, subject = rest.partition("\nWhat belongs to the subject, and its edge:\n")
    assert [word for word in ("--all", "--out", "--help") if word in picture + subject] == []
    assert "--background " in picture
    assert "--keep " in subject
    assert "--remove " in subject
    options = [one for one in called.get_params(context) if isinstance(one, click.Option)]
    assert [one.opts for one in options if not any(f" {flag}" in text for flag in one.opts)] == []
    assert "PATHS..." not in text.partition("Options:")[2]
