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
