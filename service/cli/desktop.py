"""`cutoutd desktop …`: menu entries for file managers, and what such an entry calls; `filemanagers/` has the files."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import click

from cutoutd.config.errors import FolderError, printable
from cutoutd.service.cli.path_type import PathType
from cutoutd.service.filemanagers.entries import LOOKS, Entry, linux, macos
from cutoutd.service.listeners.desktop import notifier_command
from cutoutd.service.managers.manager import entry_point
from cutoutd.service.text import counted


@click.group("desktop")
def desktop() -> None:
    """Right click on photos in the file manager: "Remove background", beside the file."""


@desktop.command("install", short_help="Put the entries into the menus.")
@click.option(
    "--print", "only_print", is_flag=True, help="Show the files that would be written; write nothing."
)
def install(only_print: bool) -> None:
    """Add "Remove background" and "… on white" to the menus of Files, Nemo, Caja, Dolphin, or the Finder."""
    for entry in entries():
        if only_print:
            click.echo(f"# {printable(entry.path)}\n{entry.text}")
            continue
        if os.path.lexists(entry.path) and not _is_ours(entry):
            click.echo(f"kept {printable(entry.path)}: it is your own, not cutoutd's", err=True)
            continue
        _write(entry)
        click.echo(f"wrote {printable(entry.path)}")
    if not only_print:
        click.echo(
            "Right click on photos: under Scripts (Files, Nemo, Caja), Actions (Dolphin), Quick Actions (Finder)."
        )


@desktop.command("uninstall")
def uninstall() -> None:
    """Remove the entries again; photos and cutouts stay."""
    removed = [entry.path for entry in entries() if _is_ours(entry)]
    for path in removed:
        try:
            path.unlink()
        except OSError as error:
            raise FolderError(
                f"The entry cannot be removed ({error.strerror})", path, "Check the folder's permissions."
            ) from error
        for folder in path.parents[:2]:
            if folder.suffix == ".workflow" or folder.name == "Contents":
                with contextlib.suppress(
                    OSError
                ):  # something else lies in it, or the other file of the entry
                    folder.rmdir()
        click.echo(f"removed {printable(path)}")
    if not removed:
        click.echo("There is no entry to remove.")


@desktop.command("cut", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("look", type=click.Choice(list(LOOKS)))
@click.argument("paths", nargs=-1, type=PathType(path_type=Path))
def cut(look: str, paths: tuple[Path, ...]) -> int:
    """What a menu entry calls: a cutout beside each photo, and a notification at the end."""
    by_folder: dict[Path, list[str]] = {}
    for path in paths:
        whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as named
        by_folder.setdefault(whole.parent, []).append(str(whole))
    worst = 0
    troubles: list[str] = []
    for folder, photos in by_folder.items():
        command = [
            *entry_point(),
            "once",
            *photos,
            "-o",
            f"{folder}{os.sep}",
            "--name",
            "{stem}-cutout",
            "--quiet",
        ]
        command += ["--background", "white"] if look == "white" else []
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        worst = max(worst, done.returncode)
        troubles += done.stderr.strip().splitlines()
    for line in troubles:
        click.echo(line, err=True)
    _tell(len(paths), troubles)
    return worst


def _tell(count: int, troubles: list[str]) -> None:
    """A notification, since a menu entry has no terminal."""
    notifier = notifier_command()
    if notifier is None:
        return
    title = "Background removed" if not troubles else "Not every background could be removed"
    text = "\n".join(troubles[:3]) if troubles else f"{counted(count, 'photo')}: the cutouts lie beside them"
    subprocess.run(
        [*notifier, title, text], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def entries() -> tuple[Entry, ...]:
    """The files for this platform and user."""
    home = Path.home()
    if sys.platform == "darwin":
        return macos(home, entry_point())
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return linux(data, config, entry_point())


def _is_ours(entry: Entry) -> bool:
    """Whether an entry of ours lies there, and not a script of the user's own with that name."""
    try:
        # A pipe would be waited for.
        return entry.path.is_file() and entry.is_made_by_us(entry.path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return False


def _write(entry: Entry) -> None:
    try:
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        entry.path.write_text(entry.text, encoding="utf-8")
        entry.path.chmod(entry.mode)
    except OSError as error:
        raise FolderError(
            f"The entry cannot be written ({error.strerror})", entry.path, "Check the folder's permissions."
        ) from error
