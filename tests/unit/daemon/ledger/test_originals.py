"""Which originals are under way or still to be moved, by the rows of their photos."""

from __future__ import annotations

from tests.unit.daemon.ledger.rows_in_hand import BOX, a_delivery, deliver_all, running_photo

from cutoutd.daemon.ledger.originals import aftercare_owed, hidden, hidden_names, owed_elsewhere
from cutoutd.daemon.ledger.states import Aftercare
from cutoutd.daemon.ledger.transitions import Transitions


def test_aftercare_is_owed_per_inbox_and_what_failed_before_comes_last(transitions: Transitions) -> None:
    """Also after a start: the same few that always fail are not again the ones that are tried first."""
    ids = [running_photo(transitions, name).id for name in (b"a.jpg", b"b.jpg", b"c.jpg")]
    transitions.ledger.write("UPDATE photos SET state = 'done', aftercare = 'owed'")
    transitions.aftercare_failed(ids[0], "no space")
    assert aftercare_owed(transitions.ledger, BOX) == [ids[1], ids[2], ids[0]]
    assert aftercare_owed(transitions.ledger, b"/another") == []


def test_one_under_our_own_name_is_known_by_it_and_by_its_inbox_until_it_has_arrived(
    transitions: Transitions,
) -> None:
    ledger = transitions.ledger
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    assert (hidden_names(ledger), hidden(ledger)) == (frozenset(), {})
    transitions.aftercare(row.id, Aftercare.HIDDEN, hidden=b"/inbox/.h", to=b"/archive/a.jpg")
    assert hidden_names(ledger) == {b"/inbox/.h"}
    assert {inbox: [one.id for one in rows] for inbox, rows in hidden(ledger).items()} == {BOX: [row.id]}
    transitions.aftercare(row.id, Aftercare.DONE, to=b"/archive/a.jpg")
    assert (hidden_names(ledger), hidden(ledger)) == (frozenset(), {})


def test_one_that_lies_elsewhere_is_owed_there_once_it_is_to_be_done_again(transitions: Transitions) -> None:
    ledger = transitions.ledger
    row = deliver_all(transitions, running_photo(transitions), a_delivery())
    transitions.aftercare(row.id, Aftercare.DONE, to=b"/archive/a.jpg")
    assert owed_elsewhere(ledger, 10) == []
    transitions.again(row.id)
    assert owed_elsewhere(ledger, 10) == [b"/archive/a.jpg"]
    assert owed_elsewhere(ledger, 0) == []
