"""Every option of cutoutd, declared once; the sample config, the reference and the schema come from here.

It does not look for files or print: `load.py` reads, `reference.py` documents.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, field_validator, model_validator

from cutoutd.config import names
from cutoutd.config.expansion import expand_presets
from cutoutd.config.fleet import Fleet
from cutoutd.config.hooks import Hook
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable, Output
from cutoutd.config.reporting import History, Log, Metrics, Notify
from cutoutd.config.rules import Rule
from cutoutd.config.section import Section
from cutoutd.config.units import ByteCount, Folder, Seconds


class Engine(Section):
    """How much of the machine inference may use."""

    workers: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0,
        description="Worker processes; 0 means one per core, but no more than RAM / 2 GB; with a large network one "
        "for that, and one more where small ones are in use too.",
    )
    threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="Threads for a lone photo in one worker; 0 means all cores."
    )
    providers: Literal["auto"] | list[Literal["cuda", "coreml", "openvino", "rocm", "cpu"]] = Field(
        default="auto",
        description="Execution providers in order; a named one that cannot start is an error, never a "
        "silent fallback.",
    )
    effort: Literal["normal", "high"] = Field(
        default="normal",
        description="How often each photo is looked at: once and, by the bundled networks, at the subject once more "
        "from nearby; at `high` mirrored too, and by the bundled ones at two more sizes, for better outlines.",
    )
    nice: Annotated[int, Field(ge=0, le=19)] = Field(
        default=5, description="Priority of the workers; 19 yields to everything else."
    )
    pause_on_battery: StrictBool = Field(
        default=False, description="Start no new photo while on battery power."
    )
    max_load: Annotated[float, Field(ge=0)] = Field(
        default=0,
        description="Start no new photo while the load per core, without our own, is higher; 0 = no limit.",
    )
    idle_unload: Seconds = Field(
        default=600,
        ge=0,
        description="Workers are ended after this long without a photo; 0 keeps them loaded.",
    )
    recycle_after: Annotated[int, Field(ge=1)] = Field(
        default=500, description="A worker is replaced after this many photos, between two of them."
    )
    sandbox: StrictBool | Literal["network"] = Field(
        default=True,
        description="Give up the network and foreign files before the first photo. Leave it on; `network` leaves "
        "files alone, for an accelerator whose driver does not start otherwise.",
    )

    @field_validator("providers")
    @classmethod
    def _at_least_one(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError('names no provider: write "auto", or a list such as ["cuda", "cpu"]')
        return value


class After(Section):
    """What happens to the original once its cutout is safely on disk."""

    action: Literal["keep", "archive", "trash"] = Field(
        default="keep",
        description="Keep the original where it is, move it to an archive folder, or to the trash.",
    )
    archive: Folder | None = Field(
        default=None,
        description="Archive folder; the inbox's tree is mirrored there and nothing is overwritten.",
        examples=["~/Pictures/Cutouts/Originals"],
    )
    failed: Folder | None = Field(
        default=None,
        description="Move failed originals here with the reason beside them; unset, they stay. One that gets its "
        "cutout after all, by `retry` or `redo`, lies here on, without the note.",
        examples=["~/Pictures/Cutouts/Failed"],
    )
    rest: Seconds = Field(
        default=300.0,
        ge=0,
        description="Where the system cannot tell whether somebody still writes an original (a network share, files of "
        "other users), it is moved once it has not changed for this long.",
    )
    failed_after: Seconds = Field(
        default=600.0,
        ge=0,
        description="The same for a photo that cannot be read: where the system cannot tell, it counts as incomplete "
        "for this long, is looked at again and stays where it is. Half a minute, if that is less, one that begins like "
        "a photo stays in any case, for an upload that broke off may be resumed.",
    )

    @model_validator(mode="after")
    def _archive_needs_a_folder(self) -> After:
        if self.action == "archive" and self.archive is None:
            raise ValueError('action = "archive" needs archive = "FOLDER"')
        return self


class Inbox(Section):
    """One watched folder and what its photos become."""

    path: Folder = Field(description="The folder to watch.")
    outbox: Folder = Field(description="Where cutouts appear; it may not lie inside an inbox.")
    name: str = Field(default="", description="Name in status and logs; unset, the folder's own name.")
    recursive: StrictBool = Field(
        default=True,
        description="Watch sub-folders too, up to 400 in one another, and mirror them in the outbox.",
    )
    include: tuple[str, ...] = Field(
        default=(), description='Only files matching one of these patterns, e.g. ["*.jpg", "selects/**"].'
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Files and folders matching one of these are left alone."
    )
    events: Literal["auto", "native", "poll"] = Field(
        default="auto",
        description="Native file events, polling, or a probe at start that decides (for shares).",
    )
    settle: Seconds = Field(
        default=0.3,
        gt=0,
        description="A file is complete when it has not changed this long after its close or rename.",
    )
    settle_unhinted: Seconds = Field(
        default=2, gt=0, description="The same for files found without such an event."
    )
    settle_polled: Seconds = Field(default=5, gt=0, description="The same in polled folders.")
    poll_every: Seconds = Field(default=5, gt=0, description="Time between two looks at a polled folder.")
    rescan_every: Seconds = Field(
        default=300, ge=10, description="Time between two full walks that catch missed events."
    )
    order: Literal["oldest", "newest"] = Field(
        default="oldest",
        description="Which waiting photo is next, by arrival; `newest` suits tethered shooting.",
    )
    priority: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="How many turns this inbox gets beside the others."
    )
    model: str = Field(default="", description="A model by name; unset, `quality` decides.")
    quality: str = Field(
        default="standard",
        description='"standard" (the bundled networks), "fast" (the first of them alone, for drafts), "best" (the '
        "best installed one), or a model name.",
    )
    draft_then_final: StrictBool = Field(
        default=False,
        description="The cutout of the first bundled network appears at once, the large model's replaces it; where no "
        "large model is asked for there is nothing to wait for, and so no draft.",
    )
    output: Output = Field(default_factory=Output, description="What the cutout looks like.")
    deliver: tuple[Deliverable, ...] = Field(
        default=(),
        description="Several deliverables from one photo instead of `output`.",
        examples=[{"label": "master"}, {"label": "shop", "preset": "product-white"}],
    )
    rule: tuple[Rule, ...] = Field(
        default=(),
        description="Photos that become something else than the rest: by their path, or by a list. The first rule "
        "that fits decides.",
        examples=[{"match": "shoes/**", "preset": "product-white"}, {"csv": "orders.csv"}],
    )
    matte: Matte = Field(default_factory=Matte, description="How the outline is found.")
    after: After = Field(default_factory=After, description="What happens to the original.")
    manifest: StrictBool | Literal["jsonl", "csv"] = Field(
        default=False,
        description="Keep a list beside the cutouts, a line per cutout and per failed photo: time, source and its "
        "digest, output, size, SHA-256, seconds, and which earlier line it supersedes. `true` or `jsonl` writes "
        "manifest.jsonl, `csv` writes manifest.csv.",
    )
    review: Annotated[str, AfterValidator(names.check_plain_folder)] = Field(
        default="",
        description='Sub-folder of the outbox, such as "review", for cutouts that their network is unsure of; '
        "`cutoutd review` says why. A better one made by `redo` leaves it. Empty: they lie with the others.",
        examples=["review"],
    )
    umask: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] | None = Field(
        default=None,
        description='Mode mask of cutouts and of the manifest, e.g. "077" for private files; unset, the process\'s '
        "own. A folder with a default ACL gives them its own rights instead.",
        examples=["077"],
    )

    @property
    def label(self) -> str:
        """The name shown to people."""
        return self.name or self.path.name or str(self.path)

    @property
    def manifest_kind(self) -> Literal["", "jsonl", "csv"]:
        """How the manifest is written; empty where none is kept."""
        return "jsonl" if self.manifest is True else self.manifest or ""

    def any_deliverables(self) -> tuple[Deliverable, ...]:
        """Every deliverable that this inbox and its rules name; what a list asks for is not known here."""
        return (*self.deliverables(), *(one for rule in self.rule for one in rule.deliver))

    def deliverables(self) -> tuple[Deliverable, ...]:
        """What one photo of this inbox owes where no rule fits, at least one deliverable."""
        given = frozenset(self.output.model_fields_set)
        # pydantic makes frozen models hashable, which no annotation of theirs says.
        return self.deliver or _alone(self.output, given)  # pyright: ignore[reportArgumentType]

    @model_validator(mode="after")
    def _deliverables_have_distinct_labels(self) -> Inbox:
        labels = [d.label.casefold() for d in self.deliver]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"two deliverables are called {', '.join(twice)}: give each its own label")
        return self


@lru_cache
def _alone(output: Output, _given: frozenset[str]) -> tuple[Deliverable, ...]:
    """The deliverable of an inbox that lists none. Outputs are equal whatever of them was given: that is told too."""
    return (Deliverable.model_validate(output.model_dump(exclude_unset=True)),)


class Service(Section):
    """Resources the service manager grants; written into the unit by `cutoutd service install`."""

    cpu_weight: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=50,
        description="Share of the processor while others want it too (systemd's CPUWeight); other services have 100.",
    )
    io_weight: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=50, description="The same for disks (IOWeight)."
    )
    memory_high: ByteCount | None = Field(
        default=None,
        description="Beyond this much memory the service is slowed down (MemoryHigh); unset, no limit.",
        examples=["4GB"],
    )
    memory_max: ByteCount | None = Field(
        default=None,
        description="Beyond this much a worker is killed, and its photo tried again (MemoryMax); unset, no limit.",
        examples=["6GB"],
    )


class Settings(Section):
    """Everything the user can ask for."""

    inbox: tuple[Inbox, ...] = Field(min_length=1, description="The watched folders, one table each.")
    limits: Limits = Field(default_factory=Limits, description="Bounds for one photo and for the queue.")
    engine: Engine = Field(default_factory=Engine, description="Use of the machine.")
    history: History = Field(default_factory=History, description="What is remembered.")
    log: Log = Field(default_factory=Log, description="Logging.")
    notify: Notify = Field(default_factory=Notify, description="Desktop notifications.")
    metrics: Metrics = Field(default_factory=Metrics, description="Monitoring.")
    service: Service = Field(default_factory=Service, description="Resources of the installed service.")
    fleet: Fleet = Field(default_factory=Fleet, description="Other machines that work too: docs/FLEET.md.")
    hook: tuple[Hook, ...] = Field(
        default=(),
        description="Commands to run after a photo is done or has failed; `cutoutd hooks` runs them.",
        examples=[
            {
                "name": "upload",
                "on": ["done"],
                "command": ["rclone", "copy", "{output}", "remote:cutouts"],
                "time_limit": "2m",
                "attempts": 8,
                "at_once": 1,
            }
        ],
    )
    stop_grace: Seconds = Field(
        default=30,
        gt=0,
        description="After SIGTERM photos in hand get this long to finish; the rest is done after the next start.",
    )
    reload_on_change: StrictBool = Field(
        default=True, description="Take up a changed config file without a signal."
    )
    preset: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Your own presets: [preset.NAME] with any output options.",
        examples=[{"shop": {"preset": "product-white", "margin": "5%"}}],
    )

    @model_validator(mode="after")
    def _hooks_can_be_told_apart_and_get_names(self) -> Settings:
        keys = [hook.key for hook in self.hook]
        twice = sorted({hook.label for hook in self.hook if keys.count(hook.key) > 1})
        if twice:
            raise ValueError(f"two hooks are called {', '.join(twice)}: give each its own name")
        if self.hook and not self.history.filenames:
            raise ValueError("hooks are given names of photos, which history.filenames = false does not keep")
        return self

    @model_validator(mode="before")
    @classmethod
    def _expand_presets(cls, raw: Any) -> Any:
        return expand_presets(raw)
