"""When workers start, rest and are replaced, and what they said of themselves; it gives them no photos.

All methods run in the supervisor's loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutoutd.config.fleet import NODES_FOLDER
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.events import Listener
from cutoutd.daemon.files.mounts import inode_of
from cutoutd.daemon.ledger.originals import owed_elsewhere
from cutoutd.daemon.ledger.transitions import Transitions
from cutoutd.daemon.plan import Plan, worker_setups
from cutoutd.daemon.sandbox.guard import SandboxState
from cutoutd.daemon.workers import pool
from cutoutd.daemon.workers.engines import Loaded
from cutoutd.daemon.workers.spawning import end_unused

if TYPE_CHECKING:
    from cutoutd.daemon.fleet.link import RelayLink
    from cutoutd.daemon.fleet.slots import FleetSlots

# Start-up does not wait longer than this for folders on slow shares before it warms the workers.
FOLDERS_WAIT_S = 3.0
# Originals outside the inboxes (a trash) that one set of workers is allowed to read; each costs a rule.
ELSEWHERE_AT_ONCE = 1000


class WorkerManager:
    """The care for all slots.

    Args:
        plan: the resolved settings.
        state: the state folder.
        listener: hears when a model is being loaded.
        post: the supervisor's queue.
        transitions: knows of originals that are owed and lie in no inbox.
        clock: monotonic seconds.
        link: to the relay of a fleet; None where there is none.
        into_loop: has a function called with a value in the supervisor's loop; goes with `link`.
    """

    def __init__(
        self,
        plan: Plan,
        state: Path,
        listener: Listener,
        post: Callable[[pool.Event], None],
        *,
        transitions: Transitions,
        clock: Callable[[], float] = time.monotonic,
        link: RelayLink | None = None,
        into_loop: Callable[[Callable[[Any], None], Any], None] | None = None,
    ) -> None:
        self.models: Mapping[str, Loaded] = {}
        self.sandbox: SandboxState | None = None
        self.warm = False  # a first worker is: photos are taken up
        self.ready = False  # every network was loaded: the daemon can do all that it is asked to
        self.unloaded = False
        self.busy_at = clock()
        self._plan = plan
        self._state = state
        self._listener = listener
        self._transitions = transitions
        self._clock = clock
        self._started_at = clock()
        self._started = False
        self._present: dict[Path, tuple[int, int]] = {}
        self._bound: dict[Path, tuple[int, int]] = {}
        self._after: dict[Path, tuple[int, int] | None] = {}
        local = pool.Workers(self._setups(), post=post, clock=clock)
        self.fleet: FleetSlots | None = None
        if link is not None and into_loop is not None:
            from cutoutd.daemon.fleet.slots import FleetSlots

            self.fleet = FleetSlots(
                local,
                link,
                post=post,
                into_loop=into_loop,
                notice=listener.notice,
                warning=listener.warning,
                clock=clock,
                has_local=plan.pool_size.size > 0,
                expected=_expected(plan),
            )
        self.slots: pool.Workers | FleetSlots = self.fleet or local

    def _setups(self) -> tuple[pool.WorkerSetup, ...]:
        self._after = {
            folder: run_with_timeout(LOOK_S, lambda folder=folder: inode_of(folder), otherwise=None)
            for one in self._plan.inboxes
            for folder in (one.settings.after.archive, one.settings.after.failed)
            if folder is not None
        }
        elsewhere = [
            Path(os.fsdecode(path)) for path in owed_elsewhere(self._transitions.ledger, ELSEWHERE_AT_ONCE)
        ]
        return worker_setups(self._plan, self._state, self._present, elsewhere)

    def follow(self, plan: Plan) -> None:
        """Another plan: as many workers as it wants, with what it wants."""
        self._plan = plan
        if self._started:
            self.recycle()

    def recycle(self) -> None:
        """New workers for all slots, bound to the folders that are there now."""
        self._bound = dict(self._present)
        self.slots.recycle(self._setups())
        if self.fleet is not None:
            from cutoutd.daemon.fleet.joining import terms_of

            self.fleet.offer(terms_of(self._plan, self.fleet.life, self._present.items()))

    def slots_for(self, *, large: bool) -> tuple[int, ...]:
        """The slots that can take a photo for such a network, best first: this machine's, then those of nodes."""
        here = self._plan.pool_size.slots(large=large)
        return here if self.fleet is None else (*here, *self.fleet.slots_for(large=large))

    def machines(self) -> int:
        """How many machines work; limits of what is in hand are for each."""
        return 1 if self.fleet is None else self.fleet.machines()

    def joins(self) -> int:
        """How often nodes have joined so far."""
        return 0 if self.fleet is None else self.fleet.joins

    def node_of(self, photo: int) -> str:
        """The node that works on a photo; empty for this machine."""
        return "" if self.fleet is None else self.fleet.node_of(photo)

    def doubt(self, node: str, why: str) -> None:
        """What a node said turned out not to be so: it gets no photo for a while."""
        if self.fleet is not None:
            self.fleet.doubt(node, why)

    def start(self, now: float, *, folders_known: bool) -> None:
        """Starts them once the folders they are confined to are known, or have kept us waiting too long."""
        if self._started or (not folders_known and now < self._started_at + FOLDERS_WAIT_S):
            return
        self._listener.starting("Loading the model")
        self._started = True
        self.recycle()
        self.slots.start()
        end_unused()  # the head of a fleet may have no worker of its own

    def next_due(self) -> float:
        """Monotonic time at which a worker has something to do, or is to be started."""
        due = self.slots.next_deadline()
        start_at = float("inf") if self._started else self._started_at + FOLDERS_WAIT_S
        return start_at if due is None else min(due, start_at)

    # --- what they say ---------------------------------------------------------------------------------------

    def slot_ready(self, event: pool.SlotReady) -> None:
        """A worker is warm; it may be one of those that have the small networks only."""
        more: Mapping[str, Loaded] = event.warm_up or {}
        facts = {**self.models, **more}
        names = {spec.name for spec in self._plan.engines.specs}
        self.models = {name: fact for name, fact in facts.items() if name in names}
        self.sandbox = event.sandbox
        self.warm = True
        size = self._plan.pool_size
        self.ready = self.ready or not size.size or event.slot in size.slots(large=True)

    def can_start(self) -> bool:
        """Whether a worker that has every network is up or on its way, and not failing to start."""
        able = self._plan.pool_size.slots(large=True)
        return self.unloaded or {one.state for one in self.slots.status() if one.slot in able} != {
            pool.SlotState.WAITING
        }

    # --- rest ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """A file stirs: workers that were unloaded start while it settles."""
        if self.unloaded:
            self.unloaded = False
            self.slots.load()
        self.busy_at = self._clock()

    def at_work(self, now: float) -> None:
        """Photos wait or are in hand."""
        self.busy_at = now

    def rest(self, *, owed: Callable[[], bool], stopped: bool) -> None:
        """Ends the workers after a long rest, and brings them back when something is owed after all."""
        limit_s = self._plan.settings.engine.idle_unload
        idle_s = self._clock() - self.busy_at
        if limit_s and idle_s > limit_s and self.ready and not self.unloaded and not owed():
            self.unloaded = True
            self.slots.unload()
        elif self.unloaded and not stopped and owed():
            self.wake()

    # --- the folders they are confined to --------------------------------------------------------------------

    def folder_open(self, path: Path, inode: tuple[int, int]) -> None:
        """A folder is there. Landlock binds inodes, so another folder under the name needs other workers.

        So does one that was away in between: a worker that started meanwhile is bound to what lay beneath it.
        """
        self._present[path] = inode
        if self._started and self._bound.get(path) != inode:
            self.recycle()

    def folder_hangs(self, path: Path) -> None:
        """New workers, which must not be bound to it, for those that wait for it."""
        self._present.pop(path, None)
        self.recycle()

    def folder_lost(self, path: Path) -> None:
        """Whatever lies there next needs other workers."""
        self._bound.pop(path, None)

    def after_folder(self, path: Path, inode: tuple[int, int]) -> None:
        """An archive or a folder for failed photos is in use: workers must be able to read it for `redo` and `retry`.

        One that was made after they started, or made anew, is not among what they are bound to.
        """
        if self._started and self._after.get(path) != inode:
            self.recycle()
            self._after[path] = inode  # even if it hangs by now: once is enough


def _expected(plan: Plan) -> list[str]:
    """Nodes for which `fleet init` has made a folder on this machine."""
    folder = plan.settings.fleet.certificates
    try:
        return [] if folder is None else sorted(one.name for one in (folder / NODES_FOLDER).iterdir())
    except OSError:
        return []
