"""The folders that a configuration names, made when it is set up."""

from __future__ import annotations

from pathlib import Path

from cutoutd.config.errors import FolderError
from cutoutd.config.settings import Settings


def make_folders(settings: Settings) -> list[Path]:
    """Make the inboxes, outboxes and after-care folders that are missing; those that were made.

    Raises:
        FolderError: a folder cannot be made.
    """
    wanted: list[Path] = []
    for inbox in settings.inbox:
        wanted += [inbox.path, inbox.outbox]
        wanted += [folder for folder in (inbox.after.archive, inbox.after.failed) if folder is not None]
    made: list[Path] = []
    for folder in dict.fromkeys(wanted):
        if folder.is_dir():
            continue
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise FolderError(
                f"the folder cannot be made ({error.strerror})", folder, "Make it, or choose another one."
            ) from error
        made.append(folder)
    return made
