"""What a certificate of the fleet allows: the head may ask anything, a node may only work; it makes no certificate."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Whose certificate it is; the scheduler runs with the head's."""

    HEAD = "head"
    NODE = "node"

    @property
    def host(self) -> str:
        """The name in every certificate of this role, which whoever connects asks for in place of a host's name.

        A machine's address may change and its name may be anybody's; this one only our own authority has signed.
        """
        return f"{self.value}.fleet.cutoutd.internal"


def role_of(peer: Any) -> Role | None:
    """The role that a peer's certificate gives it, as `ssl.getpeercert` describes it; None where it gives none."""
    told: dict[str, Any] = peer or {}
    names: set[str] = {value for kind, value in told.get("subjectAltName", ()) if kind == "DNS"}
    found = [role for role in Role if role.host in names]
    return found[0] if len(found) == 1 else None


def name_of(peer: Any) -> str:
    """The machine's name in a peer's certificate, as `ssl.getpeercert` describes it; empty where it has none or two."""
    told: dict[str, Any] = peer or {}
    found = [value for part in told.get("subject", ()) for kind, value in part if kind == "commonName"]
    return str(found[0]) if len(found) == 1 else ""
