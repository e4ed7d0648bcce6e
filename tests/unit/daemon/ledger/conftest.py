"""What the tests of the ledger share."""

from __future__ import annotations

import pytest

from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.retry_rules import retry_rules
from cutoutd.daemon.ledger.transitions import Transitions


@pytest.fixture
def transitions(ledger: Ledger) -> Transitions:
    return Transitions(ledger, retry_rules(attempts_after_death=2, attempts_when_busy=5, settle_s=2))
