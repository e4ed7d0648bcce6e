"""The privacy self-test's judgement: evidence in, a table of promises out, each kept, broken or not enforced here."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from cutoutd.service.verify.canary import PATTERN_COLUMNS, Canary, Needle
from cutoutd.service.verify.run import Evidence

# Everything a PNG needs to be shown, and nothing else; no other chunk may be in a cutout.
NEEDED_CHUNKS: Final = (b"IHDR", b"IDAT", b"IEND")
# What a lossy encoder may leave of an erased background that is far from the subject: its own noise. At its worst
# quality WebP was seen to leave 14 of 255; and a picture that is 20 % like another shows nothing of it.
LOSSY_MOST: Final = 16
LOSSY_LIKE: Final = 0.2
_ATTEMPTS: Final = {
    "ipv4": "open an IPv4 connection's socket",
    "ipv6": "open an IPv6 connection's socket",
    "udp": "open a UDP socket",
    "io_uring": "make sockets through io_uring",
    "unix": "open a local socket (the way to other programs)",
}


class Verdict(StrEnum):
    """What came of one promise; the words are part of the interface (`--json`)."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_ENFORCED = "not enforced here"


class Check(Struct, frozen=True):
    """One row: what was tried, the answer, and whether the promise holds.

    `required` is False for what deepens the protection where the platform has it (confined files), so that
    "not enforced here" is said without failing the whole; a broken promise always fails.
    """

    area: str
    tried: str
    answer: str
    verdict: Verdict
    required: bool = True

    @property
    def passes(self) -> bool:
        """Whether the whole may still be called sound."""
        return self.verdict is Verdict.HOLDS or (self.verdict is Verdict.NOT_ENFORCED and not self.required)


def check(area: str, tried: str, answer: str, *, holds: bool) -> Check:
    """A row whose promise is kept or broken."""
    return Check(area, tried, answer, Verdict.HOLDS if holds else Verdict.BROKEN)


def judge(evidence: Evidence) -> list[Check]:
    """Every promise that one run can show."""
    return [
        *network(evidence),
        *confinement(evidence),
        *reach(evidence),
        *memory(evidence),
        *telemetry(evidence),
        *traces(evidence),
        *cutout(evidence),
        *modes(evidence),
    ]


# --- what processes can do


def network(evidence: Evidence) -> Iterator[Check]:
    """Every way to a socket, in the daemon and in the worker that had decoded the photo."""
    for who, facts in (("daemon", evidence.daemon), ("worker", evidence.worker)):
        for kind, answer in facts["network"].items():
            if kind == "unix" and who == "daemon":
                continue  # kept on purpose: systemd is told "ready" over one
            yield _refusal(who, kind, evidence.before["network"].get(kind, ""), answer)
    if sys.platform == "linux":
        before = evidence.before["filters"] or 0
        for who, facts in (("daemon", evidence.daemon), ("worker", evidence.worker)):
            filters = facts["filters"]
            yield check(
                "network",
                f"{who}: ask the kernel which filters it applies",
                f"{filters or 'none'}, {before or 'none'} at the start",
                holds=filters is not None and filters > before,
            )


def _refusal(who: str, kind: str, before: str, answer: str) -> Check:
    tried = f"{who}: {_ATTEMPTS[kind]}"
    if answer == "open":
        known = sys.platform in {"linux", "darwin"}
        verdict = Verdict.BROKEN if known else Verdict.NOT_ENFORCED
        return Check("network", tried, "it can be opened", verdict)
    note = (
        "possible at the start" if before == "open" else f"this machine refuses it by itself too ({before})"
    )
    return Check("network", tried, f"refused ({answer}); {note}", Verdict.HOLDS)


def confinement(evidence: Evidence) -> Iterator[Check]:
    """A worker must not see other files, nor make any outside the outbox."""
    worker: dict[str, Any] = evidence.sandbox.get("worker") or {}
    confined = bool(worker.get("files_confined"))
    answers = {f"worker: read {name}": answer for name, answer in evidence.worker["read"].items()}
    answers |= {f"worker: make {name}": answer for name, answer in evidence.worker["create"].items()}
    for tried, answer in answers.items():
        if answer == "allowed":
            verdict = Verdict.BROKEN if confined else Verdict.NOT_ENFORCED
            yield Check("files", tried, str(worker.get("files") or "it can"), verdict, required=False)
        else:
            yield Check("files", tried, f"refused ({answer})", Verdict.HOLDS)


# What files Landlock confines; where it does not, the seccomp filter still refuses the rest of the list.
_BY_LANDLOCK: Final = frozenset(
    {"read the daemon's environment", "list the processes", "list another folder"}
)


def reach(evidence: Evidence) -> Iterator[Check]:
    """Everything that a worker which was taken over would try next, tried in it."""
    if sys.platform != "linux":
        return
    said: dict[str, Any] = evidence.sandbox.get("worker") or {}
    for tried, answer in evidence.worker["reach"].items():
        if answer != "allowed":
            yield Check("reach", f"worker: {tried}", f"refused ({answer})", Verdict.HOLDS)
            continue
        enforced = said.get("files_confined") if tried in _BY_LANDLOCK else said.get("network_refused")
        verdict = Verdict.BROKEN if enforced else Verdict.NOT_ENFORCED
        yield Check("reach", f"worker: {tried}", "it can", verdict, required=tried not in _BY_LANDLOCK)
    yield check(
        "reach", "worker: system calls", str(said.get("calls") or "not said"), holds=bool(said.get("calls"))
    )
    held = evidence.worker["capabilities"]
    yield check("reach", "worker: capabilities", "none" if held == 0 else f"{held}", holds=held == 0)
    odd = {fd: kind for fd, kind in evidence.worker["descriptors"].items() if kind not in _KNOWN_DESCRIPTORS}
    pipes = sum(kind == "pipe" for kind in evidence.worker["descriptors"].values())
    yield check(
        "reach",
        "worker: descriptors it was left with",
        f"{pipes} pipes to the daemon, its lock, nothing else" if not odd else f"also: {odd}",
        holds=not odd and pipes == _PIPES,
    )
    # The kernel offers no way to take this away and leave what imports and decoders need.
    yield Check(
        "reach",
        "worker: see that another file exists, and its size and times",
        "it can, where it knows the name; never the content",
        Verdict.NOT_ENFORCED,
        required=False,
    )


# Standard input, output and error lead nowhere; the one file is the worker lock, opened by itself.
_KNOWN_DESCRIPTORS: Final = frozenset({"nothing", "pipe", "file"})
_PIPES: Final = 2


def memory(evidence: Evidence) -> Iterator[Check]:
    """A crash must leave no image of the memory, and no program may look inside."""
    for who, facts in (("daemon", evidence.daemon), ("worker", evidence.worker)):
        dumpable = facts["dumpable"]
        also = "" if dumpable is None else "; traceable" if dumpable else "; not traceable"
        off = facts["core_limit"] == 0 and not dumpable
        yield check("memory", f"{who}: core dumps", f"at most {facts['core_limit']} bytes{also}", holds=off)


def telemetry(evidence: Evidence) -> Iterator[Check]:
    """ONNX Runtime collects usage data unless told otherwise before it is loaded."""
    worker = evidence.worker
    said = "off" if worker["telemetry_off"] else "on"
    loaded = "" if worker["engine_loaded"] else ", but the engine was not loaded"
    yield check(
        "telemetry",
        "worker: ONNX Runtime's usage data",
        f"switched {said} before it was loaded{loaded}",
        holds=worker["telemetry_off"] and worker["engine_loaded"],
    )
    home = evidence.root / "home"
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    yield check(
        "telemetry",
        "files below the home folder (a device number would lie there)",
        ", ".join(left) or "none",
        holds=not left,
    )


# --- what lies on the disk


def traces(evidence: Evidence) -> Iterator[Check]:
    """No secret in any file: ledger and its log, cache, logs, home, temporary folder, cutout."""
    for needle in evidence.canary.needles:
        places = sorted(place for name, place in evidence.leaks if name == needle.name)
        yield check(
            "traces",
            f"{needle.name}, looked for in {evidence.files} files",
            f"found in {', '.join(places)}" if places else "nowhere",
            holds=not places,
        )
    blind = [needle.name for needle in evidence.canary.needles if not in_the_photo(evidence, needle)]
    yield check(
        "traces",
        "counter-check: all of them, looked for in the photo itself",
        f"not found: {', '.join(blind)}" if blind else "all found there",
        holds=not blind,
    )
    original = evidence.root / "inbox" / "canary.jpg"
    same = original.exists() and original.read_bytes() == evidence.canary.data
    yield check("traces", "the original", "untouched" if same else "changed or gone", holds=same)


def in_the_photo(evidence: Evidence, needle: Needle) -> bool:
    """Whether the search finds a secret where it certainly is: in the photo's bytes or its pixels."""
    canary = evidence.canary
    return needle.found_in(canary.data) or needle.found_in(canary.pixels.tobytes())


def cutout(evidence: Evidence) -> Iterator[Check]:
    """The cutout: a subject, no metadata, and nothing of the background."""
    if not evidence.outputs:
        yield check("cutout", "the photo's cutout", "there is none", holds=False)
        return
    for path in evidence.outputs:
        if path.suffix != ".png":
            yield _lossy(path, evidence.canary)
            continue
        data = path.read_bytes()
        extras = png_extras(data)
        yield check(
            "cutout",
            "anything beside the picture, chunk by chunk",
            ", ".join(extras) or "none",
            holds=not extras,
        )
        yield from _pixels(path)


def _pixels(path: Path) -> Iterator[Check]:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"), np.uint8)
    alpha = pixels[..., 3]
    covered = float((alpha > 127).mean())
    yield check("cutout", "a subject was found", f"{covered:.0%} of the picture", holds=0.03 < covered < 0.7)
    hidden = int(np.count_nonzero(pixels[alpha == 0][:, :3]))
    yield check(
        "cutout",
        "colours hidden where the picture is transparent",
        f"{hidden} values that are not zero" if hidden else f"none in {int((alpha == 0).sum()):,} pixels",
        holds=hidden == 0,
    )
    sides = np.concatenate([pixels[:, :PATTERN_COLUMNS], pixels[:, -PATTERN_COLUMNS:]], axis=1)
    left = int(np.count_nonzero(sides))
    yield check(
        "cutout",
        "the pattern in the background",
        f"{left} values left of it" if left else "gone",
        holds=left == 0,
    )


def _lossy(path: Path, canary: Canary) -> Check:
    """A format that changes pixels a little: what it makes of erased ones comes of their neighbours that show.

    The pattern's columns lie further from the subject than an encoder's block is wide.
    """
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"), np.float64)
    columns = (slice(PATTERN_COLUMNS), slice(-PATTERN_COLUMNS, None))
    left = np.concatenate([pixels[:, one, :3].mean(-1) for one in columns], axis=1)
    secret = np.concatenate([canary.pixels[:, one].mean(-1) for one in columns], axis=1)
    most = int(left.max())
    flat = left.std() < 1e-9
    like = 0.0 if flat else abs(float(np.corrcoef(left.ravel(), secret.ravel())[0, 1]))
    return check(
        "cutout",
        f"the background's pattern in a lossy {path.suffix[1:].upper()}",
        f"at most {most} of 255 where it was, {like:.0%} like it",
        holds=most <= LOSSY_MOST and like < LOSSY_LIKE,
    )


def png_extras(data: bytes) -> list[str]:
    """Names of everything in a PNG that is not needed to show it; walks the chunks and shares no code with a writer."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return ["not a PNG"]
    at, extras = 8, list[str]()
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(kind + body)):
            return [*extras, f"a damaged {kind.decode('latin-1')}"]
        if kind not in NEEDED_CHUNKS:
            extras.append(kind.decode("latin-1"))
        at += 12 + length
        if kind == b"IEND":
            break
    else:
        extras.append("no end")
    if at < len(data):
        extras.append(f"{len(data) - at} bytes behind the end")
    return extras


def modes(evidence: Evidence) -> Iterator[Check]:
    """State belongs to its owner alone; so do temporaries."""
    yield private("modes", "the state folder of the run", evidence.root / "state")
    seen = sorted(evidence.temporary_modes)
    mask = evidence.worker["umask"]
    answer = ", ".join(f"{mode:04o}" for mode in seen) or "none was seen"
    yield check(
        "modes",
        "temporaries in the outbox",
        f"{answer}; the worker's umask is {mask:03o}",
        holds=mask == 0o077 and not any(mode & 0o077 for mode in seen),
    )


def private(area: str, tried: str, folder: Path) -> Check:
    """0700 for folders, 0600 for files, all the way down."""
    bad: list[str] = []
    count = 0
    for at, _, names in os.walk(folder):
        for path in (Path(at), *(Path(at) / name for name in names)):
            try:
                mode = path.lstat().st_mode & 0o777
            except FileNotFoundError:
                continue  # the ledger's log comes and goes
            count += 1
            if mode & 0o077:
                bad.append(f"{path.name} {mode:04o}")
    answer = f"open to others: {', '.join(bad)}" if bad else f"0700 and 0600 in all {count} places"
    return check(area, tried, answer, holds=not bad and count > 0)
