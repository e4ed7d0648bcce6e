"""`cutoutd init` and `cutoutd config`, as a user types them."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cutoutd.config.errors import ConfigError, FolderError, ModelError, UsageError, printable_lines, toml_text
from cutoutd.config.load import load_settings, parse_settings
from cutoutd.daemon.lock import StateLock
from cutoutd.service.cli import app
from cutoutd.service.cli.config import config, init, write_new
from cutoutd.service.folders import make_folders


def run(*arguments: str) -> Result:
    return CliRunner().invoke(config, arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[[inbox]]\nname = "studio"\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n')
    return path


def test_check_says_which_file_and_what_it_asks_for(file: Path, tmp_path: Path) -> None:
    result = run("check", "-c", str(file))
    assert result.exit_code == 0
    assert result.output == f"{file}: no mistakes\n  studio: {tmp_path}/in -> {tmp_path}/out\n"


def test_check_says_which_rule_decides_about_a_photo(file: Path, tmp_path: Path) -> None:
    listed = tmp_path / "orders.csv"
    listed.write_text("stem,preset,name\nDSC_1,product-white,red shoe\n")
    rules = '[[inbox.rule]]\ncsv = "orders.csv"\n[[inbox.rule]]\nmatch = "hats/**"\npreset = "web"\n'
    file.write_text(file.read_text() + rules)
    for photo, words in (
        ("DSC_1.jpg", f"{listed}:2\n  product-white (preset product-white): red shoe.jpg\n"),
        ("hats/x.jpg", 'rule 2 (match = "hats/**")\n  web (preset web): {stem}.webp\n'),
        ("x.jpg", "no rule fits, so as studio says\n  cutout: {stem}.png\n"),
    ):
        result = run("check", "-c", str(file), "--for", f"{tmp_path}/in/{photo}")
        assert result.output == f"{tmp_path}/in/{photo}: {words}"
    assert isinstance(run("check", "-c", str(file), "--for", "/elsewhere/x.jpg").exception, UsageError)


def test_what_a_list_names_neither_acts_on_a_terminal_nor_hides(file: Path, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("stem,name\nDSC_1,gpj\u202e\u200bx\n")
    file.write_text(file.read_text() + '[[inbox.rule]]\ncsv = "orders.csv"\n')
    said = run("check", "-c", str(file), "--for", f"{tmp_path}/in/DSC_1.jpg").output
    assert "gpj\\u202e\\u200bx.png" in said


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_show_acts_on_no_terminal_and_reads_back(file: Path, form: tuple[str, ...]) -> None:
    odd = "a\u202e\x7f\x9b\u2028\U000e0041b\u00e9"
    file.write_text(file.read_text().replace('name = "studio"', f"name = {toml_text(odd)}"))
    shown = run("show", "-c", str(file), *form).output
    assert printable_lines(shown) == shown
    assert "\u00e9" in shown
    read = json.loads(shown) if form else tomllib.loads(shown)
    assert read["inbox"][0]["name"] == odd


def test_check_names_the_lines_of_a_list_that_are_wrong(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text() + '[[inbox.rule]]\ncsv = "orders.csv"\n')
    missing = run("check", "-c", str(file)).exception
    assert isinstance(missing, ConfigError)
    assert "orders.csv is not there" in missing.problems[0]
    (tmp_path / "orders.csv").write_text("stem,preset\na,wep\na2,\nb,web\n")
    wrong = run("check", "-c", str(file)).exception
    assert isinstance(wrong, ConfigError)
    assert [problem.split(": ")[0] for problem in wrong.problems] == [
        f"{tmp_path}/orders.csv:3",
        f"{tmp_path}/orders.csv:2",
    ]


def test_check_raises_all_mistakes(file: Path) -> None:
    file.write_text(file.read_text() + "settel = 1\norder = 2\n")
    result = run("check", "-c", str(file))
    assert isinstance(result.exception, ConfigError)
    assert len(result.exception.problems) == 2


def test_check_names_a_model_that_is_not_here(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOUTD_MODELS_DIR", str(tmp_path / "models"))
    file.write_text(file.read_text() + 'model = "u2net-p"\n')
    error = run("check", "-c", str(file)).exception
    assert isinstance(error, ModelError)
    assert str(error).startswith(
        f"{file}: studio: There is no model called 'u2net-p'. Did you mean 'u2netp'?"
    )


def test_show_reads_back(file: Path) -> None:
    shown = run("show", "-c", str(file)).output
    assert shown.startswith(f"# from {file}\n")
    assert parse_settings(shown) == load_settings(file).settings
    as_json = json.loads(run("show", "--json", "-c", str(file)).output)
    assert as_json["inbox"][0]["settle"] == "300ms"


def test_sample_and_schema_are_what_they_claim() -> None:
    assert parse_settings(run("sample").output).inbox[0].path.name == "Inbox"
    assert json.loads(run("schema").output)["title"] == "Settings"


def test_init_writes_nothing_where_the_folders_do_not_go_together(tmp_path: Path) -> None:
    """It wrote the file first: the next call, with better folders, kept it, and failed again."""
    path = tmp_path / "config.toml"
    wrong, right = (
        ["-c", str(path), "--inbox", str(tmp_path / "in"), "--outbox", str(tmp_path / below)]
        for below in ("in/out", "out")
    )
    error = CliRunner().invoke(init, wrong).exception
    assert isinstance(error, ConfigError)
    assert error.problems[0].startswith("--outbox: the outbox ")
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(init, right).exit_code == 0


def test_init_writes_once_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "deep/config.toml"
    options = ["-c", str(path), "--inbox", str(tmp_path / "in"), "--outbox", str(tmp_path / "out")]
    first = CliRunner().invoke(init, options)
    assert first.exit_code == 0, first.exception
    assert f"wrote {path}" in first.output
    assert (tmp_path / "in").is_dir()
    assert (tmp_path / "out").is_dir()
    assert tomllib.loads(path.read_text())["inbox"][0]["path"] == str(tmp_path / "in")
    before = path.read_text() + "# mine\n"
    path.write_text(before)
    again = CliRunner().invoke(init, options)
    assert f"kept {path}" in again.output
    assert "changed nothing" in again.output
    assert path.read_text() == before


@pytest.mark.parametrize("usual", [True, False])
def test_init_beside_a_daemon_says_what_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, usual: bool
) -> None:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CUTOUTD_CONFIG", str(tmp_path / "usual.toml"))
    path = tmp_path / ("usual.toml" if usual else "other.toml")
    folders = ["--inbox", str(tmp_path / "in"), "--outbox", str(tmp_path / "out")]
    typed = "cutoutd run" if usual else f"cutoutd run -c {path}"
    assert f"start with `{typed}`" in CliRunner().invoke(init, ["-c", str(path), *folders]).output
    lock = StateLock(tmp_path / "state")
    try:
        said = CliRunner().invoke(init, ["-c", str(path), *folders]).output
    finally:
        lock.release()
    assert ("takes it up within seconds" if usual else "start it with this configuration") in said
    assert str(os.getpid()) in said


def test_init_shortens_paths_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "c.toml"
    CliRunner().invoke(
        init, ["-c", str(path), "--inbox", str(tmp_path / "in"), "--outbox", str(tmp_path.parent / "x")]
    )
    inbox = tomllib.loads(path.read_text())["inbox"][0]
    assert (inbox["path"], inbox["outbox"]) == ("~/in", str(tmp_path.parent / "x"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = parse_settings(f'[[inbox]]\npath = "{tmp_path}/file/in"\noutbox = "{tmp_path}/out"\n')
    with pytest.raises(FolderError, match=r"file/in: the folder cannot be made \(Not a directory\)"):
        make_folders(settings)


def test_a_config_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_new(tmp_path / "file/c.toml", "x")


ODD = "[red]a[/red]\u202e\x1b[31m\u200b"


@pytest.mark.parametrize(
    "words", ["config check", "config check --for {in}/x.jpg", "presets", "presets {preset}", "doctor"]
)
def test_names_of_the_configuration_act_on_no_terminal(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    named = file.read_text().replace('name = "studio"', f"name = {toml_text(ODD)}")
    file.write_text(f'{named}[preset.{toml_text(ODD)}]\nformat = "webp"\n')
    make_folders(load_settings(file).settings)
    for name in ("STATE_DIR", "CACHE_DIR", "MODELS_DIR"):
        monkeypatch.setenv(f"CUTOUTD_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("CUTOUTD_CONFIG", str(file))
    app.run([word.format(**{"in": tmp_path / "in", "preset": ODD}) for word in words.split()])
    said = capsys.readouterr()
    assert printable_lines(said.out) == said.out
    assert "[red]a[/red]\\u202e\\x1b[31m\\u200b" in said.out.replace("\n", "")
