"""How long to wait before the next try of whatever failed; one formula for all of them, and no clock."""

from __future__ import annotations

# Beyond this many doublings every limit holds, and the power of a thousand failures would overflow.
_DOUBLINGS = 30


def backoff_s(failures: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """Seconds until the next try: the first pause, grown with each failure, and never longer than the longest.

    Args:
        failures: how many tries in a row have failed, this one included; with 0 there is no pause.
        first_s: the pause after the first.
        longest_s: the longest.
        factor: by how much each pause is longer than the one before.
    """
    if failures <= 0:
        return 0.0
    return min(longest_s, first_s * factor ** min(failures - 1, _DOUBLINGS))
