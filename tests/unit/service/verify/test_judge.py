"""The privacy self-test's judgement: sound evidence passes, and every way to break a promise is seen."""

from __future__ import annotations

import base64
import io
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image, IptcImagePlugin
from rich.console import Console

from cutoutd.config.load import parse_settings
from cutoutd.service.cli.verify import show
from cutoutd.service.verify import run
from cutoutd.service.verify.canary import HEIGHT, PATTERN_COLUMNS, WIDTH, Canary, plant
from cutoutd.service.verify.judge import Verdict, judge, png_extras
from cutoutd.service.verify.probes import Tries, ability
from cutoutd.service.verify.run import Evidence

pytestmark = pytest.mark.slow

SHUT = {"ipv4": "EACCES", "ipv6": "EACCES", "udp": "EACCES", "unix": "EACCES", "io_uring": "EPERM"}
FACTS: dict[str, Any] = {
    "filters": 1,
    "core_limit": 0,
    "dumpable": False,
    "umask": 0o077,
    "telemetry_off": True,
    "engine_loaded": True,
    "read": {"ledger.sqlite": "EACCES"},
    "create": {"inbox/made by a worker.jpg": "EACCES"},
    "capabilities": 0,
    "descriptors": {"0": "nothing", "1": "nothing", "2": "nothing", "3": "pipe", "6": "pipe", "7": "file"},
    "reach": {"change an original's times": "EPERM", "list the processes": "EACCES"},
}


@pytest.fixture(scope="module")
def canary() -> Canary:
    return plant("0123456789abcdef")


def _cutout(canary: Canary) -> Image.Image:
    """What an honest cutout of the canary photo looks like."""
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[100:480, 260:460] = 255
    return Image.fromarray(np.dstack([canary.pixels * (alpha > 0)[..., None], alpha]))


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory, canary: Canary) -> Path:
    """What an honest run leaves."""
    root = tmp_path_factory.mktemp("honest")
    for name in ("inbox", "outbox", "state", "home"):
        (root / name).mkdir(mode=0o700)
    (root / "inbox" / "canary.jpg").write_bytes(canary.data)
    ledger = root / "state" / "ledger.sqlite"
    ledger.write_bytes(b"SQLite canary.jpg")
    ledger.chmod(0o600)
    for suffix in ("png", "webp", "avif"):
        _cutout(canary).save(root / "outbox" / f"canary.{suffix}", quality=30)
    return root


@pytest.fixture
def sound(tmp_path: Path, laid: Path, canary: Canary) -> Evidence:
    """Evidence in which every promise holds."""
    shutil.copytree(laid, tmp_path, dirs_exist_ok=True)
    output = tmp_path / "outbox" / "canary.png"
    lossy = output.with_suffix(".webp"), output.with_suffix(".avif")
    return Evidence(
        tmp_path,
        canary,
        before={**FACTS, "network": dict.fromkeys(SHUT, "open"), "filters": 0},
        daemon={**FACTS, "network": {**SHUT, "unix": "open"}},
        worker={**FACTS, "network": SHUT, "filters": 2},
        sandbox={
            "worker": {
                "files_confined": True,
                "files": "confined",
                "network_refused": True,
                "calls": "on a list",
            }
        },
        outputs=(output, *lossy),
        temporary_modes={0o600},
        exit_code=0,
    )


def broken(evidence: Evidence) -> list[str]:
    return [f"{check.area}: {check.tried}" for check in judge(evidence) if not check.passes]


def test_sound_evidence_passes(sound: Evidence) -> None:
    assert broken(sound) == []
    assert {check.area for check in judge(sound)} == {
        "network", "files", "reach", "memory", "telemetry", "traces", "cutout", "modes",
    }  # fmt: skip


def _opened(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "network": {**SHUT, "udp": "open"}}


def _local_socket(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "network": {**SHUT, "unix": "open"}}


def _unfiltered(evidence: Evidence) -> None:
    evidence.daemon = {**evidence.daemon, "filters": evidence.before["filters"]}


def _reads_on(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "read": {"ledger.sqlite": "allowed"}}


def _dumps(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "dumpable": True}


def _talks(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "telemetry_off": False}


def _left_a_device_number(evidence: Evidence) -> None:
    (evidence.root / "home" / "deviceid").write_text("42")


def _hidden_background(evidence: Evidence) -> None:
    image = np.array(_cutout(evidence.canary))
    image[250, 300] = (9, 9, 9, 0)
    Image.fromarray(image).save(evidence.outputs[0])


def _pattern_left(evidence: Evidence) -> None:
    image = np.array(_cutout(evidence.canary))
    image[8, PATTERN_COLUMNS - 1] = (120, 120, 120, 3)
    Image.fromarray(image).save(evidence.outputs[0])


def _empty_cutout(evidence: Evidence) -> None:
    Image.new("RGBA", (WIDTH, HEIGHT)).save(evidence.outputs[0])


def _with_a_comment(evidence: Evidence) -> None:
    data = evidence.outputs[0].read_bytes()
    evidence.outputs[0].write_bytes(data[:33] + _chunk(b"tEXt", b"Comment\0hello") + data[33:])


def _lossy_with_all(evidence: Evidence) -> None:
    image = np.array(_cutout(evidence.canary))
    image[..., :3] = evidence.canary.pixels
    Image.fromarray(image).save(evidence.outputs[1], quality=30, exact=True)


def _lossy_with_a_shadow(evidence: Evidence) -> None:
    image = np.array(_cutout(evidence.canary))
    away = image[..., 3] == 0
    image[away, :3] = evidence.canary.pixels[away] // 16
    Image.fromarray(image).save(evidence.outputs[2], quality=90)


def _no_cutout(evidence: Evidence) -> None:
    evidence.outputs = ()


def _open_ledger(evidence: Evidence) -> None:
    (evidence.root / "state" / "ledger.sqlite").chmod(0o640)


def _open_temporary(evidence: Evidence) -> None:
    evidence.temporary_modes = {0o600, 0o644}


def _original_touched(evidence: Evidence) -> None:
    (evidence.root / "inbox" / "canary.jpg").write_bytes(b"")


def _changes_times(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "reach": {"change an original's times": "allowed"}}


def _lists_processes(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "reach": {"list the processes": "allowed"}}


def _keeps_rights(evidence: Evidence) -> None:
    evidence.worker = {**evidence.worker, "capabilities": 41}


def _has_a_socket(evidence: Evidence) -> None:
    descriptors = {**evidence.worker["descriptors"], "1": "socket"}
    evidence.worker = {**evidence.worker, "descriptors": descriptors}


def _has_another_pipe(evidence: Evidence) -> None:
    descriptors = {**evidence.worker["descriptors"], "9": "pipe"}
    evidence.worker = {**evidence.worker, "descriptors": descriptors}


def _calls_anything(evidence: Evidence) -> None:
    evidence.sandbox["worker"]["calls"] = ""


BREAKS: dict[str, tuple[Callable[[Evidence], None], str]] = {
    "a UDP socket": (_opened, "network: worker: open a UDP socket"),
    "a way to other programs": (_local_socket, "network: worker: open a local socket"),
    "no filter of its own": (_unfiltered, "network: daemon: ask the kernel"),
    "a worker that reads the ledger": (_reads_on, "files: worker: read ledger.sqlite"),
    "an original's times": (_changes_times, "reach: worker: change an original's times"),
    "a list of processes": (_lists_processes, "reach: worker: list the processes"),
    "capabilities": (_keeps_rights, "reach: worker: capabilities"),
    "the journal's socket": (_has_a_socket, "reach: worker: descriptors"),
    "another pipe": (_has_another_pipe, "reach: worker: descriptors"),
    "no list of calls": (_calls_anything, "reach: worker: system calls"),
    "a memory image": (_dumps, "memory: worker: core dumps"),
    "usage data": (_talks, "telemetry: worker: ONNX Runtime"),
    "a device number": (_left_a_device_number, "telemetry: files below the home folder"),
    "one hidden pixel": (_hidden_background, "cutout: colours hidden"),
    "one pixel of the pattern": (_pattern_left, "cutout: the pattern"),
    "nothing found": (_empty_cutout, "cutout: a subject"),
    "a comment in the cutout": (_with_a_comment, "cutout: anything beside the picture"),
    "a lossy background": (_lossy_with_all, "cutout: the background's pattern in a lossy WEBP"),
    "its shadow": (_lossy_with_a_shadow, "cutout: the background's pattern in a lossy AVIF"),
    "no cutout": (_no_cutout, "cutout: the photo's cutout"),
    "a ledger for the group": (_open_ledger, "modes: the state folder"),
    "a temporary for all": (_open_temporary, "modes: temporaries"),
    "a changed original": (_original_touched, "traces: the original"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_each_break_is_named(sound: Evidence, case: str) -> None:
    act, expected = BREAKS[case]
    act(sound)
    (found,) = broken(sound)
    assert found.startswith(expected)


def test_a_blind_search_is_a_failure(sound: Evidence) -> None:
    first = sound.canary.needles[0]
    blind = replace(
        sound.canary, needles=(replace(first, forms=(b"nowhere at all",)), *sound.canary.needles[1:])
    )
    sound.canary = blind
    (found,) = broken(sound)
    assert "counter-check" in found


def test_what_a_platform_lacks_is_said_and_only_then_forgiven(sound: Evidence) -> None:
    _reads_on(sound)
    sound.sandbox = {
        "worker": {"files_confined": False, "files": "not enforced here (no Landlock)", "calls": "on a list"}
    }
    rows = [check for check in judge(sound) if check.verdict is Verdict.NOT_ENFORCED]
    # The other is what no kernel offers to take away: that a file exists, and how large it is.
    assert [row.area for row in rows] == ["files", "reach"]
    assert all(row.passes and not row.required for row in rows)
    console = Console(file=io.StringIO(), width=160)
    show(judge(sound), parse_settings('[[inbox]]\npath="/a"\noutbox="/b"\n'), 3.0, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "not enforced here" in text
    assert "promises hold (2 are not enforced" in text


def test_a_platform_without_a_filter_fails(sound: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    _opened(sound)
    rows = [check for check in judge(sound) if check.verdict is Verdict.NOT_ENFORCED]
    assert [row.passes for row in rows] == [False]


# --- the search


@pytest.mark.parametrize("form", ["plain", "utf-16", "hex", "base64"])
def test_a_secret_is_found_however_it_is_stored(sound: Evidence, form: str) -> None:
    secret = b"SN-0123456789abcdef-body"
    stored = {
        "plain": secret,
        "utf-16": secret.decode().encode("utf-16-le"),
        "hex": secret.hex().encode(),
        "base64": base64.b64encode(b"before " + secret + b" and after"),
    }[form]
    (sound.root / "state" / "cache.bin").write_bytes(b"\xff" * 1000 + stored + b"\xff" * 1000)
    run.search(sound)
    assert sound.leaks == {("serial number", os.path.join("state", "cache.bin"))}


def test_copies_of_the_photo_its_thumbnail_or_its_pixels_are_found(sound: Evidence) -> None:
    photo = sound.canary.data
    (sound.root / "copy").write_bytes(photo[len(photo) // 3 :])
    (sound.root / "raw").write_bytes(sound.canary.pixels[:40, ::-1].tobytes())
    (sound.root / "plane").write_bytes(np.ascontiguousarray(sound.canary.pixels[..., 1]).tobytes())
    run.search(sound)
    assert ("the photo's own bytes", "copy") in sound.leaks
    assert ("background pixels", "plane") in sound.leaks
    assert not any(place.startswith("inbox") for _, place in sound.leaks)


def test_another_photos_secrets_are_not_these(canary: Canary) -> None:
    other = plant("fedcba9876543210")
    assert [n.name for n in canary.needles if n.found_in(other.data)] == []


# --- the canary photo, as other programs see it


def test_other_programs_read_what_was_planted(canary: Canary) -> None:
    image = Image.open(io.BytesIO(canary.data))
    exif = image.getexif()
    details = exif.get_ifd(0x8769)
    assert str(details[0xA431]).rstrip("\0") == "SN-0123456789abcdef-body"
    place = exif.get_ifd(0x8825)
    assert place[2][:2] == (47.0, 16.0)
    assert 0 < place[2][2] < 60
    assert image.info["comment"] == b"comment-0123456789abcdef-secret"
    assert b"xmp-0123456789abcdef-keywords" in image.info["xmp"]
    assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): b"iptc-0123456789abcdef-caption"}


def test_the_thumbnail_is_a_picture_behind_the_second_directory(canary: Canary) -> None:
    tiff = canary.data[canary.data.index(b"Exif\0\0") + 6 :]
    (rows,) = struct.unpack_from("<H", tiff, 8)
    (second,) = struct.unpack_from("<I", tiff, 10 + 12 * rows)
    (rows,) = struct.unpack_from("<H", tiff, second)
    tags = {
        struct.unpack_from("<H", tiff, second + 2 + 12 * row)[0]: second + 10 + 12 * row
        for row in range(rows)
    }
    (at,), (length,) = (struct.unpack_from("<I", tiff, tags[tag]) for tag in (0x0201, 0x0202))
    assert Image.open(io.BytesIO(tiff[at : at + length])).size == (WIDTH // 5, HEIGHT // 5)


def test_the_same_token_gives_the_same_photo() -> None:
    assert plant("aa").data == plant("aa").data != plant("ab").data


# --- the chunk walk


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png() -> bytes:
    target = io.BytesIO()
    Image.new("RGBA", (4, 4)).save(target, "PNG")
    return target.getvalue()


def test_the_chunk_walk_sees_everything_unneeded() -> None:
    png = _png()
    assert png_extras(png) == []
    assert png_extras(png[:33] + _chunk(b"eXIf", b"II*\0") + png[33:]) == ["eXIf"]
    assert png_extras(png + b"secret") == ["6 bytes behind the end"]
    assert png_extras(png[:-12]) == ["no end"]
    damaged = bytearray(png)
    damaged[20] ^= 1
    assert png_extras(bytes(damaged)) == ["a damaged IHDR"]
    assert png_extras(b"\xff\xd8\xff") == ["not a PNG"]


def test_a_process_that_gave_nothing_up_says_so(tmp_path: Path) -> None:
    readable = tmp_path / "a"
    readable.write_text("")
    found = ability(Tries((readable, tmp_path / "b"), (tmp_path / "c",)))
    assert found["read"] == {"a": "allowed", "b": "ENOENT"}
    assert list(found["create"].values()) == ["allowed"]
    assert found["reach"] == {}
    assert found["network"]["ipv4"] == "open"
