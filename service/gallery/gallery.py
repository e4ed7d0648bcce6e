"""The before-and-after page: what it shows, as one file that fetches nothing; it decodes no picture itself."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from cutoutd.config.errors import FolderError, UsageError, printable
from cutoutd.daemon.ledger.control import Control
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.service.gallery.thumbnails import Pair

# Our own pages carry this near their beginning; any other file is somebody else's.
MARK: Final = b'<meta name="generator" content="cutoutd gallery">'
_MARK_WITHIN: Final = 1000
# For browsers without scripts; with them the page reloads itself when nobody is touching it.
REFRESH_S: Final = 5


@dataclass(frozen=True, slots=True)
class Shot:
    """One finished photo: its row, what people call it, and where it and its cutouts lie (absolute paths)."""

    photo: int
    name: str
    finished: float
    model: str
    original: bytes
    outputs: tuple[bytes, ...]


def last_shots(ledger: Ledger, count: int) -> list[Shot]:
    """The photos finished last whose names are kept, newest first."""
    control = Control(ledger)
    shots: list[Shot] = []
    for row in control.last_done(count):
        path = row.path or b""
        original = row.archived_to or os.path.join(row.inbox, path)  # noqa: PTH118 - bytes
        outputs = tuple(control.outputs(row.id))
        shots.append(Shot(row.id, printable(path), row.finished or 0.0, row.model, original, outputs))
    return shots


def page(pairs: list[tuple[Shot, Pair]], *, watch: bool, now: float, absent: int = 0) -> str:
    """The whole page as text.

    Args:
        pairs: newest first.
        watch: the page looks for its own successor.
        now: wall-clock seconds, shown as the time of the page.
        absent: how many photos could not be shown, said in the head.
    """
    figures = "\n".join(_figure(shot, pair) for shot, pair in pairs)
    heading = f"{len(pairs)} cutout{'' if len(pairs) == 1 else 's'}"
    note = f"as of {time.strftime('%H:%M:%S', time.localtime(now))}"
    if absent:
        note += f" · {absent} not shown, because the photo or its cutout is no longer there"
    template = resources.files("cutoutd.service.gallery").joinpath("gallery.html").read_text(encoding="utf-8")
    return _filled(
        template,
        {
            "mode": "watch" if watch else "still",
            "policy": _policy(template),
            "refresh": f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>'
            if watch
            else "",
            "title": f"{heading} – before and after",
            "heading": heading,
            "note": html.escape(note),
            "figures": figures or '<p class="empty">No finished photo yet.</p>',
        },
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Every {{place}} filled, once: what is put in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _policy(template: str) -> str:
    """Nothing may be loaded but the pictures inside; style and script are named by their digests."""
    digests: dict[str, str] = {}
    for kind in ("style", "script"):
        (body,) = re.findall(rf"<{kind}>(.*?)</{kind}>", template, re.DOTALL)
        digests[kind] = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests['style']}'; "
        f"script-src 'sha256-{digests['script']}'; base-uri 'none'; form-action 'none'"
    )


def _figure(shot: Shot, pair: Pair) -> str:
    name = html.escape(shot.name)
    before = _image(pair.before, pair.before_size, f"{name} as it was")
    after = _image(pair.after, pair.after_size, f"{name} cut out")
    if pair.same_shape:
        body = (
            f'<div class="stage" id="photo-{shot.photo}">{before}<div class="after">{after}</div>'
            f'<input type="range" min="0" max="100" value="50" aria-label="Before and after: {name}">'
            '<div class="bar"></div></div>'
        )
    else:
        # Cropped or placed on a canvas: laid on each other they would not match.
        body = f'<div class="two">{before}<div class="after">{after}</div></div>'
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(shot.finished))
    return f"<figure>{body}<figcaption>{name} <span>{when} · {html.escape(shot.model)}</span></figcaption></figure>"


def _image(data: bytes, size: tuple[int, int], alternative: str) -> str:
    coded = base64.b64encode(data).decode()
    return (
        f'<img src="data:image/webp;base64,{coded}" width="{size[0]}" height="{size[1]}" alt="{alternative}">'
    )


def check_target(path: Path) -> None:
    """Refuses to write over a file that is no page of ours.

    Raises:
        UsageError: something else lies there.
    """
    try:
        with path.open("rb") as file:
            ours = MARK in file.read(_MARK_WITHIN)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            f"The page cannot be written ({error.strerror})", path, "Choose another with -o."
        ) from error
    if not ours:
        raise UsageError("A file that is no gallery lies there", path, "Choose another name with -o.")


def write(path: Path, text: str, mode: int) -> None:
    """Puts the page in place whole: a browser that reloads meanwhile sees the old one or the new one.

    Raises:
        FolderError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FolderError(
            f"The page cannot be written ({error.strerror})", path, "Choose another place with -o."
        ) from error
