"""What a configuration names and is not there is found before the first photo meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoutd.config.errors import ConfigError
from cutoutd.config.load import load_settings


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    """Every mistake that looking finds, without the file's name."""
    path = tmp_path / "config.toml"
    path.write_text(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n{text}\n')
    try:
        load_settings(path, look=True)
    except ConfigError as error:
        return tuple(line.removeprefix(f"{path}:") for line in error.problems)
    return ()


def test_background_pictures(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    assert problems(tmp_path, '[inbox.output]\nbackground = "there.jpg"') == ()
    (gone,) = problems(tmp_path, '[inbox.output]\nbackground = "gone.jpg"')
    assert gone.startswith("5: inbox[1].output.background: ")
    assert gone.endswith("gone.jpg is not there: check its name, or copy it there")
    (one,) = problems(
        tmp_path,
        '[[inbox.deliver]]\nlabel = "a"\n[[inbox.deliver]]\nlabel = "b"\nbackground = "folder.jpg"',
    )
    assert one.startswith("8: inbox[1].deliver[2].background: ")
    assert "is a folder" in one


def test_a_daemon_starts_without_them(tmp_path: Path) -> None:
    problems(tmp_path, '[inbox.output]\nbackground = "gone.jpg"')
    load_settings(tmp_path / "config.toml")


def test_the_metrics_folder(tmp_path: Path) -> None:
    assert problems(tmp_path, f'[metrics]\ntextfile = "{tmp_path}/x.prom"') == ()
    (gone,) = problems(tmp_path, f'[metrics]\ntextfile = "{tmp_path}/no/x.prom"')
    assert "no is not there: make it" in gone
    (folder,) = problems(tmp_path, f'[metrics]\ntextfile = "{tmp_path}"')
    assert "is a folder: name a file in it" in folder


def test_programs_of_hooks(tmp_path: Path) -> None:
    """`config check` found no mistakes, and no cutout was uploaded that night."""
    script = tmp_path / "upload"
    (gone,) = problems(tmp_path, f'[[hook]]\ncommand = ["{script}", "{{output}}"]')
    assert gone.startswith("5: hook[1].command: ")
    assert gone.endswith("upload is not there: check its name")
    script.touch(0o600)
    (closed,) = problems(tmp_path, f'[[hook]]\ncommand = ["{script}", "{{output}}"]')
    assert "may not be started" in closed
    script.chmod(0o700)
    assert problems(tmp_path, f'[[hook]]\ncommand = ["{script}", "{{output}}"]') == ()
    assert problems(tmp_path, '[[hook]]\ncommand = ["only-on-the-server", "{output}"]') == ()


@pytest.mark.parametrize(
    "named",
    [
        '[[hook]]\ncommand = ["{}"]',
        '[inbox.output]\nbackground = "{}.png"',
        '[[inbox.rule]]\ncsv = "{}"',
        '[metrics]\ntextfile = "{}/x.prom"',
    ],
)
def test_what_may_not_even_be_looked_at_is_a_mistake_of_its_line(tmp_path: Path, named: str) -> None:
    """As below another user's home: the command ended in the system's words."""
    (found,) = problems(tmp_path, named.format(f"{tmp_path}/{'x' * 300}"))
    assert found[0].isdigit()
    assert "may not be looked at" in found


@pytest.mark.parametrize("key", ["archive", "failed"])
@pytest.mark.parametrize(("folder", "where"), [("out", "is the outbox"), ("out/a", "lies inside the outbox")])
def test_originals_never_lie_among_cutouts(tmp_path: Path, key: str, folder: str, where: str) -> None:
    (found,) = problems(tmp_path, f'[inbox.after]\n{key} = "{tmp_path}/{folder}"')
    assert where in found
    assert problems(tmp_path, f'[inbox.after]\n{key} = "{tmp_path}/{folder.replace("/", "-")}-beside"') == ()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("yes", "(did you mean true?)"),
        ("True  # a comment", "(did you mean true?)"),
        ("off", "(did you mean false?)"),
        ('"yes"', '"yes" is not true or false (did you mean true, without quotes?)'),
        ('"false"', '"false" is not true or false (did you mean false, without quotes?)'),
        ("1", "1 is not true or false (did you mean true, without quotes?)"),
        ('"maybe"', '"maybe" is not true or false'),
    ],
)
def test_other_words_for_true(tmp_path: Path, written: str, says: str) -> None:
    (found,) = problems(tmp_path, f"recursive = {written}")
    assert found.startswith("4: ")
    assert found.endswith(says)
    (engine,) = problems(tmp_path, '[engine]\nsandbox = "yes"')
    assert "did you mean true" in engine
