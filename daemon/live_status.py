"""What a running daemon says of itself, as records: told to listeners, kept in the ledger for `cutoutd status`.

A daemon of another version may have written it: what it did not say has a default here, and what it said besides is
left out. `status.py` fills it in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from msgspec import DecodeError, Struct, convert, field, json

# What the ledger keeps it under, as the one line of `to_json`.
LIVE_STATUS = "status"


class DaemonState(StrEnum):
    """What the daemon is doing; the words are part of the interface (`status --json`)."""

    STARTING = "starting"
    IDLE = "idle"
    WORKING = "working"
    PAUSED = "paused"  # by command
    WAITING = "waiting"  # for the self-test to succeed, mains power, other programs, or a folder
    STOPPING = "stopping"
    STOPPED = "stopped"


class _Record(Struct, frozen=True, kw_only=True):
    def plain(self) -> dict[str, Any]:
        """As `json` can write it."""
        made: dict[str, Any] = json.decode(json.encode(self))
        return made

    @classmethod
    def from_plain(cls, values: object) -> Self:
        """From what `plain` made.

        Raises:
            ValidationError: of msgspec, where something else is there.
        """
        return convert(values, cls)


class Counts(_Record, frozen=True, kw_only=True):
    """How many photos stand in each state."""

    pending: int = 0
    running: int = 0
    delivering: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def in_hand(self) -> int:
        """How many a worker has, or are on their way into an outbox."""
        return self.running + self.delivering

    @property
    def owed(self) -> int:
        """How many are still to be finished."""
        return self.pending + self.in_hand


class HandStatus(_Record, frozen=True, kw_only=True):
    """One photo in hand; `node` is the machine that works on it, empty for the daemon's own."""

    photo: int
    name: str = ""
    inbox: str = ""
    stage: Literal["working", "waiting to settle"] = "working"
    node: str = ""


class InboxStatus(_Record, frozen=True, kw_only=True):
    """One inbox.

    Attributes:
        path: its folder, as text.
        outbox: where its cutouts go.
        model: the network of its cutouts.
        draft_model: that of its quick ones, where there are such.
        watching: whether new photos in it are noticed.
        polled: whether by looking, instead of by events.
        being_written: how many of its photos wait for their writers.
        no_events: what of it gives no events though they were wished for; empty when all of it does.
        trouble: why its photos wait; empty when they do not.
    """

    path: str
    outbox: str
    model: str = ""
    draft_model: str | None = None
    watching: bool = True
    polled: bool = False
    being_written: int = 0
    no_events: str = ""
    trouble: str = ""


class ModelStatus(_Record, frozen=True, kw_only=True):
    """How one network runs: the provider in use, and why others are not."""

    provider: str
    why_not: tuple[str, ...] = ()


class NodeStatus(_Record, frozen=True, kw_only=True):
    """Another machine of the fleet.

    Attributes:
        name: as in its certificate.
        address: its connection.
        state: joining, ready, leaving, refused or unfit; missing when it is not connected.
        why: it gets no photo; empty when it does.
        slots: photos at once.
        busy: photos that it has in hand.
        photos_per_minute: how many it finished in the last minute.
        providers: by network, what it runs on there.
        proofs: by network, a digest of its answer to a test pattern; where two differ, so may single bits of cutouts.
        unconfined: what of the workers' sandbox does not hold there; empty when all does.
        certificate_expires: wall-clock seconds; 0 when not known.
        missing_since: wall-clock seconds at which it went; 0 when it never came since the daemon's start.
    """

    name: str
    address: str = ""
    state: str = ""
    why: str = ""
    slots: int = 0
    busy: int = 0
    photos_per_minute: int = 0
    providers: dict[str, str] = field(default_factory=dict[str, str])
    proofs: dict[str, str] = field(default_factory=dict[str, str])
    unconfined: str = ""
    certificate_expires: float = 0.0
    missing_since: float = 0.0


class FleetStatus(_Record, frozen=True, kw_only=True):
    """The fleet, where one is configured.

    Attributes:
        scheduler: its address.
        trouble: why it is not reached; empty when it is.
        local: whether the daemon's own machine works too.
        proofs: as of the nodes, for this machine.
        version: what ready nodes run.
        models: networks that they have, by name, with the SHA-256 of the file.
        nodes: each that is connected, or expected and missing.
    """

    scheduler: str
    trouble: str = ""
    local: bool = True
    proofs: dict[str, str] = field(default_factory=dict[str, str])
    version: str = ""
    models: dict[str, str] = field(default_factory=dict[str, str])
    nodes: tuple[NodeStatus, ...] = ()


class SandboxFacts(_Record, frozen=True, kw_only=True):
    """What is in force in one process: a sentence for people and a yes or no, for each promise."""

    network: str
    network_refused: bool = False
    files: str
    files_confined: bool = False
    core_dumps: str = ""
    core_dumps_off: bool = False
    calls: str = ""
    calls_listed: bool = False
    capabilities: str = ""
    capabilities_none: bool = False


class SandboxStatus(_Record, frozen=True, kw_only=True):
    """Both kinds of process; None for one that has not said anything yet."""

    daemon: SandboxFacts | None = None
    worker: SandboxFacts | None = None


class LiveStatus(_Record, frozen=True, kw_only=True):
    """The whole.

    Attributes:
        version: of the program that it runs, which may have been replaced on the disk since; "" before 0.2.
        state: what the daemon is doing.
        why: why photos wait, as a sentence; empty when they do not.
        self_test: why even the built-in test photo cannot be processed, for which photos wait; empty while it can.
        mistake: what of its own the last guard met, as a sentence; empty when nothing.
        config_refused: what the changed config file says that cannot be used; empty while it is in force.
        pid: its process; 0 when it has ended.
        since: wall-clock seconds of its start.
        counts: photos by state.
        in_hand: photos that workers have, or that wait to settle.
        inboxes: each inbox of the configuration.
        models: networks that are loaded, by name.
        workers: how many there may be.
        sandbox: what is in force.
        fleet: other machines; None where none are configured.
    """

    state: DaemonState
    version: str = ""
    why: str = ""
    self_test: str = ""
    mistake: str = ""
    config_refused: str = ""
    pid: int = 0
    since: float = 0.0
    counts: Counts = Counts()
    in_hand: tuple[HandStatus, ...] = ()
    inboxes: tuple[InboxStatus, ...] = ()
    models: dict[str, ModelStatus] = field(default_factory=dict[str, ModelStatus])
    workers: int = 0
    sandbox: SandboxStatus = SandboxStatus()
    fleet: FleetStatus | None = None

    def to_json(self) -> str:
        """One line for the ledger."""
        return json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> LiveStatus | None:
        """What `to_json` wrote; None for anything else."""
        try:
            return json.decode(text, type=cls)
        except DecodeError:
            return None
