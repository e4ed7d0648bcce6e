"""Whose trouble an error in an outbox is."""

from __future__ import annotations

import errno

import pytest

from cutoutd.daemon.delivery.outcomes import (
    MOST_TROUBLES,
    OF_THE_NAME,
    OF_THE_PLACE,
    OF_THE_WHOLE,
    MadeAgain,
    NameRefused,
    OutboxTrouble,
    PlaceRefused,
    Troubles,
    is_trouble_of_the_outbox,
)

OUT = b"/out"


def error(code: int) -> OSError:
    return OSError(code, "why")


@pytest.mark.parametrize(
    ("code", "outbox"),
    [*((code, True) for code in sorted(OF_THE_WHOLE)), (errno.EROFS, True), (errno.EINVAL, False)],
)
def test_which_errors_are_the_folders(code: int, outbox: bool) -> None:
    assert is_trouble_of_the_outbox(code) is outbox


def test_no_error_is_the_names_and_the_places() -> None:
    assert not OF_THE_NAME & OF_THE_PLACE


@pytest.mark.parametrize("code", sorted(OF_THE_NAME | OF_THE_PLACE))
def test_a_name_or_a_folder_is_at_fault_at_once(code: int) -> None:
    assert Troubles().is_its_own(1, error(code))


def test_one_photo_that_fails_while_the_outbox_takes_others_is_at_fault_itself() -> None:
    troubles = Troubles()
    told = [troubles.is_its_own(1, error(errno.EIO)) for _ in range(MOST_TROUBLES)]
    assert told == [False] * (MOST_TROUBLES - 1) + [True]
    assert not troubles.is_its_own(1, error(errno.EIO)), "it is counted anew"


def test_what_went_well_and_other_photos_do_not_count() -> None:
    troubles = Troubles()
    for _ in range(MOST_TROUBLES - 1):
        troubles.is_its_own(1, error(errno.EIO))
    assert not troubles.is_its_own(2, error(errno.EIO))
    troubles.went_well(1)
    assert not troubles.is_its_own(1, error(errno.EIO))


def test_a_name_that_is_refused_is_tried_once_more_in_plain_characters() -> None:
    troubles = Troubles()
    assert not troubles.refuses_characters(OUT)
    first = troubles.outcome(error(errno.EILSEQ), OUT, its_own=True, plain=False)
    assert (first, troubles.refuses_characters(OUT)) == (MadeAgain(), True)
    assert not troubles.refuses_characters(b"/other")
    assert troubles.outcome(error(errno.EILSEQ), OUT, its_own=True, plain=True) == NameRefused("why")


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.ELOOP])
def test_plainer_characters_make_no_name_shorter(code: int) -> None:
    troubles = Troubles()
    assert troubles.outcome(error(code), OUT, its_own=True, plain=False) == NameRefused("why")
    assert not troubles.refuses_characters(OUT)


def test_a_place_and_an_outbox_are_told_apart() -> None:
    troubles = Troubles()
    place = troubles.outcome(error(errno.EACCES), OUT, its_own=True, plain=False)
    assert place == PlaceRefused(errno.EACCES, "why")
    assert troubles.outcome(error(errno.ENOSPC), OUT, its_own=False, plain=False) == OutboxTrouble("why")
    unforeseen = troubles.outcome(error(errno.EBADF), OUT, its_own=False, plain=False)
    assert isinstance(unforeseen, OutboxTrouble)
    assert "OSError" in unforeseen.why
