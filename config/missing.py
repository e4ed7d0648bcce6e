"""Is what a configuration names really there: pictures, programs, and folders that nobody makes? It changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cutoutd.config.errors import printable
from cutoutd.config.explain import Problem
from cutoutd.config.locate import Place
from cutoutd.config.output import Output
from cutoutd.config.settings import Settings
from cutoutd.config.timeouts import run_with_timeout

# All of it together is looked at for so long; what hangs is not known to be missing.
LOOK_S = 5.0


def missing_things(settings: Settings) -> list[Problem]:
    """Background pictures, the metrics' folder and the programs of hooks that are not there or may not be used.

    Inboxes, outboxes and after-care folders are no matter of this: the daemon makes them, or waits for them.
    """
    return run_with_timeout(
        LOOK_S, lambda: [*_backgrounds(settings), *_metrics(settings), *_programs(settings)], []
    )


def _backgrounds(settings: Settings) -> Iterator[Problem]:
    for index, inbox in enumerate(settings.inbox):
        ordered: list[tuple[Place, Output]] = [(("inbox", index, "output"), inbox.output)]
        if inbox.deliver:
            ordered = [(("inbox", index, "deliver", number), one) for number, one in enumerate(inbox.deliver)]
        for number, rule in enumerate(inbox.rule):
            ordered += [(("inbox", index, "rule", number), one) for one in rule.deliver]
            if rule.csv is not None and (why := _no_file(rule.csv)):
                yield Problem(
                    ("inbox", index, "rule", number, "csv"), f"the list {printable(rule.csv)} {why}"
                )
        for place, order in ordered:
            picture = order.background_path
            why = "" if picture is None else _unusable(picture)
            if picture is not None and why:
                yield Problem((*place, "background"), f"the picture {printable(picture)} {why}")


def _hidden(path: Path) -> str:
    """What keeps it from being looked at at all, as in another user's folder; empty also where nothing lies there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    except OSError as error:
        return f"may not be looked at ({error.strerror}): check its name, and give yourself access"
    return ""


def _no_file(path: Path) -> str:
    return _hidden(path) or ("" if path.is_file() else "is not there: check its name")


def _unusable(picture: Path) -> str:
    if hidden := _hidden(picture):
        return hidden
    if not picture.exists():
        return "is not there: check its name, or copy it there"
    if not picture.is_file():
        return "is a folder: name the picture in it"
    return "" if os.access(picture, os.R_OK) else "may not be read: give yourself access to it"


def _metrics(settings: Settings) -> Iterator[Problem]:
    target = settings.metrics.textfile
    if target is None:
        return
    place: Place = ("metrics", "textfile")
    if hidden := _hidden(target.parent) or _hidden(target):
        yield Problem(place, f"{printable(target)} {hidden}")
    elif not target.parent.is_dir():
        yield Problem(
            place, f"the folder {printable(target.parent)} is not there: make it, or name another file"
        )
    elif target.is_dir():
        yield Problem(place, f"{printable(target)} is a folder: name a file in it, such as cutoutd.prom")
    elif not os.access(target.parent, os.W_OK | os.X_OK):
        yield Problem(
            place, f"the folder {printable(target.parent)} may not be written to: give yourself access"
        )


def _programs(settings: Settings) -> Iterator[Problem]:
    """Those named by their path; a bare name is looked for where `cutoutd hooks` runs, which may be elsewhere."""
    for index, hook in enumerate(settings.hook):
        program = Path(hook.program)
        if not program.is_absolute():
            continue
        place: Place = ("hook", index, "command")
        if why := _no_file(program):
            yield Problem(place, f"the program {printable(program)} {why}")
        elif not os.access(program, os.X_OK):
            yield Problem(place, f"the program {printable(program)} may not be started: `chmod +x` lets it")
