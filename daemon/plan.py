"""Settings turned into what the daemon works with: models found, folders listed, workers described; starts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.settings import Engine, Inbox, Settings
from cutoutd.config.timeouts import LOOK_S, run_with_timeout
from cutoutd.daemon.ledger.masks import folder_of
from cutoutd.daemon.ledger.states import Stage
from cutoutd.daemon.workers.engines import WARM_UP, Engines
from cutoutd.daemon.workers.pool import WorkerSetup
from cutoutd.daemon.workers.sizing import PoolSize, pool_size_for
from cutoutd.models.machine import cores
from cutoutd.models.networks.accelerators import Opened, expected, opened
from cutoutd.models.networks.catalog import ModelSpec, resolve

# A photo's stages, in their order: every waiting draft goes before every waiting final.
STAGES = (Stage.DRAFT, Stage.FINAL)
# A change of any of these needs a new watch; all other settings of an inbox are read when they are used.
WATCHED = (
    "recursive",
    "include",
    "exclude",
    "events",
    "settle",
    "settle_unhinted",
    "settle_polled",
    "poll_every",
    "rescan_every",
)


class InboxPlan(Struct, frozen=True):
    """One inbox with its models found; `draft` is set where a quick cutout comes first."""

    settings: Inbox
    final: ModelSpec
    draft: ModelSpec | None

    @property
    def key(self) -> bytes:
        """The inbox's path, as the ledger names it."""
        return os.fsencode(self.settings.path)

    def model(self, stage: Stage) -> ModelSpec:
        """The model for a stage of a photo's life."""
        return self.draft if stage is Stage.DRAFT and self.draft is not None else self.final

    def large(self, stage: Stage) -> bool:
        """Whether that is a large network, which not every worker has."""
        return self.model(stage).once_per_machine

    def watched_like(self, before: Inbox) -> bool:
        """Whether a watch that was made for other settings of this inbox will do."""
        return all(getattr(before, name) == getattr(self.settings, name) for name in WATCHED)


class Plan(Struct, frozen=True):
    """Everything resolved: no name in it is unknown, every model file exists."""

    settings: Settings
    inboxes: tuple[InboxPlan, ...]
    engines: Engines
    pool_size: PoolSize
    model_files: tuple[Path, ...]

    def inbox(self, key: bytes) -> InboxPlan | None:
        """The inbox with this path."""
        return next((one for one in self.inboxes if one.key == key), None)

    def large_stages(self) -> dict[bytes, frozenset[Stage]]:
        """Per inbox the stages that need a large network."""
        return {one.key: frozenset(stage for stage in STAGES if one.large(stage)) for one in self.inboxes}

    def engines_for(self, *, large: bool) -> Engines:
        """What a worker loads that may have large networks, or one that may not."""
        if large:
            return self.engines
        small = tuple(spec for spec in self.engines.specs if not spec.once_per_machine)
        return replace(self.engines, specs=small)


def make_plan(settings: Settings, models_dir: Path, cache_dir: Path | None) -> Plan:
    """Finds every model the settings name.

    Raises:
        ModelError: a model is unknown or not installed; says which command installs it.
    """
    effort = settings.engine.effort
    inboxes: list[InboxPlan] = []
    for inbox in settings.inbox:
        final = resolve(inbox.model or inbox.quality, models_dir, effort)
        fast = resolve("fast", models_dir, effort)
        # A bundled network's own cutout is there as soon as its draft would be: the photo would be made twice.
        draft = fast if inbox.draft_then_final and fast.sha256 != final.sha256 else None
        inboxes.append(InboxPlan(inbox, final, draft))
    specs: dict[str, ModelSpec] = {}
    for one in inboxes:
        for spec in (one.draft, one.final):
            if spec is not None:
                specs[spec.name] = spec
    providers = settings.engine.providers
    engines = Engines(
        specs=tuple(specs.values()),
        providers="auto" if providers == "auto" else tuple(providers),
        threads=settings.engine.threads or cores(),
        cache_dir=cache_dir,
        closed_form=any(one.settings.matte.closed_form for one in inboxes),
        proven=bool(settings.fleet.scheduler),
    )
    files = tuple(spec.path for spec in specs.values() if spec.path is not None)
    here = settings.fleet.local
    pool_size = pool_size_for(engines.specs, settings.engine.workers) if here else PoolSize(0, 0)
    return Plan(settings, tuple(inboxes), engines, pool_size, files)


def worker_setups(
    plan: Plan, state: Path, present: Mapping[Path, object], elsewhere: Iterable[Path] = ()
) -> tuple[WorkerSetup, ...]:
    """How the worker of each of this plan's slots is made: what it may read and write, and what it loads.

    Args:
        plan: the resolved settings.
        state: the state folder.
        present: inboxes and outboxes known to be there; a missing one is left out, since looking at it could
            hang and a rule needs a folder to bind to.
        elsewhere: originals that are owed and lie in no inbox, such as in the trash; each is readable by itself.
    """
    settings = plan.settings
    read: list[Path] = [*plan.model_files, bundled_folder(), *elsewhere]
    masks = folder_of(state)
    read += [masks] if masks.is_dir() else []
    write: list[Path] = []
    for one in plan.inboxes:
        inbox = one.settings
        read += [inbox.path] if inbox.path in present else []
        write += [inbox.outbox] if inbox.outbox in present else []
        after = (inbox.after.archive, inbox.after.failed)
        read += [
            folder
            for folder in after
            if folder is not None and run_with_timeout(LOOK_S, folder.exists, otherwise=False)
        ]
        for deliverable in inbox.any_deliverables():
            background = deliverable.background_path
            if background is not None and run_with_timeout(LOOK_S, background.exists, otherwise=False):
                read.append(background)
    cache = usable_cache(plan.engines.cache_dir)
    if cache is not None:
        read.append(cache)
    machine = accelerator(settings.engine)
    every = WorkerSetup(
        lock_path=state / "workers.lock",
        read_paths=tuple(dict.fromkeys((*read, *machine.reads))),
        write_paths=tuple(dict.fromkeys(write)),
        memory_limit_bytes=_memory_limit(settings, plan.model_files),
        warm_up=WARM_UP,
        context=replace(plan.engines, cache_dir=cache),
        nice=settings.engine.nice,
        threads=plan.engines.threads,
        sandbox=bool(settings.engine.sandbox),
        devices=machine.devices,
        unconfined=machine.unconfined,
        driver=machine.driver,
        callbacks=plan.engines.closed_form,
        recycle_after=settings.engine.recycle_after,
    )
    return (every,) * plan.pool_size.large + (_small(plan, every),) * (
        plan.pool_size.size - plan.pool_size.large
    )


def _small(plan: Plan, every: WorkerSetup) -> WorkerSetup:
    """The same without the large networks."""
    engines = plan.engines_for(large=False)
    files = {spec.path for spec in engines.specs if spec.path is not None}
    large = set(plan.model_files) - files
    return replace(
        every,
        context=replace(every.context, specs=engines.specs),
        read_paths=tuple(path for path in every.read_paths if path not in large),
        memory_limit_bytes=_memory_limit(plan.settings, files),
    )


def _memory_limit(settings: Settings, models: Iterable[Path]) -> int:
    """Bytes for a worker that loads these files: weights are held about three times while a session is made."""
    return settings.limits.worker_memory + 3 * max((path.stat().st_size for path in models), default=0)


def accelerator(engine: Engine) -> Opened:
    """What workers with these settings get for their engine, beside photos and models."""
    machine = accelerator_for(engine.providers)
    if engine.sandbox == "network":
        return replace(
            machine, unconfined='engine.sandbox is "network"', driver=machine.driver or "any engine"
        )
    return machine


def accelerator_for(providers: Sequence[str] | str) -> Opened:
    """The same for these providers alone."""
    return opened(expected("auto" if isinstance(providers, str) else providers))


def usable_cache(folder: Path | None) -> Path | None:
    """The cache folder, made if need be; None where that cannot be: without it a start takes a little longer."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def bundled_folder() -> Path:
    """The package folder that holds the bundled networks."""
    import cutoutd.models.networks.catalog

    return Path(cutoutd.models.networks.catalog.__file__).parents[1]
