"""`cutoutd once`: files and folders, once, through the same workers as the daemon."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from cutoutd.config.errors import ConfigError, FolderError, OutboxError, Reason, UsageError, printable
from cutoutd.config.limits import Limits
from cutoutd.config.load import find_config, load_settings
from cutoutd.config.output import Deliverable
from cutoutd.config.places import cache_dir, models_dir
from cutoutd.config.presets import unpack
from cutoutd.config.settings import Engine
from cutoutd.config.typed_paths import typed_path
from cutoutd.daemon.batch import Batch
from cutoutd.daemon.batch_hold import held_folder
from cutoutd.daemon.batch_settings import BatchSettings
from cutoutd.daemon.files.folders import make_folder, take_umask
from cutoutd.daemon.files.mounts import filesystem_kind, takes_plain_names_only
from cutoutd.daemon.plan import accelerator, bundled_folder, usable_cache
from cutoutd.daemon.sandbox.guard import guard_supervisor
from cutoutd.daemon.sources import Gathered, folder_that_eats, gather
from cutoutd.daemon.workers.engines import WARM_UP, Engines
from cutoutd.daemon.workers.pool import WorkerSetup
from cutoutd.daemon.workers.sizing import pool_size_for
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import ModelSpec, resolve
from cutoutd.service import streams
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.once_report import Report
from cutoutd.service.cli.once_target import STREAM, Target, must_not_be_a_photo, target_of
from cutoutd.service.cli.option_flags import (
    Sectioned,
    completer,
    corrects,
    deliverables,
    fixes_of,
    mask_option,
    matte_options,
    model_names,
    output_and_matte_flags,
    preset_names,
    remove_option,
)
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.cli.standard_input import kept_from_standard_input
from cutoutd.service.scratch import scratch_folder


class SaidWithExample(click.Option):
    """An option that is missed with what could be written, not by its name alone."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """As click's. Raises UsageError, ours."""
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter:
            raise UsageError(
                "Where the cutouts go is still to be said",
                fix="Add `-o cutouts/`, a folder; `-o cutout.png`, a file for one photo; or `-o -`, for a pipe.",
            ) from None


@click.command(cls=Sectioned)
@click.argument("paths", nargs=-1, required=True, type=PathType(path_type=Path))
@click.option(
    "-o",
    "--out",
    "out",
    required=True,
    cls=SaidWithExample,
    type=PathType(),
    help="Where cutouts go: a folder, a file such as a.png for one photo, or - for standard output.",
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    help="Start from a preset (`cutoutd presets` lists them); several give several outputs each.",
    shell_complete=completer(preset_names),
)
@click.option(
    "--model",
    default="",
    help="A model by name (`cutoutd models list`), `fast`, or `best`; unset, the bundled one.",
    shell_complete=completer(model_names),
)
@click.option(
    "--effort",
    type=click.Choice(["normal", "high"]),
    default="normal",
    help="High looks at each photo twice as often.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes; unset, one per core.")
@click.option("--overwrite", is_flag=True, help="Replace files under the cutouts' names.")
@click.option(
    "--skip-existing", is_flag=True, help="Leave photos alone whose cutouts are there already, by name."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but what failed; for cron.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per photo.")
@click.option("--timings", is_flag=True, help="Print the seconds each stage took.")
@config_option
@remove_option
@mask_option
@output_and_matte_flags
def once(
    paths: tuple[Path, ...],
    out: str,
    presets: tuple[str, ...],
    model: str,
    effort: Any,
    workers: int | None,
    overwrite: bool,
    skip_existing: bool,
    quiet: bool,
    as_json: bool,
    timings: bool,
    config_file: Path | None,
    mask: Path | None,
    **options: Any,
) -> int:
    """Cut out PATHS (files and folders; - for standard input), once.

    Originals are never touched. Run again, finished photos keep their names: a second file appears only where
    the bytes differ. Of your configuration, its presets and its limits are used. Ctrl-C stops it; the same
    command with --skip-existing goes on.

    Exit code 0: all done; 3: some failed; 2: the command makes no sense; 130: stopped by Ctrl-C.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other", fix="Leave one of them out.")
    streams.endure("stderr") if out == STREAM else streams.endure("stdout", "stderr")
    limits, custom = _configured(config_file)
    matte, fixes = matte_options(options), fixes_of(options)
    umask = take_umask()
    with scratch_folder() as scratch:
        gathered = _gathered(paths, scratch, limits)
        corrects(mask, fixes, one=len(gathered.photos) == 1)
        target = target_of(
            out,
            one_file=len(gathered.photos) == 1 and not gathered.folders,
            photos=len(gathered.photos),
            files_each=len(unpack(presets)) or 1,
            format_asked=options.get("output__format") or "",
        )
        must_not_be_a_photo(target, gathered)
        if target.format:
            options["output__format"] = target.format
        wanted = deliverables(options, presets, custom)
        report = Report(gathered, as_json, quiet, timings, stream=target.folder is None)
        folder = _outbox(target, gathered, wanted, scratch, 0o777 & ~umask, report)
        spec = resolve(model, models_dir(), effort)
        settings = BatchSettings(
            folder, spec.name, wanted, matte, limits, umask, overwrite, target.name, skip_existing,
            fixes, b"" if mask is None else os.fsencode(mask.resolve()),
            takes_plain_names_only(filesystem_kind(folder)),
        )  # fmt: skip
        size = min(pool_size_for([spec], workers or 0).size, max(1, len(gathered.photos)))
        guard_supervisor()
        setup = _setup(spec, settings, _reads(gathered, settings), scratch)
        with held_folder(folder) as instance:
            report.follow(Batch(settings, setup, size, instance=instance))
        if report.stream:
            _to_standard_output(report)
    sys.stdout.flush()
    if as_json and isinstance(sys.stdout, streams.Enduring) and sys.stdout.lost:
        raise OutboxError("Standard output is full: lines about photos are missing there", fix="Free space.")
    return int(report.exit_code())


def _gathered(paths: tuple[Path, ...], scratch: Path, limits: Limits) -> Gathered:
    """The photos that are meant. Raises UsageError when there is nothing at any of the names."""
    if any(str(path) == STREAM for path in paths):
        if len(paths) > 1:
            raise UsageError(
                "Standard input (-) goes alone", fix="Name the other photos in a command of their own."
            )
        paths = (kept_from_standard_input(scratch, limits.max_bytes),)
    gathered = gather([typed_path(path) for path in paths])
    absent = [one for one in gathered.photos if one.problem is Reason.NOT_FOUND]
    if absent and len(absent) == len(gathered.photos) and not gathered.folders:
        raise UsageError(absent[0].detail.removesuffix("."), absent[0].name)
    return gathered


def _to_standard_output(report: Report) -> None:
    """The one cutout, if there is one."""
    for outcome in report.outcomes:
        for path in outcome.outputs:
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()


def _outbox(
    target: Target,
    gathered: Gathered,
    wanted: tuple[Deliverable, ...],
    scratch: Path,
    mode: int,
    report: Report,
) -> Path:
    """The folder that workers write into, made if need be.

    Raises:
        UsageError: cutouts in it would be taken for photos the next time.
        FolderError: it cannot be made.
    """
    if target.folder is None:
        if report.as_json:
            raise UsageError("--json and -o - both want standard output", fix="Leave one of them out.")
        if streams.STDOUT in streams.closed:
            raise UsageError(
                "Standard output is closed", fix="Send it on: `cutoutd once a.jpg -o - > a.png`."
            )
        if sys.stdout.isatty():
            raise UsageError(
                "Standard output is a terminal", fix="Send it on: `cutoutd once a.jpg -o - > a.png`."
            )
        out = scratch / "out"
        out.mkdir()
        return out
    own = [(one.folder, one.label) for one in wanted]
    eats = folder_that_eats(target.folder, gathered, own, date=time.strftime("%Y-%m-%d"))
    if eats is not None:
        beside = eats.parent / f"{eats.name}-cutouts"
        raise UsageError(
            f"The cutouts would lie in {printable(eats)}, which is cut out here, and the next run would take them "
            "for photos",
            target.folder,
            f"Choose a folder beside it with -o, such as {printable(beside)}.",
        )
    try:
        make_folder(target.folder, mode)
    except OSError as error:
        raise FolderError(
            f"The output folder cannot be made ({error.strerror})", target.folder, "Choose another with -o."
        ) from error
    return target.folder


def _configured(config_file: Path | None) -> tuple[Limits, Mapping[str, Mapping[str, Any]]]:
    """The configuration's limits and own presets; ours, with a warning, where one that nobody named is of no use."""
    try:
        if find_config(config_file) is not None:
            settings = load_settings(config_file).settings
            return settings.limits, settings.preset
    except ConfigError as error:
        if config_file is not None:
            raise
        words = "Your configuration cannot be used, so its presets and limits do not count here:"
        Console(stderr=True).print(
            Text(f"{words}\n{error}\n`cutoutd config check` says more.", style="yellow")
        )
    return Limits(), {}


def _reads(gathered: Gathered, settings: BatchSettings) -> set[Path]:
    """Folders and files of the user's that a worker must be able to read."""
    folders = {Path(os.fsdecode(os.path.dirname(one.full))) for one in gathered.photos}  # noqa: PTH120
    backgrounds = {path for one in settings.deliverables if (path := one.background_path) is not None}
    masks = {Path(os.fsdecode(settings.mask))} if settings.mask else set[Path]()
    return {*folders, *backgrounds, *masks}


def _setup(spec: ModelSpec, settings: BatchSettings, reads: set[Path], scratch: Path) -> WorkerSetup:
    assert spec.path is not None  # noqa: S101 - resolve only finds installed models
    cache = usable_cache(cache_dir())
    engine = Engine()
    machine = accelerator(engine)
    return WorkerSetup(
        lock_path=scratch / "workers.lock",
        read_paths=(
            *sorted(reads),
            spec.path,
            bundled_folder(),
            *machine.reads,
            *([] if cache is None else [cache]),
        ),
        write_paths=(settings.folder,),
        memory_limit_bytes=settings.limits.worker_memory + 3 * spec.path.stat().st_size,
        warm_up=WARM_UP,
        context=Engines((spec,), "auto", cores(), cache, settings.matte.closed_form, proven=False),
        nice=0,  # somebody waits for it, unlike for the daemon
        threads=cores(),
        sandbox=bool(engine.sandbox),
        devices=machine.devices,
        unconfined=machine.unconfined,
        driver=machine.driver,
        callbacks=settings.matte.closed_form,
        recycle_after=engine.recycle_after,
    )
