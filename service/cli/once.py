"""`cutoutd once`: files and folders, once, through the same workers as the daemon."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cutoutd.config.errors import ConfigError, ExitCode, FolderError, UsageError, printable
from cutoutd.config.load import find_config, load_settings
from cutoutd.config.places import cache_dir, models_dir
from cutoutd.config.settings import Engine, Limits
from cutoutd.daemon.batch import Batch, BatchOrder, Outcome, Source, sources
from cutoutd.daemon.plan import accelerator, bundled_folder, usable_cache
from cutoutd.daemon.sandbox.guard import guard_supervisor
from cutoutd.daemon.workers.job import Engines
from cutoutd.daemon.workers.pool import WorkerSetup
from cutoutd.daemon.workers.sizing import cores, crew_for
from cutoutd.models.networks.catalog import ModelSpec, resolve
from cutoutd.service.cli.config import config_option
from cutoutd.service.cli.option_flags import deliverables, matte_options, output_and_matte_flags


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", "folder", required=True, type=click.Path(path_type=Path), help="Where cutouts go."
)
@click.option(
    "--preset", "presets", multiple=True, help="Start from a preset; several give several outputs each."
)
@click.option("--model", default="", help="A model by name, `fast`, or `best`; unset, the bundled one.")
@click.option(
    "--effort",
    type=click.Choice(["normal", "high"]),
    default="normal",
    help="High looks at each photo twice as often.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes; unset, one per core.")
@click.option("--overwrite", is_flag=True, help="Replace files under the cutouts' names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per photo.")
@click.option("--timings", is_flag=True, help="Print the seconds each stage took.")
@config_option
@output_and_matte_flags
def once(
    paths: tuple[Path, ...],
    folder: Path,
    presets: tuple[str, ...],
    model: str,
    effort: Any,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
    timings: bool,
    config_file: Path | None,
    **options: Any,
) -> int:
    """Cut out PATHS (files and folders), once.

    Originals are never touched. Run again, finished photos keep their names: a second file appears only where
    the bytes differ. Of your configuration, its presets and its limits are used. Exit code 0: all done; 3: some
    failed; 2: the command makes no sense.
    """
    limits, custom = _configured(config_file)
    orders = deliverables(options, presets, custom)
    matte = matte_options(options)
    spec = resolve(model, models_dir(), effort)
    photos = _photos(paths)
    umask = os.umask(0o077)
    out = _make(folder, 0o777 & ~umask)
    guard_supervisor()
    order = BatchOrder(out, spec.name, orders, matte, limits, umask, overwrite)
    backgrounds = [path for one in orders if (path := one.background_path) is not None]
    size = min(crew_for([spec], workers or 0).size, max(1, len(photos)))
    with tempfile.TemporaryDirectory(prefix="cutoutd-") as scratch:
        reads = {*(Path(os.fsdecode(one.root)) for one in photos), *backgrounds}
        setup = _setup(spec, reads, out, Path(scratch), limits, closed_form=matte.closed_form)
        batch = Batch(order, setup, size, instance=secrets.token_hex(4))
        transitions = _show(batch, photos, as_json=as_json, timings=timings)
    return int(ExitCode.SOME_FAILED if any(one.state != "done" for one in transitions) else ExitCode.OK)


def _photos(paths: tuple[Path, ...]) -> list[Source]:
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        raise UsageError("There is no such file or folder", missing[0], "Check the name.")
    try:
        return list(sources([Path(os.path.abspath(path)) for path in paths]))  # noqa: PTH100 - links stay as named
    except OSError as error:
        raise FolderError(
            f"It cannot be read ({error.strerror})", error.filename, "Check its permissions."
        ) from error


def _make(folder: Path, mode: int) -> Path:
    path = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - links stay as named
    from cutoutd.daemon.delivery.outboxes import make_folder

    if path.exists() and not path.is_dir():
        raise FolderError("This is a file, and cutouts need a folder", path, "Choose another with -o.")
    try:
        make_folder(path, mode)
    except OSError as error:
        raise FolderError(
            f"The output folder cannot be made ({error.strerror})", path, "Choose another with -o."
        ) from error
    return path


def _configured(config_file: Path | None) -> tuple[Limits, Mapping[str, Mapping[str, Any]]]:
    """The configuration's limits and own presets; ours, with a warning, where one that nobody named is broken."""
    try:
        if find_config(config_file) is not None:
            settings = load_settings(config_file).settings
            return settings.limits, settings.preset
    except ConfigError as error:
        if config_file is not None:
            raise
        words = "Your configuration has mistakes, so its presets and limits are not used here:"
        Console(stderr=True).print(
            Text(f"{words}\n{error}\n`cutoutd config check` says more.", style="yellow")
        )
    return Limits(), {}


def _setup(
    spec: ModelSpec, reads: set[Path], out: Path, scratch: Path, limits: Limits, *, closed_form: bool
) -> WorkerSetup:
    assert spec.path is not None  # noqa: S101 - resolve only finds installed models
    cache = usable_cache(cache_dir())
    engine = Engine()
    machine = accelerator(engine)
    return WorkerSetup(
        lock_path=scratch / "workers.lock",
        read_paths=(*sorted(reads), spec.path, bundled_folder(), *machine.reads),
        write_paths=(out,) if cache is None else (out, cache),
        memory_limit_bytes=limits.worker_memory + 3 * spec.path.stat().st_size,
        warm_up="cutoutd.daemon.workers.job:warm_up",
        context=Engines((spec,), "auto", cores(), cache, closed_form),
        nice=0,  # somebody waits for it, unlike for the daemon
        threads=cores(),
        sandbox=bool(engine.sandbox),
        devices=machine.devices,
        unconfined=machine.unconfined,
        recycle_after=engine.recycle_after,
    )


def _show(batch: Batch, photos: list[Source], *, as_json: bool, timings: bool) -> list[Outcome]:
    """Runs the batch with a progress bar (or as JSON lines) and a closing summary."""
    console = Console(stderr=True)
    transitions: list[Outcome] = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=as_json or not console.is_terminal,
    ) as progress:
        task = progress.add_task("Cutting out", total=len(photos))
        for outcome in batch.run(photos):
            transitions.append(outcome)
            progress.advance(task)
            if as_json:
                sys.stdout.write(json.dumps(as_dict(outcome)) + "\n")
                sys.stdout.flush()
            elif outcome.state != "done":
                name = printable(outcome.source.path)
                progress.console.print(Text(f"✗ {name}: {outcome.reason}. {outcome.detail}", style="red"))
            elif outcome.detail:
                name = printable(outcome.source.path)
                progress.console.print(Text(f"• {name}: {outcome.detail}", style="yellow"))
    if not as_json:
        _summary(console, transitions, batch)
        if timings:
            console.print(timings_table(transitions))
    return transitions


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """One photo's outcome for scripts."""
    return {
        "source": os.fsdecode(outcome.source.full).encode("utf-8", "backslashreplace").decode(),
        "state": outcome.state,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "outputs": [printable(path) for path in outcome.outputs],
        "seconds": round(outcome.seconds, 3),
        "timings": {stage: round(seconds, 4) for stage, seconds in outcome.timings.items()},
    }


def _summary(console: Console, transitions: list[Outcome], batch: Batch) -> None:
    done = [one for one in transitions if one.state == "done"]
    bad = len(transitions) - len(done)
    models = ", ".join(f"{name} on {facts['provider']}" for name, facts in batch.models.items())
    if not transitions:
        console.print("No photos there: JPEG, PNG, WebP, TIFF, HEIC, AVIF, BMP and GIF are taken up.")
        return
    first = printable(done[0].outputs[0]) if done else ""
    line = f"{len(done)} done" + (f", {bad} not" if bad else "") + (f" · {models}" if models else "")
    console.print(Text(line, style="bold green" if not bad else "bold yellow"))
    if done:
        console.print(Text(f"First: {first}", style="dim"))


def timings_table(transitions: list[Outcome]) -> Table:
    """Median milliseconds per stage over all finished photos."""
    import statistics

    table = Table("stage", "median ms", title="Where the time goes")
    done = [one for one in transitions if one.state == "done"]
    stages = dict.fromkeys(stage for one in done for stage in one.timings)
    for stage in stages:
        values = [one.timings[stage] * 1000 for one in done if stage in one.timings]
        table.add_row(stage, f"{statistics.median(values):.0f}")
    if done:
        table.add_row("whole photo", f"{statistics.median(one.seconds * 1000 for one in done):.0f}")
    return table
