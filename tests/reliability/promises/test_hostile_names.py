"""Names made to act on whoever reads them: in no place that shows one do they move, colour, turn or forge anything."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.support.photos import encoded
from tests.support.simulation import BROKEN, Simulation, simulated

from cutoutd.config.errors import printable
from cutoutd.config.load import parse_settings
from cutoutd.config.reporting import Notify
from cutoutd.daemon.events import Listener, Listeners, PhotoEvent
from cutoutd.daemon.ledger.shots import Standing, last_shots
from cutoutd.service.cli.app import run
from cutoutd.service.gallery.feed import Tone, as_script, feed
from cutoutd.service.gallery.shelf import Kept
from cutoutd.service.listeners.desktop import DesktopListener
from cutoutd.service.listeners.everyone import listeners
from cutoutd.service.listeners.lines import LogListener
from cutoutd.service.listeners.metrics import MetricsListener
from cutoutd.service.listeners.terminal import TerminalListener

FORGED = "2026-01-01 00:00:00,000 ERROR forged"
NAMES: dict[str, bytes] = {
    "title": b"a\x1b]0;PWNED\x07\x1b[2J\x1b[31m.jpg",
    "C0": bytes(one for one in range(1, 32) if one != 0x2F) + b"\x7f.jpg",
    "C1": "b\u0080\u009b31m\u009d0;PWNED\u009c\u0085.jpg".encode(),
    "line": f"c\n{FORGED}.jpg".encode(),
    "return": f"d\r{FORGED}.jpg".encode(),
    "separators": f"e\u2028{FORGED}\u2029.jpg".encode(),
    "bidi": "f\u202egpj.\u202d\u2066\u2067\u2069\u200f\u061c.jpg".encode(),
    "unseen": "in\u200bvoice\u200d\u2060\ufeff\u00ad\u3164\U000e0041\ufe0f.jpg".encode(),
    "markup": b"[red]g[blink] [] [bold [link=file:x]y[\\].jpg",
    "html": b"h\"><script>alert(1)<img src=x onerror='a()'>&amp;{{policy}}.jpg",
    "quotes": b"i'\"`$(touch x);\\\\ %s {0} {name}.jpg",
    "bytes": b"j\xff\xfe\x80\xc3(.jpg",
    "json": b'k", "state": "done", "x": "\\u001b.jpg',
    "surrogate": b"l\xed\xa0\x80\xed\xbf\xbf.jpg",
    "end of markup": b"red].jpg",  # in a folder "x["
    "dash": b"--help=\x1b.jpg",
}
FORBIDDEN = {
    *map(chr, (*range(32), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x2070))),
    *(one for one in map(chr, range(0x110000)) if unicodedata.category(one) == "Cf"),
    *"\u3164\ufe0f",
}


def assert_harmless(text: str) -> None:
    found = {one for one in text if one in FORBIDDEN and one != "\n"}
    assert not found, (found, text)
    assert not [line for line in text.splitlines() if line.startswith(FORGED)]
    text.encode()  # no half characters


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Simulation, list[PhotoEvent]]]:
    """A daemon that has seen photos of all these names, in folders called so too; some failed."""
    heard: list[PhotoEvent] = []

    class Ear(Listener):
        def photo_done(self, event: PhotoEvent) -> None:
            heard.append(event)

        def photo_failed(self, event: PhotoEvent) -> None:
            heard.append(event)

        def photo_started(self, event: PhotoEvent) -> None:
            heard.append(event)

    with simulated(monkeypatch):
        one = Simulation(tmp_path, inbox_table={"manifest": True}, also=(Ear(),))
        one.inbox.mkdir()
        for number, name in enumerate(NAMES.values()):
            folder = os.path.join(
                os.fsencode(one.inbox), b"x[" if number % 2 or name == b"red].jpg" else name[:20]
            )
            os.makedirs(folder, exist_ok=True)
            for path, data in ((name, b"photo"), (b"bad " + name, BROKEN), (name + b".txt", b"text")):
                with open(os.path.join(folder, path), "wb") as file:
                    file.write(data + bytes([number]))
        one.boot().finish()
        yield one, heard
        one.die()


def test_in_the_log_the_live_view_and_notifications(
    done: tuple[Simulation, list[PhotoEvent]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, events = done
    assert len({event.name for event in events}) >= 2 * len(NAMES)
    log, drawn, shown = io.StringIO(), io.StringIO(), list[str]()
    monkeypatch.setattr(sys, "stderr", log)
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    listeners(parse_settings('[[inbox]]\npath = "/in"\noutbox = "/out"\n'))
    console = Console(file=drawn, width=200, highlight=False)
    terminal = TerminalListener(console)
    metrics = MetricsListener(tmp_path / "m.prom", 0.0)

    def start(command: Sequence[str]) -> Any:
        shown.extend(command)

        class Ended:
            def poll(self) -> int:
                return 0

        return Ended()

    wanted = Notify(done=True, failed=True, at_most_every=1)
    ticks: Callable[[], float] = iter(range(10**9)).__next__
    desktop = DesktopListener(wanted, ("notify-send", "--"), start, ticks)
    everyone = Listeners(LogListener(), terminal, desktop, metrics)
    for event in events:
        for inbox in ("in", os.fsdecode(NAMES["title"]), os.fsdecode(NAMES["bytes"])):
            for raw in (event, PhotoEvent(event.photo, inbox, os.fsdecode(event.name), "crashed", "\x1b\n")):
                everyone.photo_started(raw)
                console.print(terminal._view())  # pyright: ignore[reportPrivateUsage]
                (everyone.photo_failed if raw.reason else everyone.photo_done)(raw)
                everyone.photo_retry(raw)
                everyone.warning(f"{raw.inbox}: {raw.name}")
    everyone.status(one.daemon.status())
    console.print(terminal._view())  # pyright: ignore[reportPrivateUsage]
    root.handlers = before
    assert_harmless(log.getvalue())
    assert_harmless(drawn.getvalue())
    assert "[red]g[blink] [] [bold [link=file:x]y" in drawn.getvalue()  # shown, and not obeyed
    assert len(shown) > len(NAMES)
    for title, body in zip(shown[2::4], shown[3::4], strict=True):
        assert_harmless(title + body)
        assert "<" not in body
    assert_harmless((tmp_path / "m.prom").read_text())


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--json"],
        ["failures"],
        ["failures", "--json"],
        ["events"],
        ["events", "--json"],
        ["review"],
        ["retry", *(os.fsdecode(name) for name in NAMES.values() if not name.startswith(b"-"))],
        ["redo", "--", os.fsdecode(NAMES["dash"]), "no\x1b[2J such\nname"],
    ],
    ids=" ".join,
)
def test_in_what_commands_print(
    done: tuple[Simulation, list[PhotoEvent]],
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, _ = done
    one.parts.ledger.commit()
    for name in ("HOME", "CUTOUTD_STATE_DIR"):
        monkeypatch.setenv(name, str(one.state))
    monkeypatch.setenv("CUTOUTD_CONFIG", "")
    run(command)
    said = capsys.readouterr()
    assert said.out + said.err
    assert_harmless(said.out)
    assert_harmless(said.err)
    if command in (["events", "--json"], ["failures", "--json"]):
        told = map(json.loads, said.out.splitlines()) if command[0] == "events" else json.loads(said.out)
        originals = {os.path.basename(os.fsencode(one["original"])) for one in told if one["original"]}
        bad = {b"bad " + name for name in NAMES.values()}
        assert (
            set(NAMES.values()) if command[0] == "events" else bad
        ) <= originals  # a script gets each name as it is


def test_in_the_gallery_and_the_manifest(done: tuple[Simulation, list[PhotoEvent]]) -> None:
    one, _ = done
    shots = last_shots(one.parts.ledger, 1000)
    assert len({shot.name for shot in shots}) >= 2 * len(NAMES)
    for client in (False, True):
        script = as_script(
            feed(
                shots, lambda _photo, _picture: Kept("1.webp", (3, 2), (6, 4)), lambda _photo, _picture: "",
                Tone("g", client, live=True), Standing(0, 0, 0),
            )
        )  # fmt: skip
        assert_harmless(script)
        assert script.isascii()
        assert script.count("\n") == 1
        told = json.loads(script.removeprefix("cutoutd.feed(").removesuffix(");\n"))["photos"]
        if client:
            assert "jpg" not in script
        else:
            assert {one["name"] for one in told} == {printable(shot.name) for shot in shots}
    manifest = (one.outbox / "manifest.jsonl").read_bytes().decode()
    assert_harmless(manifest)
    lines = [json.loads(line) for line in manifest.splitlines()]
    told = {
        state: [os.fsencode(one["source"]) for one in lines if one["state"] == state]
        for state in ("done", "failed")
    }
    assert {os.path.basename(source) for source in told["done"]} == set(NAMES.values())
    assert {os.path.basename(source) for source in told["failed"]} == {
        b"bad " + name for name in NAMES.values()
    }


@pytest.mark.parametrize("name", ["title", "bidi", "unseen", "bytes"])
@pytest.mark.parametrize(
    "command",
    [
        ["{}"], ["once", "--{}"], ["redo", "{}", "--keep", "{}"], ["redo", "a", "--since", "{}"], ["run", "-c", "{}"],
        ["config", "check", "--for", "{}"], ["config", "check", "-c", "keys.toml"], ["doctor", "-c", "keys.toml"],
        ["models", "pull", "{}"], ["once", "{}", "-o", "{}/{}"], ["gallery", "-o", "{}", "--size", "{}"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_in_what_is_said_of_what_was_typed_or_configured(
    command: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = os.fsdecode(NAMES[name])
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "CUTOUTD_STATE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("CUTOUTD_CONFIG", "")
    quoted = json.dumps(odd.encode("utf-8", "replace").decode(), ensure_ascii=False)
    Path("keys.toml").write_text(
        f"[[inbox]]\npath = {quoted}\nquality = {quoted}\n{quoted} = 1\n[{quoted}]\n", encoding="utf-8"
    )
    assert run([word.replace("{}", odd) for word in command]) != 0
    said = capsys.readouterr()
    assert said.err or command[0] == "doctor"
    assert_harmless(said.out)
    assert_harmless(said.err)


@pytest.mark.slow
def test_in_what_once_says(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = encoded("chelsea", size=(96, 72))
    for number, name in enumerate(NAMES.values()):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(photo if number == 0 else b"\xff\xd8\xff broken")
        with open(os.path.join(os.fsencode(folder), name + b".txt"), "wb") as file:
            file.write(b"text")
    environment = {**os.environ, "HOME": str(tmp_path), "CUTOUTD_CONFIG": ""}
    for more in ([], ["--json"]):
        command = [
            sys.executable,
            "-m",
            "cutoutd.service",
            "once",
            str(folder),
            "-o",
            str(tmp_path / "out"),
            *more,
        ]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=100)
        assert done.returncode == 3, done.stderr
        assert_harmless(done.stdout.decode())
        assert_harmless(done.stderr.decode())
        if more:  # a script gets each name as it is
            told = [json.loads(line) for line in done.stdout.splitlines()]
            assert set(NAMES.values()) == {os.path.basename(os.fsencode(one["source"])) for one in told}
            assert all(os.path.exists(os.fsencode(path)) for one in told for path in one["outputs"])
