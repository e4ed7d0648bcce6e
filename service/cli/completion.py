"""`cutoutd completion SHELL`: what makes a shell complete commands, options and their values by the tab key."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_VARIABLE = "_CUTOUTD_COMPLETE"


def script(shell: str) -> str:
    """The file for one shell: it asks `cutoutd` itself, so own presets and pulled models are completed too."""
    # click's BashComplete.source asks the bash on this machine for its version; a file may be for another one.
    kind = _SHELLS[shell]
    values = kind(click.Command("cutoutd"), {}, "cutoutd", _VARIABLE).source_vars()
    return f"{(kind.source_template % values).strip()}\n"


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and values by the tab key.

    A wheel installs it where bash, zsh and fish look; use this for a checkout, or for other places.
    """
    click.echo(script(shell), nl=False)
