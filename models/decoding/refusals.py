"""The sentences with which a photo is refused: damaged, or stored in a way that is not read; decides nothing.

"Copy it again" is only said where another copy would help.
"""

from __future__ import annotations

from typing import Final

from cutoutd.config.errors import LOOKED_AT_AGAIN, PhotoError, Reason

AGAIN: Final = f"Copy it again from the camera or card{LOOKED_AT_AGAIN}."
EXPORT: Final = "Export it as JPEG, PNG or TIFF."


def incomplete(kind: str, detail: str = "") -> PhotoError:
    """The file of format `kind` ends before its picture does."""
    return _refusal(f"The {kind} file is incomplete: it ends before the picture does", detail, AGAIN)


def damaged(kind: str, detail: str = "") -> PhotoError:
    """Some of the picture's data is missing or overwritten."""
    return _refusal(f"The {kind} file is damaged", detail, AGAIN)


def not_read(kind: str, detail: str = "", fix: str = EXPORT) -> PhotoError:
    """The file may be sound, but its variant of the format `kind` is not read."""
    return _refusal(f"The {kind} file is stored in a way that cutoutd does not read", detail, fix)


def overpacked(kind: str, detail: str = "") -> PhotoError:
    """A text or profile that is a bomb."""
    return _refusal(
        f"The {kind} file carries a text or colour profile that unpacks to more than any photo needs",
        detail,
        AGAIN,
    )


def larger_than_said(kind: str, detail: str = "") -> PhotoError:
    """The header announced fewer pixels, within limits."""
    return _refusal(f"The {kind} file holds more pixels than its header says", detail, AGAIN)


def invisible() -> PhotoError:
    """Every pixel is transparent."""
    return PhotoError(
        Reason.NO_SUBJECT,
        "The photo is transparent everywhere, so nothing of it can be seen",
        None,
        "Export it again without transparency.",
    )


def _refusal(what: str, detail: str, fix: str) -> PhotoError:
    return PhotoError(Reason.UNREADABLE, what + (f" ({detail})" if detail else ""), None, fix)
