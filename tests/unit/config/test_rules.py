from __future__ import annotations

import pytest

from cutoutd.config import dump
from cutoutd.config.errors import ConfigError
from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings

INBOX = '[[inbox]]\npath = "/in"\noutbox = "/out"\n'
RULE = INBOX + "[[inbox.rule]]\n"


def settings_of(text: str) -> Settings:
    return parse_settings(text)


def test_a_rule_has_the_options_of_its_preset_or_pack() -> None:
    inbox = settings_of(
        '[preset.shop]\npreset = "web"\nmax_size = 99\n'
        + RULE
        + 'match = "a*"\npreset = "shop"\n[[inbox.rule]]\nmatch = "b*"\npreset = "marketplaces"\n'
    ).inbox[0]
    (shop,) = inbox.rule[0].deliver
    assert (shop.label, shop.format, shop.max_size, shop.name) == ("shop", "webp", 99, "{stem}")
    assert {one.name for one in inbox.rule[1].deliver} == {"{stem}-{deliverable}"}
    assert len({one.label for one in inbox.any_deliverables()}) == 7


def test_other_options_in_place_of_a_preset() -> None:
    text = RULE + 'match = "*.tif"\n[[inbox.rule.deliver]]\npreset = "web"\nmax_size = 50\n'
    (order,) = settings_of(text).inbox[0].rule[0].deliver
    assert (order.format, order.max_size) == ("webp", 50)


def test_what_is_shown_reads_back_to_the_same() -> None:
    settings = settings_of(
        RULE + 'match = "a*"\npreset = "marketplaces"\n[[inbox.rule]]\ncsv = "/orders.csv"\n'
    )
    assert settings_of(dump.to_toml(settings)) == settings


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ('match = "a*"', 4, 'preset = "NAME"'),
        ('preset = "web"', 4, "either match"),
        ('match = "a*"\ncsv = "x.csv"\npreset = "web"', 4, "either match"),
        ('csv = "x.csv"\npreset = "web"', 4, "the list itself"),
        ('match = "a*"\npreset = "wep"', 6, 'did you mean "web"'),
        ('match = "a*"\nprest = "web"', 6, 'did you mean "preset"'),
        ('match = "a*"\n[[inbox.rule.deliver]]\nformat = "jpeg"', 6, "JPEG has no transparency"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line(body: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(RULE + body + "\n")
    assert any(f":{line}: " in one and words in one for one in refused.value.problems), refused.value.problems
