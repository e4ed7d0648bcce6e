"""Each command, configuration and piece of Python of docs/COMING_FROM.md, run as it stands.

Commands cut out through the real path of `cutoutd once`; only the worker processes are this one, to be quick.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from tests.support import photos

from cutoutd.config.load import load_settings
from cutoutd.daemon import batch
from cutoutd.daemon.workers import engines, pool, protocol
from cutoutd.daemon.workers import job as jobs
from cutoutd.models.matting import closed_form
from cutoutd.models.networks.catalog import FAST, STANDARD, catalogue
from cutoutd.service.cli import app
from cutoutd.service.cli import once as once_module

PAGE = Path(__file__).parents[2] / "docs/COMING_FROM.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
COMMANDS = sorted(
    {found for row in ROWS for found in re.findall(r"`(cutoutd [^`]+)`", row) if "…" not in found}
)
CUTTING = [one for one in COMMANDS if one.startswith("cutoutd once ")]
# These run for good, connect, or change this account: what they say is parsed, and other tests run them.
OTHERS = [one for one in COMMANDS if one not in CUTTING]
CONFIGS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SIZE = (300, 200)
WARM: list[Any] = []


class Inline:
    """Workers that are this very process."""

    def __init__(
        self, setups: tuple[pool.WorkerSetup, ...], *, post: Callable[[Any], None], clock: Any
    ) -> None:
        self._engines, self._post = setups[0].context, post

    def start(self) -> None:
        if self._engines not in WARM:
            engines.warm_up(self._engines)
            WARM.append(self._engines)

    def free(self) -> int:
        return 1

    def submit(self, tag: int, task: Any, job: protocol.Job, **_: Any) -> None:
        self._post(pool.Finished(tag, protocol.read_result(job, jobs.run_job(job))))

    def next_deadline(self) -> None:
        return None

    def tick(self) -> None:
        pass

    def stop(self, *, now: bool = False) -> None:
        pass


@pytest.fixture(scope="session")
def photo_bytes() -> bytes:
    out = io.BytesIO()
    Image.fromarray(photos.pixels("coffee")).resize(SIZE).save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo_bytes: bytes) -> Path:
    for name in ("photo.jpg", "photos/a.jpg", "photos/sub/b.jpg", "picture.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo_bytes)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CUTOUTD_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(batch.pool, "Workers", Inline)
    # Under the default's name the smaller network answers, in a third of the time: nothing here looks at its answers.
    monkeypatch.setitem(catalogue(), STANDARD, replace(catalogue()[FAST], name=STANDARD))
    # Its compiler takes most of a minute; tests/unit/models/matting tries the solver itself.
    monkeypatch.setattr(closed_form, "solver", lambda: None)
    monkeypatch.setattr(once_module, "guard_supervisor", lambda: None)
    monkeypatch.setattr(once_module.streams, "endure", _leave_alone)
    return tmp_path


def _leave_alone(*_names: str) -> None:
    """In place of what makes the program's own streams endure: these are the tests'."""


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Path], list[str]]:
    """Runs it as a shell would; the files that are new, and its words."""
    with ExitStack() as opened:
        words, target = _redirected(shlex.split(command)[1:], folder, monkeypatch, opened)
        before = set(folder.rglob("*"))
        assert app.run(list(words)) == 0, command
    if target is not None:
        sys.stdout.flush()
        target.write_bytes(sys.stdout.buffer.getvalue())  # type: ignore[attr-defined]
    return sorted(path for path in set(folder.rglob("*")) - before if path.is_file()), words


def _redirected(
    words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> tuple[list[str], Path | None]:
    """Globs are spelled out, and `<` and `>` become this process's standard streams."""
    left: list[str] = []
    target = None
    while words:
        word = words.pop(0)
        if word == "<":
            file = (folder / words.pop(0)).open(encoding="utf-8")
            monkeypatch.setattr(sys, "stdin", opened.enter_context(file))
        elif word == ">":
            target = folder / words.pop(0)
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        elif "*" in word:
            left += sorted(str(path.relative_to(folder)) for path in folder.glob(word))
        else:
            left.append(word)
    return left, target


# What a cutout made with these options shows.
LOOKS: list[tuple[str, Callable[[Image.Image], bool]]] = [
    ("--channels alpha", lambda image: image.mode == "L"),
    ("--background white", lambda image: image.mode == "RGB" and np.asarray(image)[0, 0].min() > 250),
    ("--background '#7a7a7a'", lambda image: abs(int(np.asarray(image)[0, 0, 0]) - 0x7A) < 4),
    ("--trim", lambda image: image.size != SIZE),
    ("--preset product-white", lambda image: image.size == (2000, 2000)),
    ("out.webp", lambda image: image.format == "WEBP"),
    ("out.jpg", lambda image: image.format == "JPEG"),
]


@pytest.mark.parametrize("command", CUTTING)
def test_a_command_of_the_page_makes_what_it_says(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, words = run(command, folder, monkeypatch)
    several = 2 if "photos/ " in command or "--preset print" in command else 1
    assert len(made) == (5 if "marketplaces" in command else several)
    for path in made:
        with Image.open(path) as image:
            image.load()
            plain = not any(one in words for one in ("--trim", "--preset", "--max-size"))
            assert image.size == SIZE or not plain
            for options, holds in LOOKS:
                assert options not in command or holds(image), options


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_of_the_page_exist_with_these_options(command: str, folder: Path) -> None:
    (folder / "studio.onnx").write_bytes(b"")
    words = [word for word in shlex.split(command)[1:] if word != "NAME"]
    found: click.Command = app.cutoutd
    context = click.Context(found)
    while isinstance(found, click.Group):
        name = words.pop(0)
        next_one = found.get_command(context, name)
        assert next_one is not None, command
        found = next_one
    if "NAME" not in command:
        found.make_context(found.name, words)


@pytest.mark.parametrize("text", CONFIGS)
def test_each_configuration_is_sound(text: str, folder: Path) -> None:
    (folder / "config.toml").write_text(text)
    settings = load_settings(folder / "config.toml").settings
    assert settings.inbox[0].after.action in ("trash", "archive")


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_piece_of_python_runs(example: str, folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    if "mask" in names:
        assert (names["cutout"].mode, names["mask"].mode) == ("RGBA", "L")
        assert names["white"].startswith(b"\xff\xd8")
    else:
        assert (folder / "photo.jpg-cutout.png").exists()


def test_the_page_has_commands_for_each_of_the_four() -> None:
    for name in ("## rembg", "## remove.bg", "## withoutBG", "## Batchroom"):
        assert "`cutoutd " in TEXT.split(name)[1].split("\n## ")[0]
    assert len(CUTTING) > 30
