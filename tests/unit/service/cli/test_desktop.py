"""`cutoutd desktop …`: entries come and go whole, and a script of a file manager really makes a cutout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.support.photos import encoded

from cutoutd.service.cli.desktop import desktop

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def test_entries_come_and_go(home: Path) -> None:
    printed = CliRunner().invoke(desktop, ["install", "--print"]).output
    assert files(home) == []
    CliRunner().invoke(desktop, ["install"])
    assert len(files(home)) == 9
    assert all(str(path) in printed for path in files(home))
    CliRunner().invoke(desktop, ["uninstall"])
    assert files(home) == []
    assert CliRunner().invoke(desktop, ["uninstall"]).output == "There is no entry to remove.\n"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_what_is_the_users_own_stays(home: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    CliRunner().invoke(desktop, ["install"])
    ours = files(home)
    own = [path for path in ours if "Remove background" in str(path)][:3]
    for path, text in zip(own, ('#!/bin/sh\nexec rembg i "$@"\n', "", "\n"), strict=True):
        path.write_text(text)
    pipe = ours[-1]
    if pipe not in own:
        pipe.unlink()
        os.mkfifo(pipe)
    before = {path: path.read_bytes() for path in own}
    done = CliRunner().invoke(desktop, ["install"], catch_exceptions=False)
    assert sum(line.startswith("kept ") for line in done.output.splitlines()) == 3 + (pipe not in own)
    CliRunner().invoke(desktop, ["uninstall"], catch_exceptions=False)
    assert {path: path.read_bytes() for path in files(home)} == before
    assert not [path for path in ours if path.exists() and path not in own and path != pipe]


def test_an_entry_of_another_version_is_renewed_and_removed(home: Path) -> None:
    script = home / ".local/share/nautilus/scripts/Remove background"
    script.parent.mkdir(parents=True)
    script.write_text('#!/bin/sh\nexec /opt/old/cutoutd desktop cut transparent -- "$@"\n')
    CliRunner().invoke(desktop, ["install"])
    assert "/opt/old" not in script.read_text()
    CliRunner().invoke(desktop, ["uninstall"])
    assert files(home) == []


def test_a_script_makes_a_cutout_beside_the_photo(home: Path) -> None:
    CliRunner().invoke(desktop, ["install"])
    folder = home / "my photos"
    folder.mkdir()
    (folder / "-a b.jpg").write_bytes(encoded(size=(256, 256)))
    script = home / ".local/share/nautilus/scripts/Remove background, on white"
    environment = {**os.environ, "CUTOUTD_CONFIG": ""}
    done = subprocess.run(
        [script, "-a b.jpg"], cwd=folder, env=environment, capture_output=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    with Image.open(folder / "-a b-cutout.png") as image:
        corner = image.convert("RGB").getpixel((0, 0))
        assert isinstance(corner, tuple)
        assert min(corner) >= 250
