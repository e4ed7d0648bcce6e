"""Says that this machine has a service of its own, to whoever asks beside it; it asks nothing of that service."""

from __future__ import annotations

from rich.console import Console

from cutoutd.config.places import service_user
from cutoutd.service.text import tell


def point_to_it(console: Console, command: str, what: str) -> None:
    """A sentence on whom to ask instead, where the machine's service has a state that ours says nothing of.

    Args:
        console: where to say it.
        command: what was asked, as it is typed: `cutoutd status`.
        what: what asking there says: "says how that one stands".
    """
    if (
        user := service_user()
    ):  # who drops photos for that one would start a second one, or wonder where they are
        asked = f"`sudo -u {user} {command}`"
        tell(console, f"This machine has a service of its own: {asked} {what}.", "yellow")
