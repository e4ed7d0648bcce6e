"""A running daemon takes up another config and another model without losing a photo; a draft comes before its final."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import warm
from tests.support.daemon_process import Daemon
from tests.support.models import add_large_stand_in
from tests.support.photos import encoded, small
from tests.support.tiny_onnx import tiny_network

Make = Callable[..., Daemon]


def _add_own_model(one: Daemon) -> None:
    """Another model, with answers that differ."""
    one.root.mkdir(exist_ok=True)
    own = one.root / "own.onnx"
    own.write_bytes(tiny_network(320, weights=(20.0, 2.0, -14.0), bias=-4.0))
    answer = one.cli(
        "models", "add", str(own), "--like", "cutout-s", "--name", "own", "--resample", "lanczos"
    )
    assert answer.returncode == 0, answer.stderr


def test_a_reload_that_comes_before_the_daemon_is_there_ends_nothing(daemon: Make) -> None:
    one = daemon()
    for folder in (one.inbox, one.outbox, one.root / "home"):
        folder.mkdir(parents=True, exist_ok=True)
    (one.inbox / "a.jpg").write_bytes(small("astronaut"))
    command = [sys.executable, "-m", "cutoutd.service", "run", "-c", str(one.write_config())]
    with one.log.open("wb") as log:
        one.process = subprocess.Popen(command, stdout=log, stderr=log, env=one.env())
    facts = Path(f"/proc/{one.process.pid}/status")
    if not facts.exists():
        pytest.skip("no /proc here")
    hangs_up = 1 << signal.SIGHUP - 1
    blocked = re.compile(r"SigBlk:\s*([0-9a-f]+)")
    one.wait(
        lambda: (held := blocked.search(facts.read_text())) and int(held[1], 16) & hangs_up, "the entry point"
    )
    one.send(signal.SIGHUP)
    one.wait(lambda: one.said("ready") and one.settled() and one.outputs(), "its cutout")
    assert one.stop() == 0


def test_an_added_model_by_reload_without_losing_a_photo(daemon: Make) -> None:
    one = daemon().start()
    _add_own_model(one)
    for number in range(6):
        (one.inbox / f"before{number}.jpg").write_bytes(encoded("astronaut", size=(160 + number, 120)))
    one.config = 'model = "own"'
    one.write_config()
    one.send(signal.SIGHUP)
    one.wait(lambda: one.said("new config is in force"), "the reload")
    for number in range(3):
        (one.inbox / f"after{number}.jpg").write_bytes(encoded("chelsea", size=(170 + number, 120)))
    one.wait(lambda: len(one.outputs()) == 9 and one.settled(), "all nine cutouts", 90)
    models = {os.fsdecode(row["path"]): row["model"] for row in one.rows("state = 'done'")}
    assert {models[f"after{n}.jpg"] for n in range(3)} == {"own"}
    assert one.stop() == 0


def test_a_first_config_is_taken_up_by_a_daemon_that_began_without(daemon: Make) -> None:
    """`cutoutd init` was read at the next start, and what was saved into its folder lay there."""

    class Bare(Daemon):
        def env(self) -> dict[str, str]:
            home = str(self.root / "home")
            return {**super().env(), "XDG_CONFIG_HOME": home, "XDG_PICTURES_DIR": home}

    one = Bare(daemon().root)
    (one.root / "home").mkdir()
    log = one.log.open("wb")
    one.process = warm.start(["run"], one.env(), log.fileno(), log.fileno())
    try:
        one.wait(lambda: one.said("ready"), "the daemon to be ready", 60)
        said = one.cli("init", "--inbox", str(one.inbox), "--outbox", str(one.outbox)).stdout
        assert f"the daemon at work (process {one.process.pid}) takes it up" in said
        (one.inbox / "a.jpg").write_bytes(small())
        one.wait(lambda: one.outputs() == ["a.png"], "the cutout")
        assert one.stop() == 0
    finally:
        one.kill()
        log.close()


@pytest.mark.timeout(300)
def test_a_large_network_comes_and_goes_by_reload_without_losing_a_photo(daemon: Make) -> None:
    one = daemon().start()
    add_large_stand_in(one.root / "models", weights=(18.0, 8.0, -14.0))

    def reloaded(config: str, times: int) -> None:
        one.config = config
        one.write_config()
        one.send(signal.SIGHUP)
        said = "new config is in force"
        one.wait(lambda: one.log.read_text(errors="replace").count(said) >= times, "the reload", 60)

    for number in range(3):
        (one.inbox / f"before{number}.jpg").write_bytes(encoded("astronaut", size=(160 + number, 120)))
    reloaded('model = "large"\ndraft_then_final = true', 1)
    for number in range(3):
        (one.inbox / f"during{number}.jpg").write_bytes(encoded("chelsea", size=(170 + number, 120)))
    one.wait(
        lambda: (
            [row["model"] for row in one.rows("CAST(path AS TEXT) LIKE 'during%' AND state = 'done'")]
            == ["large"] * 3
        ),
        "the finals of the large network",
        120,
    )
    both = {"cutout-s", "large"}
    one.wait(lambda: set(one.live()["models"]) == both, "the status to know both networks", 30)
    reloaded('quality = "standard"', 2)
    (one.inbox / "after.jpg").write_bytes(small())
    one.wait(lambda: len(one.outputs()) == 7 and one.settled(), "all seven cutouts", 120)
    after = one.row("after.jpg")
    assert after is not None
    assert after["model"] == "cutout-m"
    # The status is published at most once a second, and the new workers say what they loaded when they are warm.
    one.wait(
        lambda: set(one.live()["models"]) == {"cutout-m"},
        "the status to know the bundled network alone",
        30,
    )
    assert one.stop() == 0
    assert one.leftovers() == []


def test_a_broken_config_keeps_the_old_one_and_says_why(daemon: Make) -> None:
    one = daemon().start()
    one.config = 'setle = "1s"'
    one.write_config()
    one.wait(lambda: one.said("old one stays in force"), "the refusal", 30)
    assert one.said("did you mean")
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["a.png"], "work to go on")
    one.wait(lambda: "setle" in one.cli("status").stdout, "the status to say so", 30)
    one.config = 'settle = "300ms"'
    one.write_config()
    one.wait(lambda: one.said("new config is in force"), "the mended one", 30)
    one.wait(lambda: "setle" not in one.cli("status").stdout, "nothing to be said of it any more", 30)
    one.stop()


def test_a_config_that_names_a_missing_model_is_an_error_with_the_command(daemon: Make) -> None:
    one = daemon(config='model = "u2net"')
    one.inbox.mkdir(parents=True)
    answer = one.cli("run", "-c", str(one.write_config()))
    assert answer.returncode == 6
    assert "cutoutd models pull u2net" in answer.stderr


def test_inboxes_come_and_go_by_reload(daemon: Make, tmp_path: Path) -> None:
    one = daemon().start()
    second = tmp_path / "second"
    one.tables = f'[[inbox]]\npath = "{second / "in"}"\noutbox = "{second / "out"}"'
    one.write_config()
    one.wait((second / "in").exists, "the second inbox", 30)
    (second / "in" / "b.jpg").write_bytes(small())
    one.wait((second / "out" / "b.png").exists, "its cutout")
    one.tables = ""
    one.write_config()
    one.wait(lambda: len(one.live()["inboxes"]) == 1, "the second inbox to go", 30)
    (one.inbox / "a.jpg").write_bytes(small())
    one.wait(lambda: one.outputs() == ["a.png"], "the first inbox to go on")
    one.stop()


def test_the_draft_comes_first_and_the_final_replaces_it(daemon: Make) -> None:
    one = daemon(config='quality = "own"\ndraft_then_final = true')
    _add_own_model(one)
    one.start()
    for number in range(4):
        (one.inbox / f"frame{number}.jpg").write_bytes(encoded("astronaut", size=(160 + number, 120)))
    expected = [f"frame{number}.png" for number in range(4)]
    one.wait(lambda: one.outputs() == expected, "the drafts")
    one.kill()  # between drafts and finals: nothing is lost or doubled
    one.start()
    one.wait(lambda: [row["model"] for row in one.rows("state = 'done'")] == ["own"] * 4, "the finals", 90)
    assert one.outputs() == expected
    assert one.stop() == 0
    assert one.leftovers() == []
