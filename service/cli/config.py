"""`cutoutd init` and `cutoutd config …`: making and inspecting the configuration; it starts nothing."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from cutoutd.config import dump, places, reference
from cutoutd.config.errors import ConfigError, ModelError, UsageError, json_lines, printable
from cutoutd.config.load import Instead, Loaded, load_settings, parse_settings
from cutoutd.config.output import extension
from cutoutd.config.settings import Settings
from cutoutd.config.typed_paths import is_there, typed_path
from cutoutd.daemon.dispatch.deliverable_rules import chosen, problems_of_list
from cutoutd.daemon.lock import holder
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.folders import make_folders
from cutoutd.service.listeners.desktop import notifier_warnings

config_option = click.option(
    "--config",
    "-c",
    "config_file",
    type=PathType(path_type=Path, dir_okay=False),
    help="The configuration file; unset, the usual places are looked at.",
)


@click.group("config")
def config() -> None:
    """Check and show the configuration."""


@config.command("check", short_help="Name every mistake with its line.")
@config_option
@click.option(
    "--for",
    "photo",
    type=PathType(path_type=Path),
    help="Say which rule decides about this photo and what it becomes; it need not exist yet.",
)
def check(config_file: Path | None, photo: Path | None) -> None:
    """Name every mistake with its line; say which file is used and what it asks for.

    Pictures, folders and lists that options name are looked for, too. Exit code 4 where something is wrong.
    """
    from cutoutd.models.networks.catalog import resolve

    loaded = load_settings(config_file, look=True)
    for inbox in loaded.settings.inbox:
        try:
            resolve(inbox.model or inbox.quality, places.models_dir())
        except ModelError as error:
            raise ModelError(f"{inbox.label}: {error.what}", loaded.path, error.fix) from error
    problems = [
        problem
        for inbox in loaded.settings.inbox
        for rule in inbox.rule
        for problem in problems_of_list(rule, inbox, loaded.settings.preset)
    ]
    if problems:
        raise ConfigError("a list of photos is wrong", problems=tuple(problems))
    if photo is not None:
        _say_what_becomes_of(photo, loaded.settings)
        return
    click.echo(f"{_source(loaded)}: no mistakes")
    for inbox in loaded.settings.inbox:
        click.echo(f"  {printable(inbox.label)}: {printable(inbox.path)} -> {printable(inbox.outbox)}")
    for warning in notifier_warnings(loaded.settings):
        click.echo(f"warning: {warning}", err=True)


def _say_what_becomes_of(photo: Path, settings: Settings) -> None:
    path = typed_path(photo)
    inbox = next((one for one in settings.inbox if path.is_relative_to(one.path)), None)
    if inbox is None:
        known = ", ".join(printable(one.path) for one in settings.inbox)
        raise UsageError("This photo lies in no inbox", path, f"The inboxes are: {known}.")
    owed = chosen(inbox, os.fsencode(path.relative_to(inbox.path)), settings.preset)
    click.echo(f"{printable(path)}: {printable(owed.rule or f'no rule fits, so as {inbox.label} says')}")
    for one in owed.deliverables:
        preset = f" (preset {one.preset})" if one.preset else ""
        click.echo(f"  {one.label}{preset}: {printable(one.name + extension(one))}")


@config.command("show")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of TOML.")
def show(config_file: Path | None, as_json: bool) -> None:
    """Print every setting in force, defaults and presets worked in."""
    loaded = load_settings(config_file)
    if as_json:
        click.echo(json_lines(loaded.settings.model_dump(mode="json")))
        return
    click.echo(f"# from {_source(loaded)}\n{dump.to_toml(loaded.settings)}", nl=False)


@config.command("sample")
def sample() -> None:
    """Print a commented configuration with every option and its default."""
    inbox, outbox = places.default_folders(places.pictures_dir())
    click.echo(reference.sample(_short(inbox), _short(outbox)), nl=False)


@config.command("schema")
def schema() -> None:
    """Print the JSON schema, for editors that complete and check TOML."""
    click.echo(reference.schema(), nl=False)


@click.command("init")
@config_option
@click.option("--inbox", type=PathType(path_type=Path), help="The folder to watch.")
@click.option("--outbox", type=PathType(path_type=Path), help="Where cutouts appear.")
def init(config_file: Path | None, inbox: Path | None, outbox: Path | None) -> None:
    """Write the commented sample configuration and make its folders; what exists is left as it is."""
    path = typed_path(config_file or places.config_path())
    default_inbox, default_outbox = places.default_folders(places.pictures_dir())
    watched, filled = inbox or default_inbox, outbox or default_outbox
    text = reference.sample(_short(watched), _short(filled))
    if not is_there(path):  # one with a mistake would be kept by the next call, which has none
        parse_settings(text, path, Instead(typed_path(watched), typed_path(filled)))
    written = write_new(path, text)
    click.echo(f"{'wrote' if written else 'kept'} {printable(path)}")
    if not written and (inbox or outbox):
        click.echo("The configuration was there already: --inbox and --outbox changed nothing in it.")
    for folder in make_folders(load_settings(path).settings):
        click.echo(f"made {printable(folder)}")
    settings = load_settings(path).settings
    click.echo(f"Save photos into {printable(settings.inbox[0].path)}; {_what_next(path)}.")


def _what_next(path: Path) -> str:
    pid = holder(places.state_dir())
    if pid is None:
        found = next((one for one in places.config_candidates() if one.is_file()), None)
        return f"start with `cutoutd run{'' if found == path else f' -c {shlex.quote(printable(path))}'}`"
    at_work = f"the daemon at work (process {pid or 'unknown'})"
    if path == places.config_path().absolute():
        return f"{at_work} takes it up within seconds, unless it was started with a configuration or folders of its own"
    return f"stop {at_work}, and start it with this configuration"


def write_new(path: Path, text: str) -> bool:
    """Write a file that does not exist yet; False, and nothing done, where it does.

    Raises:
        ConfigError: the file cannot be written.
    """
    if is_there(path):
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"the configuration cannot be written ({error.strerror})", path) from error
    return True


def _source(loaded: Loaded) -> str:
    return printable(loaded.path) if loaded.path is not None else "the defaults (there is no config file)"


def _short(path: Path) -> str:
    """A path below the home folder as `~/…`, so that the file can be handed on."""
    whole, home = str(typed_path(path)), str(Path.home())
    return "~" + whole[len(home) :] if whole.startswith(home + os.sep) else whole
