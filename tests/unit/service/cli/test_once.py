"""`cutoutd once` as a shell sees it: real photos through real workers, and what the configuration has a say in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.support.photos import encoded

from cutoutd.config.errors import ExitCode

PROGRAM = [sys.executable, "-m", "cutoutd.service", "once"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.jpg"
    path.write_bytes(encoded(size=(256, 256)))
    return path


def once(tmp_path: Path, config: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it with this configuration in the place where the user's is looked for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOUTD_", "XDG_"))}
    place = tmp_path / "config.toml"
    place.write_text(config)
    return subprocess.run(
        [*PROGRAM, *map(str, arguments), "-o", str(tmp_path / "out"), "--workers", "1"],
        env={**kept, "HOME": str(tmp_path), "CUTOUTD_CONFIG": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_presets_of_the_configuration_can_be_named(tmp_path: Path, photo: Path) -> None:
    shop = '[preset.shop]\npreset = "web"\nmax_size = 64\n'
    done = once(tmp_path, shop, photo, "--preset", "shop")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/astronaut.webp") as image:
        assert max(image.size) == 64


def test_limits_of_the_configuration_hold(tmp_path: Path, photo: Path) -> None:
    done = once(tmp_path, "[limits]\nmax_megapixels = 0.01\n", photo)
    assert done.returncode == ExitCode.SOME_FAILED
    assert "limits.max_megapixels" in done.stderr


def test_a_broken_configuration_is_said_and_holds_up_nothing_unless_it_was_named(
    tmp_path: Path, photo: Path
) -> None:
    done = once(tmp_path, "[limits]\nmax_megapixel = 1\n", photo)
    assert done.returncode == 0, done.stderr
    assert "did you mean" in done.stderr
    assert (tmp_path / "out/astronaut.png").exists()
    named = once(tmp_path, "[limits]\nmax_megapixel = 1\n", photo, "--config", tmp_path / "config.toml")
    assert named.returncode == ExitCode.CONFIG


def test_what_was_ignored_is_said_of_finished_photos_too(tmp_path: Path) -> None:
    photo = tmp_path / "scan.jpg"
    photo.write_bytes(encoded(size=(256, 256), icc_profile=b"no profile at all"))
    done = once(tmp_path, "", photo)
    assert done.returncode == 0, done.stderr
    assert "• scan.jpg: The colour profile is damaged" in done.stderr
