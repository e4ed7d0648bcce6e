"""What a gallery's page is told: photos as plain values in a script, and a picture that says when they change.

A page from a disk may read no other kinds of files. Nothing of it is markup: the page makes text of every value.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from cutoutd.config.errors import printable
from cutoutd.daemon.ledger.previews import PICTURES
from cutoutd.daemon.ledger.shots import Picture, Shot, Standing
from cutoutd.service.gallery.shelf import Kept

# What page and feed agree on (`core.js`); a page that finds another number loads itself anew.
FORMAT: Final = 1
# Numbers that one side of the pulse's picture can say; browsers refuse pictures that are much larger.
_PULSES: Final = 16_000

FindSmall = Callable[[int, Picture], Kept | None]
FindWhole = Callable[[int, Picture], str]


class Tone(Struct, frozen=True):
    """What a page tells, and what stands for the ledger in saved choices.

    Attributes:
        gallery: a text that stands for this ledger.
        client: neither names nor times nor networks nor sentences, and finished photos only.
        live: more may come: the page looks often.
    """

    gallery: str
    client: bool
    live: bool


def gallery_id(key: Callable[[bytes], bytes]) -> str:
    """What stands for a ledger, made with its key function."""
    return key(b"gallery")[:8].hex()


def feed(
    shots: list[Shot], small: FindSmall, whole: FindWhole, tone: Tone, standing: Standing, *, making: int = 0
) -> dict[str, Any]:
    """The page's whole knowledge.

    Args:
        shots: newest first.
        small: finds the small picture of a photo's file, where there is one.
        whole: finds the address of the file itself, where the page may show it; else empty.
        tone: what may be told.
        standing: photos that are owed or have failed.
        making: small pictures that are still to be made.
    """
    photos: list[dict[str, Any]] = []
    absent = 0
    for shot in shots:
        told = _photo(shot, small, whole, client=tone.client, making=making > 0)
        if told is not None:
            photos.append(told)
        elif shot.state == "done" and not making:
            absent += 1
    found: dict[str, Any] = {
        "format": FORMAT,
        "gallery": tone.gallery,
        "client": tone.client,
        "live": tone.live,
        "busy": standing.in_hand > 0 or making > 0,
        "photos": photos,
    }
    if not tone.client:
        found |= {
            "waiting": standing.waiting,
            "in_hand": standing.in_hand,
            "failed": standing.failed,
            "making": making,
            "absent": absent,
        }
    return found


def _photo(
    shot: Shot, small: FindSmall, whole: FindWhole, *, client: bool, making: bool
) -> dict[str, Any] | None:
    """One photo; None where there is nothing to show of it yet, or nothing any more.

    One that was made again stays in hand until there is a small picture of its new cutout.
    """

    def told(picture: Picture) -> dict[str, Any] | None:
        """What the page needs to show one picture; None where there is no small copy of it."""
        kept = small(shot.photo, picture)
        if kept is None:
            return None
        return {
            "file": f"{PICTURES}/{kept.name}",
            "size": list(kept.size),
            "whole": list(kept.whole),
            "full": whole(shot.photo, picture) or None,
        }

    before = told(shot.before)
    made = [{"label": one.label, "picture": told(one.picture)} for one in shot.made]
    made = [one for one in made if one["picture"] is not None]
    state = "working" if shot.state == "done" and not made and making else shot.state
    shown = bool(made) if client or state == "done" else bool(made) or before is not None
    if not shown and (client or state != "failed"):
        return None
    found: dict[str, Any] = {
        "id": shot.photo,
        "state": state,
        "version": shot.version,
        "mark": "" if shot.mark is None else shot.mark.verdict.value,
        "before": before,
        "made": made,
    }
    if client:
        return found | {"state": "done"}
    if shot.fixes:
        found["fixes"] = asdict(shot.fixes)
    return found | {
        "name": printable(shot.name),
        "when": round(shot.when),
        "model": shot.model,
        "said": [printable(sentence) for sentence in shot.said],
    }


def as_script(told: dict[str, Any]) -> str:
    """The feed's file. ASCII: what ends a line or a script in HTML or JavaScript stands there as an escape."""
    return f"cutoutd.feed({json.dumps(told, ensure_ascii=True, separators=(',', ':'))});\n"


def pulse(number: int) -> bytes:
    """A GIF of one pixel whose width and height say which feed there is now; no two in a month are alike.

    Args:
        number: hundredths of a second, by the wall clock.
    """
    width, height = 1 + number % _PULSES, 1 + number // _PULSES % _PULSES
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff"
    return head + b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02D\x01\0;"
