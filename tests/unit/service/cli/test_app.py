"""The command line as a shell sees it: exit codes, pipes that close, colours, tabs, and no traceback for anybody."""

from __future__ import annotations

import os
import pty
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import warm

from cutoutd.config.errors import ExitCode
from cutoutd.daemon.ledger.database import LEDGER_NAME, Ledger
from cutoutd.service.cli import app

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-m", "cutoutd.service"]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOUTD_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path)}


def run(home: dict[str, str], *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    if warm.POSSIBLE:
        return warm.ask(list(arguments), {**home, **options})
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**home, **options},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_garbage_is_looked_for_again_while_a_command_runs(home: dict[str, str]) -> None:
    code = (
        "import gc, sys; from cutoutd.service.cli import presets; "
        "presets.presets.callback = lambda **_: print(gc.isenabled(), gc.get_freeze_count() > 10_000); "
        "sys.argv = ['cutoutd', 'presets']; from cutoutd.service.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


@pytest.mark.parametrize("command", ["presets", "models list", "config sample"])
def test_a_reader_that_goes_away_is_no_error(home: dict[str, str], command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # gone before the first line
    done = subprocess.run(
        [*PROGRAM, *command.split()],
        env=home,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=100,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", ["models list", "config schema"])
def test_output_that_cannot_be_written_is_one_sentence(home: dict[str, str], command: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *command.split()],
            env=home,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=100,
        )
    assert done.returncode == ExitCode.INTERNAL
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_what_nobody_foresaw_is_a_sentence_and_the_traceback_is_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(app.cutoutd, "main", broken)
    monkeypatch.delenv("CUTOUTD_TRACEBACK", raising=False)
    assert app.run(["status"]) == ExitCode.INTERNAL
    said = capsys.readouterr().err
    assert said.startswith("cutoutd: Something unforeseen went wrong (KeyError: 'surprise').")
    assert "CUTOUTD_TRACEBACK=1" in said
    monkeypatch.setenv("CUTOUTD_TRACEBACK", "1")
    with pytest.raises(KeyError):
        app.run(["status"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("There is not enough memory to load the model 'x'"), "model 'x'. Close other programs"),
        (
            PermissionError(13, "Permission denied", "/srv/a b"),
            "/srv/a b: Permission denied. Try it as the user whose",
        ),
        (OSError(28, "No space left on device"), "cutoutd: No space left on device."),
    ],
)
def test_the_systems_troubles_keep_the_systems_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    def broken(**_: object) -> None:
        raise error

    monkeypatch.setattr(app.cutoutd, "main", broken)
    assert app.run([]) == ExitCode.INTERNAL
    assert words in capsys.readouterr().err


def test_a_working_folder_that_is_gone_is_said(home: dict[str, str], tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "cutoutd.service", "once", "a.jpg", "-o", "out"])
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", f"rmdir ../gone; {command}"],
        cwd=tmp_path / "gone",
        env=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "started in is gone" in done.stderr


def test_mistakes_in_a_config_each_begin_their_line(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[inbox]]\npath = "in"\noutbox = "out"\nsetle = 1\norder = "newst"\n')
    done = run(home, "config", "check", "-c", str(file))
    assert done.returncode == ExitCode.CONFIG
    first, *lines = done.stderr.splitlines()
    assert first == "cutoutd: 2 mistakes in the configuration:"
    assert [line.split(": ")[0] for line in lines] == [f"{file}:4", f"{file}:5"]


def test_without_a_home_nothing_is_made_and_the_way_out_is_named(
    home: dict[str, str], tmp_path: Path
) -> None:
    del home["HOME"]
    # As in a container whose user is a bare number: no HOME, and no entry among the users.
    script = (
        "import pwd, sys\n"
        "def unknown(_): raise KeyError\n"
        "pwd.getpwuid = unknown\n"
        "from cutoutd.service.cli.app import run; sys.exit(run(['status']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=home, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.CONFIG, done.stderr
    assert "no home folder" in done.stderr
    assert "CUTOUTD_STATE_DIR" in done.stderr
    assert list(tmp_path.iterdir()) == []


def on_a_terminal(home: dict[str, str], *arguments: str, **options: str) -> str:
    """What a command writes on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    environment = {**home, "TERM": "xterm-256color", "COLUMNS": "80", **options}
    with subprocess.Popen(
        [*PROGRAM, *arguments], env=environment, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        said = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # how Linux says that the last writer closed it
                break
            if not piece:
                break
            said += piece
        process.wait(60)
    os.close(leader)
    return said.decode()


def test_no_color_is_honoured(home: dict[str, str]) -> None:
    assert "\x1b[3" in on_a_terminal(home, "presets")
    assert "\x1b[3" not in on_a_terminal(home, "presets", NO_COLOR="1")


def test_no_word_of_a_sentence_is_broken_on_a_terminal(home: dict[str, str], tmp_path: Path) -> None:
    photo = (
        tmp_path / "holidays 2026" / "nothere.jpg"
    )  # a path stays whole, though the line is too short for it
    said = on_a_terminal(home, "redo", str(photo), COLUMNS="40").replace("\r", "")
    assert "cutoutd has not run here yet." in said.replace("\n", " ")
    assert "`cutoutd run`." in said
    assert said.count("\n") > 1
    said = on_a_terminal(home, "once", str(photo), "-o", str(tmp_path / "out"), COLUMNS="40").replace(
        "\r", ""
    )
    assert f"{photo}: " in said
    assert said.count("\n") > 1
    assert "There is no such file or folder; check the name." in said.replace("\n", " ")
    assert run(home, "once", str(photo), "-o", str(tmp_path / "out")).stderr.count("\n") == 1


def test_whoever_says_no_place_for_cutouts_is_told_how(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "my shoe.jpg").touch()
    done = run(home, "once", str(tmp_path / "my shoe.jpg"))
    assert done.returncode == ExitCode.USAGE
    assert "Add `-o cutouts/`" in done.stderr
    done = run(home, str(tmp_path / "my shoe.jpg"))
    assert done.returncode == ExitCode.USAGE
    assert f"cutoutd once '{tmp_path}/my shoe.jpg' -o cutouts/" in done.stderr


def test_tables_fit_a_terminal_and_are_whole_in_a_pipe(home: dict[str, str]) -> None:
    import re

    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(home, "models", "list"))
    assert max(len(line.rstrip("\r")) for line in shown.split("\n")) <= 80
    piped = run(home, "models", "list").stdout
    row = next(line for line in piped.splitlines() if line.startswith("bria-rmbg"))
    assert "CC BY-NC 4.0 *" in row
    assert row.rstrip().endswith("without the publisher's licence")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cutoutd mo", ["models"]),
        ("cutoutd re", ["review", "retry", "redo", "resume", "rescan"]),
        ("cutoutd models pu", ["pull"]),
        ("cutoutd models pull isnet-g", ["isnet-general-use"]),
        ("cutoutd models verify cut", ["cutout-s", "cutout-m"]),
        ("cutoutd presets prod", ["product-white"]),
        ("cutoutd once --pres", ["--preset"]),
    ],
)
def test_a_tab_completes(home: dict[str, str], words: str, expected: list[str]) -> None:
    done = run(
        home, COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), _CUTOUTD_COMPLETE="bash_complete"
    )  # fmt: skip
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == expected


def test_cutouts_need_a_folder(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "notes").touch()
    done = run(home, "once", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "notes"))
    assert done.returncode == ExitCode.FOLDER
    assert "This is a file, and cutouts need a folder" in done.stderr


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (sqlite3.SQLITE_CORRUPT, "The ledger is damaged"),
        (sqlite3.SQLITE_BUSY, "Another program holds the ledger"),
        (sqlite3.SQLITE_IOERR, "The ledger cannot be read"),
    ],
)
def test_a_ledger_that_gives_way_in_the_middle_of_a_command_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, sentence: str
) -> None:
    def broken(**_: object) -> None:
        error = sqlite3.DatabaseError("in the middle")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(app.cutoutd, "main", broken)
    assert app.run(["status"]) == ExitCode.LEDGER
    assert sentence in capsys.readouterr().err


LONG, DIGITS, NOBODY, BYTES = "x" * 300, "9" * 5000, "~nobody-of-that-name/x", "\udcff"


@pytest.mark.parametrize(
    "words",
    [
        *(["redo", name] for name in (LONG, NOBODY, "~" + LONG)),
        *(["once", "{photo}", "-o", name] for name in (LONG, f"{LONG}/x")),
        *(["once", name, "-o", "out"] for name in (LONG, NOBODY)),
        *(["config", "check", "-c", name] for name in (LONG, NOBODY)),
        *(["config", "check", "--for", name] for name in (LONG, NOBODY)),
        *(["init", "-c", name] for name in (LONG, LONG + "/x")),
        *(["once", "{photo}", "-o", "out", "--keep", value] for value in (DIGITS, "²", BYTES)),
        *(["once", "{photo}", "-o", "out", "--bits", value] for value in (DIGITS, "²", BYTES)),
        *(["redo", "{photo}", option, BYTES] for option in ("--canvas", "--roi", "--background", "--format")),
        *([command, "--since", f"{DIGITS}s"] for command in ("redo", "events")),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_what_makes_no_sense_is_said_in_a_sentence_and_is_no_mistake_of_ours(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "STATE_DIR", "CACHE_DIR"):
        monkeypatch.setenv(f"CUTOUTD_{name}", str(tmp_path / name.lower()))
    (tmp_path / "config").write_text(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/cut"\n')
    (tmp_path / "state_dir").mkdir()
    Ledger(tmp_path / "state_dir" / LEDGER_NAME).close()
    (tmp_path / "a.jpg").write_bytes(b"x")
    code = app.run([word.format(photo="a.jpg") for word in words])
    said = capsys.readouterr().err
    assert code in (ExitCode.USAGE, ExitCode.CONFIG, ExitCode.FOLDER), said
    for hint in ("unforeseen", "codec", "Exceeds", "invalid literal", "Errno"):
        assert hint not in said
