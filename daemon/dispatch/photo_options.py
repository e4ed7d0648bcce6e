"""What one photo is made into: the options of its inbox, and what a `redo` changes in them; makes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from cutoutd.config.errors import UsageError
from cutoutd.config.explain import problems_of
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.config.settings import Inbox, Settings
from cutoutd.daemon.dispatch.deliverable_rules import Presets, chosen
from cutoutd.daemon.ledger.overrides import Overrides

NO_PRESETS: Presets = MappingProxyType({})


class PhotoOptions(Struct, frozen=True):
    """What one photo is made into, after the overrides of a `redo`; `mask` is the name of a mask kept for it."""

    deliverables: tuple[Deliverable, ...]
    matte: Matte
    limits: Limits
    fixes: Fixes = NOTHING_FIXED
    mask: str = ""


def options_for(
    inbox: Inbox,
    limits: Limits,
    overrides: Overrides,
    path: bytes = b"",
    presets: Presets = NO_PRESETS,
) -> PhotoOptions:
    """The options of one photo.

    Args:
        inbox: its inbox's settings.
        limits: the daemon's limits.
        overrides: what a `redo` asks for.
        path: the photo, relative to its inbox: rules of the inbox may name it.
        presets: the user's own, which lists may name.

    Raises:
        ListError: a list that may name it cannot be read now.
        UsageError: the overrides contradict what the inbox says, or name a deliverable that it does not have.
    """
    wanted = overrides.deliverable
    owed = chosen(inbox, path, presets).deliverables
    deliverables = tuple(deliverable for deliverable in owed if not wanted or deliverable.label == wanted)
    if not deliverables:
        known = ", ".join(deliverable.label for deliverable in owed)
        raise UsageError(f'There is no deliverable "{wanted}" in {inbox.label}', fix=f"These are: {known}.")
    try:
        return PhotoOptions(
            tuple(_changed(deliverable, overrides.output) for deliverable in deliverables),
            _with(inbox.matte, overrides.matte),
            limits,
            overrides.fixes,
            overrides.mask,
        )
    except ValidationError as error:
        words = "; ".join(problem.message for problem in problems_of(error, Deliverable))
        raise UsageError(
            f"The options of `redo` do not go with those of {inbox.label}: {words}",
            fix="Give `redo` other options, or only the folder of an inbox that they go with.",
        ) from error


def _changed(deliverable: Deliverable, options: Mapping[str, Any]) -> Deliverable:
    if not options:
        return deliverable
    return Deliverable.model_validate(
        {**deliverable.model_dump(exclude_unset=True), **options, "label": deliverable.label}
    )


def _with(matte: Matte, options: Mapping[str, Any]) -> Matte:
    return Matte.model_validate({**matte.model_dump(exclude_unset=True), **options}) if options else matte


def meant_by(settings: Settings, overrides: Overrides) -> Callable[[bytes, bytes], bool]:
    """A judge of photos, by inbox and path: whether they can be done again with these overrides.

    Photos without the deliverable that is to be made again are not meant. Those of an inbox that has left the
    configuration are: they end with that as their reason.

    The judge raises:
        UsageError: the overrides make no sense there, or name a picture that no worker may read.
    """
    inboxes = {os.fsencode(one.path): one for one in settings.inbox}
    wanted = overrides.deliverable
    lists = any(rule.csv for one in settings.inbox for rule in one.rule)
    known = dict.fromkeys(
        deliverable.label for one in settings.inbox for deliverable in one.any_deliverables()
    )
    if wanted and wanted not in known and not lists:
        raise UsageError(f'No inbox has a deliverable "{wanted}"', fix=f"These are: {', '.join(known)}.")

    sound: set[tuple[bytes, tuple[Deliverable, ...]]] = set()

    def meant(key: bytes, path: bytes) -> bool:
        """The judge."""
        inbox = inboxes.get(key)
        if inbox is None:
            return True
        owed = chosen(inbox, path, settings.preset).deliverables
        if wanted and all(deliverable.label != wanted for deliverable in owed):
            return False
        if (key, owed) in sound:  # thousands of photos owe the same
            return True
        options = options_for(inbox, settings.limits, overrides, path, settings.preset)
        for picture in (deliverable.background_path for deliverable in options.deliverables):
            if picture is not None and not _readable(settings, picture):
                raise UsageError(
                    "The daemon may only read background pictures that its configuration names",
                    picture,
                    "Name it there as a background, or use `cutoutd once`.",
                )
        sound.add((key, owed))
        return True

    return meant


def _readable(settings: Settings, picture: Path) -> bool:
    """Whether workers may read this picture; `plan.worker_setups` lists the same places."""
    if settings.engine.sandbox is not True:  # files are left alone without it, and with "network"
        return True
    named = {deliverable.background_path for one in settings.inbox for deliverable in one.any_deliverables()}
    places = [
        place
        for one in settings.inbox
        for place in (one.path, one.outbox, one.after.archive, one.after.failed)
        if place is not None
    ]
    return picture in named or any(picture.is_relative_to(place) for place in places)
