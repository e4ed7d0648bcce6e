from __future__ import annotations

import pytest

from cutoutd.config import names


@pytest.mark.parametrize("template", ["{stem}", "{date} {counter}-{hash}", "lot {stem}_{deliverable}"])
def test_names_of_known_fields_are_kept_as_written(template: str) -> None:
    assert names.check_name(template) == template


@pytest.mark.parametrize(
    ("template", "word"),
    [("{who}", "{stem}"), ("{stem", "brace"), ("a/b", "slash"), (".x", "hidden"), ("a.tiff", "extension")],
)
def test_a_bad_name_is_refused_with_what_is_wrong(template: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        names.check_name(template)


@pytest.mark.parametrize("template", ["../up", "/abs", "{stem}", ".hidden/x", "a//b"])
def test_a_folder_stays_inside_the_outbox(template: str) -> None:
    with pytest.raises(ValueError, match=r"outbox|plain name|not known"):
        names.check_folder(template)
    assert names.check_folder("web/{date}") == "web/{date}"


@pytest.mark.parametrize("folder", ["../up", "/abs", ".hidden", "{date}", "{deliverable}/look"])
def test_a_folder_for_every_photo_is_plain_and_inside_the_outbox(folder: str) -> None:
    with pytest.raises(ValueError, match=r"outbox|plain name|same for every photo"):
        names.check_plain_folder(folder)
    assert names.check_plain_folder("to look at/now") == "to look at/now"
    assert not names.check_plain_folder("")


@pytest.mark.parametrize("label", ["", "-x", "a/b", "x" * 65])
def test_a_label_is_short_and_plain(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        names.check_label(label)
    assert names.check_label("shop white-2") == "shop white-2"
