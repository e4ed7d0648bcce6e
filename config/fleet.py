"""What a fleet needs to know: on the head in its configuration, on a node in a file of its own; it connects nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool, ValidationError, model_validator

from cutoutd.config.errors import ConfigError, printable
from cutoutd.config.section import Section
from cutoutd.config.units import BASE_FOLDER, Folder

# Where a scheduler listens unless its address says otherwise: Dask's own port.
DEFAULT_PORT = 8786
# A node's own file, beside its certificate.
NODE_FILE = "node.toml"
# In the head's folder of certificates: one folder for each node, to be copied there.
NODES_FOLDER = "nodes"
# Names of nodes stand in certificates, in `status` and in file names.
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"


def scheduler_address(value: str) -> str:
    """A scheduler's address as it was written; empty stays empty.

    Raises:
        ValueError: it is not `tls://HOST:PORT`.
    """
    if not value:
        return value
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "tls" and bool(parts.hostname) and parts.port is not None
        whole = whole and not (parts.path or parts.query or parts.username)
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(f'"{value}" is not a scheduler\'s address: write "tls://HOST:8786"')
    return value


Scheduler = Annotated[str, AfterValidator(scheduler_address)]


class Fleet(Section):
    """Other machines that work too; needs the packages distributed and cryptography (docs/FLEET.md)."""

    scheduler: Scheduler = Field(
        default="",
        description='Where `cutoutd fleet scheduler` listens, such as "tls://head.lan:8786"; empty, this machine works '
        "alone. A change needs a restart.",
    )
    certificates: Folder | None = Field(
        default=None,
        description="Folder with ca.pem, head.pem and head.key, as `cutoutd fleet init` made it.",
        examples=["~/.config/cutoutd/fleet"],
    )
    local: StrictBool = Field(
        default=True, description="This machine cuts photos out too; off, only the nodes do."
    )

    @model_validator(mode="after")
    def _certificates_go_with_a_scheduler(self) -> Fleet:
        if self.scheduler and self.certificates is None:
            raise ValueError('scheduler needs certificates = "FOLDER": `cutoutd fleet init` makes them')
        if not self.scheduler and not self.local:
            raise ValueError("local = false leaves nobody to work: name a scheduler, or leave it out")
        return self


class SharedFolder(Section):
    """A folder that head and node both see, by the head's name and by the node's."""

    head: str = Field(description="Its absolute path on the head.")
    here: Folder = Field(description="Where it is mounted on this node.")
    write: StrictBool = Field(default=False, description="Cutouts may be written there: an outbox.")

    @model_validator(mode="after")
    def _absolute(self) -> SharedFolder:
        if not self.head.startswith("/"):
            raise ValueError(f'head = "{self.head}" is no absolute path')
        return self


class Node(Section):
    """A node's own file: which fleet it belongs to, and what it may read and write."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = Field(description="As in its certificate.")
    scheduler: Annotated[Scheduler, Field(min_length=1)] = Field(description="As in the head's [fleet].")
    slots: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="Photos at once; 0 means one per core, but no more than RAM / 2 GB."
    )
    folder: tuple[SharedFolder, ...] = Field(min_length=1, description="The shared folders.")


def load_node(path: Path) -> Node:
    """A node's file.

    Raises:
        ConfigError: it is missing, unreadable, or wrong; names every mistake.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "`cutoutd fleet init` makes a folder for each node; copy it here and name it with --from."
        raise ConfigError(f"the node's file cannot be read ({error.strerror})", path, fix) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the node's file is not valid TOML ({error})", path) from error
    try:
        return Node.model_validate(document, context={BASE_FOLDER: path.parent})
    except ValidationError as error:
        lines = [
            f"{printable(path)}: {'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise ConfigError("the node's file has mistakes", path, problems=tuple(lines)) from error
