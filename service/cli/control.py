"""`retry`, `redo`, `pause`, `resume`, `rescan`, `forget`: all through the ledger, no sockets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from cutoutd.config.errors import ConfigError, LedgerError, UsageError, printable
from cutoutd.config.load import load_settings
from cutoutd.config.places import state_dir
from cutoutd.config.settings import Settings
from cutoutd.config.typed_paths import is_folder, typed_path
from cutoutd.config.units import parse_duration_s
from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.addressing import AddressBook
from cutoutd.daemon.ledger.control import ABOUT_ALL, CommandAnswer, CommandArguments, Control, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.overrides import Overrides
from cutoutd.daemon.ledger.records import PhotoRow
from cutoutd.daemon.ledger.states import State
from cutoutd.daemon.ledger.troubles import LedgerOldError
from cutoutd.daemon.lock import StateLock, holder
from cutoutd.service.cli.option_flags import (
    Sectioned,
    as_typed,
    completer,
    corrects,
    deliverable_labels,
    fixes_of,
    given,
    mask_option,
    matte_options,
    output_and_matte_flags,
    output_options,
    remove_option,
)
from cutoutd.service.text import counted

# A daemon answers within its housekeeping interval even when the wake-up signal may not be sent to it.
ANSWER_WAIT_S = 12.0

json_option = click.option("--json", "as_json", is_flag=True, help="For scripts.")


@contextmanager
def open_ledger_file() -> Generator[Ledger]:
    """The ledger, without the daemon's checks. Raises UsageError when cutoutd has never run here."""
    path = state_dir() / "ledger.sqlite"
    if not path.exists():
        if holder(state_dir()) is not None:  # it starts, or somebody removed the ledger
            raise LedgerError(
                "The ledger is not there", path, "The daemon writes it within seconds; try again."
            )
        raise UsageError("cutoutd has not run here yet", path, "Start it with `cutoutd run`.")
    ledger = _opened(path)
    try:
        yield ledger
    finally:
        ledger.close()


def _opened(path: Path) -> Ledger:
    try:
        return Ledger(path, check=False, upgrade=False)
    except LedgerOldError:
        if holder(state_dir()) is not None:
            raise
    lock = StateLock(state_dir())  # no daemon, of whatever version, may be at work with it
    try:
        return Ledger(path, check=False)
    finally:
        lock.release()


def command(
    verb: Verb, arguments: CommandArguments = ABOUT_ALL, wait_s: float = ANSWER_WAIT_S
) -> CommandAnswer:
    """Has a command carried out: by the daemon if one is at work, else right here.

    Args:
        verb: what is to be done.
        arguments: with which photos, and how; a mask that its overrides speak of has been copied.
        wait_s: how long a daemon's answer is waited for, seconds.

    Returns:
        What came of it, or that it waits.
    """
    mask = arguments.overrides.mask
    with open_ledger_file() as ledger:
        pid = holder(state_dir())
        if pid is None:
            lock = StateLock(state_dir())
            try:
                if mask:
                    masks.keep(ledger, mask)
                answer = carry_out(ledger, verb, arguments, _settings)
                with suppress(OSError):  # the next daemon tries again
                    masks.drop_orphans(ledger)
                return answer
            finally:
                lock.release()
        control = Control(ledger)
        with ledger.durably():
            if mask:
                masks.keep(ledger, mask)
            number = control.command(verb, arguments)
        if pid:
            with suppress(PermissionError, ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            answer = control.answered(number)
            if answer is not None:
                return answer
            time.sleep(0.05)
        return CommandAnswer(waiting=True)


def _settings() -> Settings | None:
    """Those in force; a broken configuration is for the daemon's start to complain of."""
    try:
        return load_settings().settings
    except ConfigError:
        return None


def _say(answer: CommandAnswer, done: str, nothing: str = "") -> None:
    if answer.refused:
        raise UsageError(as_typed(answer.refused), fix=answer.fix)
    if answer.waiting:
        click.echo("The daemon is busy; it carries this out as soon as it can.")
    elif not nothing or answer.count:
        click.echo(done.format(photos=counted(answer.count or 0, "photo")))
    elif not answer.left_out:
        click.echo(nothing)
    if answer.left_out:
        left = counted(answer.left_out, "photo")
        click.echo(f"Left out: {left} of inboxes that are not in the configuration.")


# --- which photos ------------------------------------------------------------------------------------------------

_STATES = {
    State.PENDING: "is waiting to be cut out",
    State.RUNNING: "is in hand just now",
    State.DELIVERING: "is being delivered",
    State.DONE: "is done; `cutoutd redo` makes it again",
    State.FAILED: "has failed; `cutoutd retry` tries it again",
    State.SKIPPED: "was skipped ({reason}), and gets no cutout",
    State.SUPERSEDED: "has given way to a newer photo of its name",
}
_UNDER_WAY = (State.PENDING, State.RUNNING, State.DELIVERING)


def _meant(
    verb: Verb, typed: tuple[str, ...], *, all_of_them: bool
) -> tuple[frozenset[int] | None, list[str]]:
    """The photos that a command is about (None: all), and a sentence for each name that means none of them."""
    if bool(typed) == all_of_them:
        raise UsageError("Say which photos", fix="Name files or folders, or give --all.")
    if all_of_them:
        return None, []
    with open_ledger_file() as ledger:
        book = AddressBook(ledger)
        able = Control(ledger).able(verb)
    photos: set[int] = set()
    unmeant: list[str] = []
    for text in typed:
        found = book.find(text)
        meant = [row.id for row in found if row.id in able]
        if verb is Verb.REDO:  # one that failed is done again where it is named itself, not with its folder
            named = {row.id for row in book.find(text, below=False)}
            meant = [
                row.id for row in found if row.id in able and (row.state == State.DONE or row.id in named)
            ]
        photos.update(meant)
        if not meant:
            unmeant.append(f"{printable(text)}: {_why_not(verb, text, found)}")
    return frozenset(photos), unmeant


def _under_way(typed: tuple[str, ...]) -> int:
    """How many photos below the folders named, of all where none is, are not done yet and so are not done again.

    A name that means no finished photo at all is a mistake, of which `_why_not` says the same.
    """
    with open_ledger_file() as ledger:
        if not typed:
            counts = Control(ledger).counts()
            return sum(counts[state] for state in _UNDER_WAY)
        book = AddressBook(ledger)
        named = [book.find(text) for text in typed]
        meant = [found for found in named if any(row.state == State.DONE for row in found)]
        return len({row.id for found in meant for row in found if State(row.state) in _UNDER_WAY})


def _why_not(verb: Verb, typed: str, found: list[PhotoRow]) -> str:
    if not found:
        return (
            "no photo is known by this name, or its name is no longer kept;"
            " `cutoutd status` and `cutoutd failures` show names."
        )
    name = Path(typed).name
    # Several folders may have a photo of that name; it is said how the newest one stands.
    called = [row for row in found if Path(printable(row.path or b"")).name == name]
    if not called and len({row.path for row in found}) > 1:
        wanted = {Verb.RETRY: "has failed", Verb.REDO: "is done", Verb.FORGET: "is finished"}[verb]
        return f"no photo in it {wanted}."
    last = (called or found)[-1]
    state = State(last.state)
    # Nobody need try again what will be cut out anyway.
    later = "; ask again when it is done" if verb is not Verb.RETRY and state in _UNDER_WAY else ""
    return f"it {_STATES[state].format(reason=last.reason)}{later}."


def _carry_out(
    verb: Verb,
    typed: tuple[str, ...],
    done: str,
    nothing: str,
    *,
    all_of_them: bool,
    arguments: CommandArguments = ABOUT_ALL,
) -> None:
    """Has it carried out for what is meant. Raises UsageError where a name means nothing."""
    photos, unmeant = _meant(verb, typed, all_of_them=all_of_them)
    if photos is None or photos:
        if verb is not Verb.FORGET and holder(state_dir()) is None:
            done = done.removesuffix(".") + " when cutoutd runs."
        left = _under_way(typed) if verb is Verb.REDO else 0
        _say(command(verb, replace(arguments, photos=photos)), done, nothing)
        if left:
            it = "it is" if left == 1 else "they are"
            click.echo(
                f"Left out: {counted(left, 'photo')} waiting or in hand just now; ask again when {it} done."
            )
    if unmeant:
        raise UsageError("\n".join(unmeant).removesuffix("."))


# --- commands ----------------------------------------------------------------------------------------------------


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All failed photos.")
def retry(paths: tuple[str, ...], everything: bool) -> None:
    """Try failed photos again.

    PATHS are photos or folders as cutoutd prints them: in the inbox, in the folder for failed ones, or bare names.
    What a `redo` asked for them still holds. Exit code 2 where one of them means no failed photo.
    """
    _carry_out(
        Verb.RETRY, paths, "{photos} will be tried again.", "No photo has failed.", all_of_them=everything
    )


@click.command(cls=Sectioned)
@click.argument("paths", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All finished photos whose names are kept.")
@click.option("--since", help='Photos finished within this time, e.g. "2h".')
@click.option(
    "--deliverable",
    default="",
    help="Only this deliverable of each photo, by its label in the configuration.",
    shell_complete=completer(deliverable_labels),
)
@remove_option
@mask_option
@click.option(
    "--forget-points",
    is_flag=True,
    help="Leave out the points or the mask that a photo was made with before.",
)
@output_and_matte_flags
def redo(
    paths: tuple[str, ...],
    everything: bool,
    since: str | None,
    deliverable: str,
    mask: Path | None,
    forget_points: bool,
    **options: Any,
) -> None:
    """Make finished cutouts again, with the present config and the options given here.

    PATHS are photos, cutouts or folders as cutoutd prints them: in the inbox, the archive or the outbox, or bare
    names. The new cutout replaces its own earlier one; a cutout you have edited stays, and the new one takes the
    next free name. A photo that has failed is meant where it is named itself: --keep, --roi or --mask say where
    its subject is. The points or the mask that a photo was made with go on counting until others take their place.
    """
    fixes = fixes_of(options)
    corrects(mask, fixes, one=len(paths) == 1 and not is_folder(typed_path(paths[0])))
    kept = mask is not None and bool(_meant(Verb.REDO, paths, all_of_them=False)[0])
    overrides = Overrides(
        deliverable,
        output_options(options) if given(options, "output") else {},
        matte_options(options).model_dump(exclude_unset=True) if given(options, "matte") else {},
        fixes,
        _copied(mask) if mask is not None and kept else "",
        forget_points,
    )
    after = None if since is None else time.time() - _seconds(since)
    _carry_out(
        Verb.REDO,
        paths,
        "{photos} will be done again.",
        f"No finished photo {f'has a deliverable {deliverable!r}' if deliverable else 'is meant'}, or its name is no "
        "longer kept.",
        all_of_them=everything or (since is not None and not paths),
        arguments=CommandArguments(since=after, overrides=overrides),
    )


def _copied(mask: Path) -> str:
    """The name that a mask has in the state folder from now on."""
    try:
        return masks.copied(state_dir(), typed_path(mask))
    except OSError as error:
        raise UsageError(
            f"The mask cannot be copied to the state folder ({error.strerror})", state_dir()
        ) from error


def _seconds(text: str) -> float:
    try:
        return float(parse_duration_s(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


@click.command()
def pause() -> None:
    """Start no new photo; photos in hand are finished, new ones are remembered."""
    _say(command(Verb.PAUSE), "Paused. `cutoutd resume` goes on.")


@click.command()
def resume() -> None:
    """Go on after `pause`."""
    _say(command(Verb.RESUME), "Going on.")


@click.command()
def rescan() -> None:
    """Look through all inboxes now, instead of waiting for the next regular look."""
    if holder(state_dir()) is None:
        raise UsageError(
            "the daemon is not running", fix="It looks through all inboxes when it starts: `cutoutd run`."
        )
    _say(command(Verb.RESCAN), "Looking through the inboxes.")


@click.command()
@click.argument("paths", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Rows too; only keyed digests stay, so that nothing is redone."
)
def forget(paths: tuple[str, ...], everything: bool) -> None:
    """Remove the names of finished photos from the ledger; photos and cutouts stay.

    With PATHS only theirs: photos, cutouts or folders as cutoutd prints them.
    """
    if paths and everything:
        raise UsageError("--all and PATHS exclude each other", fix="Leave one of them out.")
    _carry_out(
        Verb.FORGET,
        paths,
        "{photos} forgotten; nothing is done again for that.",
        "No photo is finished.",
        all_of_them=not paths,
        arguments=CommandArguments(everything=everything),
    )
