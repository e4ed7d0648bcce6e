"""Rules between settings that pydantic's bounds cannot say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cutoutd.config.load import parse_settings
from cutoutd.config.rules import unpack_deliverable
from cutoutd.config.settings import Settings

INBOX = {"path": "/in", "outbox": "/out"}


def test_defaults_are_those_of_the_design() -> None:
    settings = Settings.model_validate({"inbox": [INBOX]})
    assert (settings.limits.photos_in_flight, settings.limits.megapixels_in_flight) == (32, 400)
    assert (settings.limits.max_megapixels, settings.limits.max_bytes) == (150, 10**9)
    assert settings.limits.time_per_photo == 120
    assert settings.history.keep == 30 * 86400
    (inbox,) = settings.inbox
    assert (inbox.settle, inbox.settle_unhinted, inbox.settle_polled, inbox.rescan_every) == (0.3, 2, 5, 300)
    assert settings.engine.sandbox


def test_settings_never_change_after_loading() -> None:
    settings = Settings.model_validate({"inbox": [INBOX]})
    with pytest.raises(ValidationError, match="frozen"):
        settings.engine.nice = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_an_inbox_without_deliverables_owes_its_output() -> None:
    (order,) = (
        Settings.model_validate({"inbox": [{**INBOX, "output": {"format": "webp"}}]}).inbox[0].deliverables()
    )
    assert (order.format, order.label) == ("webp", "cutout")


def test_what_was_given_of_an_output_is_given_of_its_deliverable() -> None:
    """Rules add to what was given alone; a default that is written out is given."""
    for output in ({}, {"format": "png"}, {}):
        inbox = Settings.model_validate({"inbox": [{**INBOX, "output": output}]}).inbox[0]
        (deliverable,) = inbox.deliverables()
        assert deliverable.format == "png"
        assert deliverable.model_fields_set == set(output)


def test_two_deliverables_cannot_share_a_label() -> None:
    twice = {**INBOX, "deliver": [{"label": "web"}, {"label": "WEB"}]}
    with pytest.raises(ValidationError, match="two deliverables are called web"):
        Settings.model_validate({"inbox": [twice]})


def test_label_is_the_name_or_the_folders() -> None:
    settings = parse_settings(
        '[[inbox]]\npath="/a/studio"\noutbox="/o"\n[[inbox]]\npath="/b"\noutbox="/o"\nname="B"'
    )
    assert [inbox.label for inbox in settings.inbox] == ["studio", "B"]


def test_a_pack_with_a_label_keeps_labels_distinct() -> None:
    labels = [one["label"] for one in unpack_deliverable({"preset": "marketplaces", "label": "shop"})]
    assert len(set(labels)) == len(labels) > 1
    assert all(label.startswith("shop ") for label in labels)
