"""Digests of contents that tests have at hand."""

from __future__ import annotations

from cutoutd.daemon.files.digest import CutoutDigest, new_digest


def digest_of(data: bytes) -> str:
    """As the ledger keeps for a photo."""
    return new_digest(data).hexdigest()


def cutout_digest_of(data: bytes) -> str:
    """As the ledger keeps for a cutout."""
    total = CutoutDigest()
    total.update(data)
    return total.hexdigest()
