"""Digests of contents that tests have at hand."""

from __future__ import annotations

from cutoutd.daemon.files.digest import new_digest


def digest_of(data: bytes) -> str:
    """As the ledger keeps it."""
    return new_digest(data).hexdigest()
