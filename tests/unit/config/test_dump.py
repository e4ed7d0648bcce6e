"""Settings in force read back as themselves."""

from __future__ import annotations

import re
import tomllib

import pytest

from cutoutd.config import reference
from cutoutd.config.dump import to_toml
from cutoutd.config.load import parse_settings

GOOD = '[[inbox]]\npath = "/in"\noutbox = "/out"\n'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + 'umask = "077"\nsettle = "750ms"\ninclude = ["a b/*.jpg"]\n[inbox.matte]\nkeep = 2\n',
        GOOD
        + '[[inbox.deliver]]\npreset = "marketplaces"\n[[inbox.deliver]]\nlabel = "mine"\npreset = "x y"\n'
        '[preset."x y"]\nquality = 7\nmargin = "5%"\n',
        GOOD + '[engine]\nproviders = ["openvino", "cpu"]\n[service]\nmemory_max = "1.5GB"\n',
        re.sub(r"^#(?=\w+ = |\[)", "", reference.sample("/in", "/out"), flags=re.MULTILINE),
    ],
)
def test_what_is_shown_reads_back_the_same(text: str) -> None:
    settings = parse_settings(text)
    shown = to_toml(settings)
    assert parse_settings(shown) == settings
    assert to_toml(parse_settings(shown)) == shown


def test_every_table_is_shown() -> None:
    shown = tomllib.loads(to_toml(parse_settings(GOOD)))
    assert {"inbox", "limits", "engine", "history", "log", "notify", "metrics", "service"} <= set(shown)
    assert shown["inbox"][0]["output"]["format"] == "png"
