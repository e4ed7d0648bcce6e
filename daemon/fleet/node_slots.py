"""One node's slots as the head sees them: what it has in hand, what is free, how it is shown; it gives out nothing."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct, field

from cutoutd.daemon.backoff import Retry
from cutoutd.daemon.fleet.records import NodeFacts, NodeState
from cutoutd.daemon.live_status import NodeStatus
from cutoutd.daemon.workers import protocol
from cutoutd.daemon.workers.sizing import PoolSize

# A node that met trouble gets no photo for so long, doubled each time, up to the second.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
# What `status` says of one that is expected and not connected.
MISSING: Final = "missing"


class Call(Struct):
    """One photo on a node.

    Attributes:
        number: the relay's, and the node's.
        tag: the dispatcher's.
        job: what is to be done, by the head's paths.
        slot: the one that it takes.
        deadline: no answer is waited for any longer, in the clock's seconds.
    """

    number: int
    tag: int
    job: protocol.Job
    slot: int
    deadline: float


class NodeSlots(Struct):
    """One node, as long as its connection lasts.

    Attributes:
        base: the number of its first slot.
        calls: what it has in hand, by slot.
        rest_until: it gets no photo before, in the clock's seconds.
        trouble: why.
        done: when it finished photos, in the last minute.
    """

    facts: NodeFacts
    base: int
    calls: dict[int, Call] = field(default_factory=dict[int, Call])
    rest_until: float = 0.0
    trouble: str = ""
    retry: Retry = field(default_factory=lambda: Retry(FIRST_PAUSE_S, LONGEST_PAUSE_S))
    done: deque[float] = field(default_factory=deque[float])

    @property
    def slots(self) -> int:
        """How many it has; none before it has joined."""
        return 0 if self.facts.joined is None else self.facts.joined.slots

    def idle(self, now: float) -> int:
        """How many of its slots have no photo and can take one."""
        if self.facts.state is not NodeState.READY or now < self.rest_until:
            return 0
        return max(0, self.slots - len(self.calls))

    def can_take(self, number: int, now: float) -> bool:
        """Whether this slot has no photo and can take one."""
        return self.idle(now) > 0 and number not in self.calls and number - self.base < self.slots

    def is_full(self) -> bool:
        """Whether all of its slots have a photo, or it has none."""
        return len(self.calls) >= self.slots

    def free(self, now: float, *, large: bool) -> list[int]:
        """Its slots without a photo that can take one, best first."""
        joined = self.facts.joined
        if joined is None or not self.idle(now):  # most are busy when there is much to do
            return []
        slots = PoolSize(joined.slots, joined.large).slots(large=large)
        return [self.base + slot for slot in slots if self.base + slot not in self.calls]

    def status(self, now: float) -> NodeStatus:
        """For `status`, at this time of the clock."""
        facts, joined = self.facts, self.facts.joined
        resting = now < self.rest_until and facts.state is NodeState.READY
        return NodeStatus(
            name=facts.name,
            address=facts.address,
            state=NodeState.UNFIT.value if resting else facts.state.value,
            why=self.trouble if resting else facts.why,
            slots=self.slots,
            busy=len(self.calls),
            photos_per_minute=len(self.done),
            providers={} if joined is None else {name: one.provider for name, one in joined.models.items()},
            proofs={} if joined is None else {name: one.proof for name, one in joined.models.items()},
            unconfined="" if joined is None else joined.unconfined,
            certificate_expires=0.0 if joined is None else joined.expires,
        )
