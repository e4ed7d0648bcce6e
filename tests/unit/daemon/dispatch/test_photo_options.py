"""A photo's options: its inbox's, and what a `redo` may change in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import Fixes
from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.daemon.dispatch.photo_options import meant_by, options_for
from cutoutd.daemon.ledger.overrides import NO_OVERRIDES, Overrides


def settings_of(tmp_path: Path, *inboxes: str, top: str = "") -> Settings:
    """Settings with these inboxes, their folders called after their number."""
    text = top
    for number, body in enumerate(inboxes):
        text += f'\n[[inbox]]\npath = "{tmp_path / f"in{number}"}"\noutbox = "{tmp_path / f"out{number}"}"\n{body}\n'
    return parse_settings(text)


TWO = '[[inbox.deliver]]\nlabel = "master"\n[[inbox.deliver]]\nlabel = "web"\nformat = "webp"'
WHITE_JPEG = '[inbox.output]\nformat = "jpeg"\nbackground = "white"'


def test_overrides_of_a_redo_change_that_photo_alone(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, TWO)
    inbox, limits = settings.inbox[0], settings.limits
    assert [one.label for one in options_for(inbox, limits, NO_OVERRIDES).deliverables] == ["master", "web"]
    only = options_for(
        inbox, limits, Overrides.of({"deliverable": "web", "output": {"background": "#ffffff"}})
    )
    assert [(one.label, str(one.format)) for one in only.deliverables] == [("web", "webp")]
    assert only.deliverables[0].background == "#ffffff"
    assert options_for(inbox, limits, Overrides.of({"matte": {"edge": "crisp"}})).matte.edge == "crisp"
    assert inbox.deliverables()[1].background != "#ffffff"
    points = options_for(inbox, limits, Overrides.of({"fixes": {"keep": ["5%,6%"], "remove": ["7,8"]}})).fixes
    assert points == Fixes(keep=("5%,6%",), remove=("7,8",))
    assert options_for(inbox, limits, Overrides.of({"mask": "0f" * 16})).mask == "0f" * 16


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"output": {"background": "transparent"}}, "JPEG has no transparency"),
        ({"deliverable": "thumb"}, "These are: cutout"),
        ({"fixes": {"keep": ["nowhere"]}}, "is no point"),
        ({"mask": "../../etc/passwd"}, "no name of ours"),
        ({"output": {"fit": "head"}}, "needs a shape to crop to"),
    ],
)
def test_overrides_that_contradict_the_inbox_are_named(
    tmp_path: Path, overrides: dict[str, Any], words: str
) -> None:
    settings = settings_of(tmp_path, WHITE_JPEG)
    with pytest.raises(UsageError, match=words):
        options_for(settings.inbox[0], settings.limits, Overrides.of(overrides))


def test_what_the_inbox_supplies_need_not_be_said_again(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[inbox.output]\nfit = "head"\nsize = "35x45mm"')
    made = options_for(
        settings.inbox[0], settings.limits, Overrides.of({"output": {"head_height": 60}})
    ).deliverables[0]
    assert (made.fit, made.head_height) == ("head", 60)


def test_photos_of_each_inbox_are_judged_by_its_own_options(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, WHITE_JPEG, "")
    meant = meant_by(settings, Overrides.of({"output": {"background": "transparent"}}))
    assert meant(os.fsencode(tmp_path / "in1"), b"a.jpg")
    with pytest.raises(UsageError, match="JPEG has no transparency"):
        meant(os.fsencode(tmp_path / "in0"), b"a.jpg")
    assert meant(b"/no/longer/configured", b"a.jpg")


def test_inboxes_without_the_deliverable_are_not_meant(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, TWO, WHITE_JPEG)
    meant = meant_by(settings, Overrides.of({"deliverable": "web"}))
    assert [meant(os.fsencode(tmp_path / name), b"a.jpg") for name in ("in0", "in1")] == [True, False]
    with pytest.raises(UsageError, match="master, web, cutout"):
        meant_by(settings, Overrides.of({"deliverable": "wed"}))


def test_only_pictures_that_workers_may_read_are_taken_as_backgrounds(tmp_path: Path) -> None:
    named, inside, elsewhere = (tmp_path / name for name in ("sky.png", "in0/sky.png", "other/sky.png"))
    body = f'[inbox.output]\nbackground = "{named}"'
    settings = settings_of(tmp_path, body)
    key = os.fsencode(tmp_path / "in0")
    assert meant_by(settings, Overrides.of({"output": {"background": str(named)}}))(key, b"a.jpg")
    assert meant_by(settings, Overrides.of({"output": {"background": str(inside)}}))(key, b"a.jpg")
    with pytest.raises(UsageError, match="its configuration names"):
        meant_by(settings, Overrides.of({"output": {"background": str(elsewhere)}}))(key, b"a.jpg")
    for sandbox in ("false", '"network"'):
        open_wide = settings_of(tmp_path, body, top=f"[engine]\nsandbox = {sandbox}\n")
        assert meant_by(open_wide, Overrides.of({"output": {"background": str(elsewhere)}}))(key, b"a.jpg")


RULED = TWO + "\n" + '[[inbox.rule]]\nmatch = "shoes/**"\npreset = "web"\n'


def test_a_rule_decides_what_a_photo_becomes_and_what_redo_means(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, RULED)
    inbox, limits = settings.inbox[0], settings.limits
    assert [one.label for one in options_for(inbox, limits, NO_OVERRIDES, b"shoes/a.jpg").deliverables] == [
        "web"
    ]
    assert [one.label for one in options_for(inbox, limits, NO_OVERRIDES, b"hats/a.jpg").deliverables] == [
        "master",
        "web",
    ]
    meant = meant_by(settings, Overrides.of({"deliverable": "master"}))
    key = os.fsencode(tmp_path / "in0")
    assert [meant(key, path) for path in (b"hats/a.jpg", b"shoes/a.jpg")] == [True, False]
