"""`cutoutd once` as a shell sees it: real photos through real workers, and what the configuration has a say in."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.support import warm
from tests.support.conditions import wait_until
from tests.support.models import STAND_IN, lay_stand_in
from tests.support.photos import encoded

from cutoutd.config.errors import ExitCode

pytestmark = pytest.mark.slow

# Of all that is told here the network changes nothing.
COMMAND = ["once", "--model", STAND_IN]
PROGRAM = [sys.executable, "-m", "cutoutd.service", *COMMAND]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is installed."""
    lay_stand_in(tmp_path / "models")
    monkeypatch.setenv("CUTOUTD_MODELS_DIR", str(tmp_path / "models"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.jpg"
    path.write_bytes(encoded(size=(256, 256)))
    return path


def once(tmp_path: Path, config: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it with this configuration in the place where the user's is looked for."""
    others = ("CUTOUTD_C", "CUTOUTD_S", "CUTOUTD_T", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    place = tmp_path / "config.toml"
    place.write_text(config)
    environment = {**kept, "HOME": str(tmp_path), "CUTOUTD_CONFIG": str(place)}
    words = [*map(str, arguments), "-o", str(tmp_path / "out"), "--workers", "1"]
    if warm.POSSIBLE:
        return warm.ask([*COMMAND, *words], environment)
    return subprocess.run(
        [*PROGRAM, *words],
        env=environment,
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


def test_a_mask_from_elsewhere_is_read_by_the_worker_and_decides(tmp_path: Path, photo: Path) -> None:
    mask = tmp_path / "masks" / "edited.png"
    mask.parent.mkdir()
    grey = Image.new("L", (256, 256))
    grey.paste(255, (10, 10, 60, 60))
    grey.save(mask)
    done = once(tmp_path, "", photo, "--mask", mask)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/astronaut.png") as image:
        alpha = image.getchannel("A")
        assert (alpha.getpixel((30, 30)), alpha.getpixel((128, 128))) == (255, 0)
    far = once(tmp_path, "", photo, "--remove", "300,300")
    assert far.returncode == ExitCode.SOME_FAILED
    assert "lies outside" in far.stderr
    both = once(tmp_path, "", photo, mask, "--remove", "30,30")
    assert both.returncode == ExitCode.USAGE
    assert "for one photo" in both.stderr


def test_a_photo_through_a_pipe(tmp_path: Path, photo: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "-", "-o", "-", "--workers", "1", "--format", "webp"],
        input=photo.read_bytes(),
        env={**os.environ, "HOME": str(tmp_path), "CUTOUTD_CONFIG": ""},
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (256, 256), "RGBA")
    assert b"First:" not in done.stderr


@pytest.mark.parametrize(
    ("output", "redirected", "code", "says"),
    [
        ("-", ">&-", ExitCode.USAGE, "Standard output is closed"),
        ("out --json", ">/dev/full", ExitCode.FOLDER, "Standard output is full"),
    ],
)
def test_what_nobody_can_have_got_is_no_success(
    tmp_path: Path, photo: Path, output: str, redirected: str, code: ExitCode, says: str
) -> None:
    command = f"{shlex.join(PROGRAM)} {photo.name} --workers 1 -o {output} {redirected}"
    environment = {**os.environ, "HOME": str(tmp_path), "CUTOUTD_CONFIG": ""}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=100
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr.decode()


def test_one_wrong_name_does_not_hold_up_the_rest_and_quiet_says_only_that(
    tmp_path: Path, photo: Path
) -> None:
    done = once(tmp_path, "", tmp_path / "nope.jpg", photo, photo, "--quiet", "--skip-existing")
    assert done.returncode == ExitCode.SOME_FAILED
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut.png"]
    assert done.stdout == ""
    assert done.stderr.startswith("✗ nope.jpg: not-found. There is no such file")
    assert "First:" not in done.stderr
    again = once(tmp_path, "", photo, "--quiet", "--skip-existing")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    both = once(tmp_path, "", photo, "--skip-existing", "--overwrite")
    assert (both.returncode, both.stdout) == (ExitCode.USAGE, "")
    assert "exclude each other" in both.stderr
    plain = once(tmp_path, "", photo, "--skip-existing")
    assert "0 done, 1 done before" in plain.stderr
    assert plain.stdout == ""


def test_an_output_folder_inside_the_input_is_refused_and_not_made(tmp_path: Path, photo: Path) -> None:
    done = once(tmp_path, "", tmp_path)  # -o is out/ in it
    assert done.returncode == ExitCode.USAGE
    assert "the next run would take them for photos" in done.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_far_it_came_and_a_second_run_goes_on(tmp_path: Path, photo: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(photo.read_bytes())
    photos = [str(tmp_path / f"{number}.jpg") for number in range(6)]
    out = tmp_path / "out"
    command = [*PROGRAM, *photos, "-o", str(out), "--workers", "1"]
    environment = {**os.environ, "HOME": str(tmp_path), "CUTOUTD_CONFIG": ""}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: out.exists() and list(out.glob("*.png")), "a first cutout", 90)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, said
    done = len(list(out.glob("*.png")))
    assert f"Stopped: {done} of 6 done" in said
    assert "--skip-existing goes on" in said
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    again = once(tmp_path, "", *photos, "--skip-existing")
    assert again.returncode == 0, again.stderr
    assert f"{6 - done} done, {done} done before" in again.stderr
    assert sorted(path.name for path in out.iterdir()) == [f"{number}.png" for number in range(6)]
