"""A wrong configuration in sentences: every mistake at its place, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cutoutd.config.explain import field_at, key_text, problems_of, tables, true_place, unknown_option
from cutoutd.config.limits import Limits
from cutoutd.config.settings import Inbox, Settings


def said(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(document)
    return {key_text(one.place): one.message for one in problems_of(caught.value)}


INBOX = {"path": "/in", "outbox": "/out"}


def test_places_are_counted_as_people_count() -> None:
    assert key_text(("inbox", 0, "after", "action")) == "inbox[1].after.action"
    assert key_text(()) == ""


@pytest.mark.parametrize(
    ("document", "place", "words"),
    [
        ({"inbox": [{**INBOX, "settel": 1}]}, "inbox[1].settel", 'did you mean "settle"?'),
        ({"inbox": [INBOX], "limits": {"photos_in_flight": 0}}, "limits.photos_in_flight", "at least 1"),
        ({"inbox": [INBOX], "limits": {"max_megapixels": "many"}}, "limits.max_megapixels", "number"),
        ({"inbox": [{**INBOX, "order": "newst"}]}, "inbox[1].order", '"newest"'),
        ({"inbox": [{**INBOX, "recursive": "perhaps"}]}, "inbox[1].recursive", "true or false"),
        ({"inbox": [{"outbox": "/out"}]}, "inbox[1].path", ""),
        (
            {"inbox": [{**INBOX, "priority": 10**400}]},
            "inbox[1].priority",
            "this number is too large: at most",
        ),
        ({"inbox": [{**INBOX, "rescan_every": True}]}, "inbox[1].rescan_every", "true is not a duration"),
        ({"inbox": [{**INBOX, "settle": float("inf")}]}, "inbox[1].settle", "is too long"),
        ({"inbox": [INBOX], "limits": {"worker_memory": True}}, "limits.worker_memory", "true is not a size"),
        ({"inbox": [INBOX], "limits": {"max_bytes": "9" * 400 + "GB"}}, "limits.max_bytes", "is too large"),
        ({"inbox": [{**INBOX, "after": {"archive": "\0"}}]}, "inbox[1].after.archive", "null character"),
    ],
)
def test_each_mistake_is_named_at_its_place(document: dict[str, Any], place: str, words: str) -> None:
    found = said(document)
    assert list(found) == [place]
    assert words in found[place]


def test_all_mistakes_come_at_once() -> None:
    found = said({"inbox": [INBOX, {**INBOX, "setle": 1}], "limits": {"max_bytes": -1}, "colour": "red"})
    assert set(found) == {"inbox[2].setle", "limits.max_bytes", "colour"}


def test_an_option_in_the_wrong_table_is_sent_home() -> None:
    assert "it belongs under [limits]" in unknown_option(Inbox, "photos_in_flight")
    assert unknown_option(Inbox, "qqqq") == "there is no such option here"
    assert 'did you mean "max_bytes"' in unknown_option(Limits, "max_byte")


def test_every_table_is_found_with_its_header() -> None:
    headers = [header for header, _ in tables()]
    assert headers[0] == "the top of the file"
    assert {"[[inbox]]", "[inbox.after]", "[limits]"} <= set(headers)
    assert len(headers) == len(set(headers))


def test_tags_of_unions_are_no_part_of_the_document() -> None:
    assert true_place(Settings, ("inbox", 0, "path")) == ("inbox", 0, "path")
    assert field_at(Settings, ("inbox", 0, "path")) is Inbox.model_fields["path"]
    assert field_at(Settings, ("inbox", 0, "nothing")) is None
