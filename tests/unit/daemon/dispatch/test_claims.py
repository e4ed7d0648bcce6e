"""How often a worker is believed what nobody else sees."""

from __future__ import annotations

from cutoutd.daemon.dispatch.claims import MOST_CLAIMS, Claims


def test_so_many_claims_are_enough_and_then_counting_begins_anew() -> None:
    claims = Claims()
    for _ in range(2):
        assert [claims.unseen(1) for _ in range(MOST_CLAIMS)] == [False] * (MOST_CLAIMS - 1) + [True]


def test_what_turned_out_to_be_true_is_forgotten() -> None:
    claims = Claims()
    for _ in range(3 * MOST_CLAIMS):
        assert not claims.unseen(1)
        claims.forget(1)


def test_each_photo_is_counted_for_itself() -> None:
    claims = Claims()
    for _ in range(MOST_CLAIMS - 1):
        claims.unseen(1)
    assert not claims.unseen(2)
    assert claims.unseen(1)
