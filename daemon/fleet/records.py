"""What head, relay and nodes say to one another, as plain records; nobody is connected here.

Everything travels as JSON and is read by `workers.codec`, strictly by the annotations below: what comes from a node,
or through one, builds nothing that these do not name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Struct

from cutoutd.config.errors import Reason
from cutoutd.daemon.workers.engines import Engines, Loaded
from cutoutd.daemon.workers.ipc import LONGEST_SENTENCE, Fault
from cutoutd.daemon.workers.message_rules import Most, Range, Raw, Text
from cutoutd.daemon.workers.protocol import Job

Sentence = Annotated[str, Text(LONGEST_SENTENCE)]
Name = Annotated[str, Text(64)]
Call = Annotated[int, Range(0, 1 << 53)]
Slots = Annotated[int, Range(0, 512)]
Seconds = Annotated[float, Range(0, 1e12)]
# Far more than one head bears (docs/PERFORMANCE.md); beyond it a sender is mistaken or lies.
MOST_NODES = 512
# What a photo is said to be where its folder is another one on the node.
OF_THE_FOLDER = frozenset({Reason.VANISHED, Reason.NO_PERMISSION, Reason.NOT_A_REGULAR_FILE})
# An honest answer is the worker's, or a fault's traceback, and a little around it.
LONGEST_BODY = 300_000


# --- from the head to its nodes; believed there


class Shared(Struct, frozen=True):
    """A folder of the head's that nodes must see too; another inode is another folder."""

    path: bytes
    inode: int
    write: bool


class Terms(Struct, frozen=True):
    """What a node must agree to before it gets a photo.

    Attributes:
        life: a random id of this daemon's life; what a node has in hand for another one is of no use any more.
        version: of the program.
        engines: the networks, as the head found them in its own folders, and how they are run.
        edges: SHA-256 of the edge engine's network.
        folders: shared with it.
        memory_bytes, nice, recycle_after, sandbox: as for the head's own workers.
    """

    life: str
    version: str
    engines: Engines
    edges: str
    folders: tuple[Shared, ...]
    memory_bytes: int
    nice: int
    recycle_after: int
    sandbox: bool


class NodeJob(Struct, frozen=True):
    """A job for a worker of a node's, and its call's number; its paths are the head's, and so is its outbox's inode."""

    life: str
    call: int
    job: Job
    limit_s: float


# --- from a node; believed by nobody


class Joined(Struct, frozen=True):
    """A node agrees and its workers are warm.

    Attributes:
        slots, large: how many photos at once, and how many of these for large networks.
        models: how each network runs there.
        unconfined: what of the sandbox does not hold there, as a sentence; empty when all does.
        expires: wall-clock seconds at which its certificate does.
    """

    slots: Slots
    large: Slots
    models: Annotated[dict[Annotated[str, Text(100)], Loaded], Most(100)]
    unconfined: Sentence
    expires: Seconds


class Declined(Struct, frozen=True):
    """A node does not fit, or cannot work now; `again`: it may be better in a while."""

    why: Sentence
    again: bool


JoinAnswer = Joined | Declined


class Returned(Struct, frozen=True):
    """The worker beneath the node answered; what it said is read by the job's own rules."""

    result: Annotated[Any, Raw()]


class Raised(Struct, frozen=True):
    """The worker's function raised, and the node's own test photo went well since."""

    fault: Fault


class Broke(Struct, frozen=True):
    """The worker died of the photo: the node's own test photo went well since."""

    cause: Literal["timeout", "out-of-memory", "crashed"]
    detail: Sentence


class Unfit(Struct, frozen=True):
    """The node could not do it, and no photo is at fault; `why` is empty where nothing is wrong with it either."""

    why: Sentence


PhotoAnswer = Returned | Raised | Broke | Unfit


# --- over the pipe between head and relay


class Offer(Struct, frozen=True):
    """To the relay: every node must agree to these terms from now on; `terms` is a `Terms` as JSON."""

    terms: str


class Give(Struct, frozen=True):
    """To the relay: this job, a `NodeJob` as JSON, for this node."""

    call: int
    node: str
    job: str


class Drop(Struct, frozen=True):
    """To the relay: nobody waits for this call any more; its worker is to be ended."""

    call: int


class NodeState(StrEnum):
    """How a node stands; the words are part of `fleet status --json`."""

    JOINING = "joining"
    READY = "ready"
    LEAVING = "leaving"
    REFUSED = "refused"
    UNFIT = "unfit"  # it met trouble of its own, and joins again in a while


class NodeFacts(Struct, frozen=True):
    """From the relay: one node as it stands now."""

    name: Name
    state: NodeState
    address: Name
    why: Sentence
    joined: Joined | None


class Nodes(Struct, frozen=True):
    """From the relay: whether it reaches the scheduler (`why` not), and every node there is."""

    linked: bool
    why: Sentence
    nodes: Annotated[tuple[NodeFacts, ...], Most(MOST_NODES)]


class Answered(Struct, frozen=True):
    """From the relay: a call came back; `answer` is a `PhotoAnswer` as JSON, empty where no record could hold it."""

    call: Call
    answer: Annotated[str, Text(LONGEST_BODY, lines=True)]


class Lost(Struct, frozen=True):
    """From the relay: a call will not come back."""

    call: Call
    why: Sentence


class RelayGone(Struct, frozen=True):
    """From the relay's keeper: it ended and is started again; all it had in hand is lost."""

    why: Sentence


ToRelay = Offer | Give | Drop
FromRelay = Nodes | Answered | Lost | RelayGone
