"""`cutoutd status` and its kin, as people see them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cutoutd.config.errors import UsageError
from cutoutd.daemon.ledger import masks
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled
from cutoutd.service.cli.control import forget, redo, rescan, retry
from cutoutd.service.cli.status import failures, status


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_before_the_first_start_there_is_nothing_to_retry_and_nothing_has_failed() -> None:
    error = CliRunner().invoke(retry, ["--all"]).exception
    assert isinstance(error, UsageError)
    assert "has not run here yet" in str(error)
    fresh = CliRunner().invoke(failures)
    assert (fresh.exit_code, fresh.output) == (0, "No photo has failed.\n")
    assert json.loads(CliRunner().invoke(failures, ["--json"]).output) == []


def test_a_name_that_means_no_photo_is_said_and_is_no_success(state: Path) -> None:
    state.mkdir()
    Ledger(state / "ledger.sqlite").close()
    assert CliRunner().invoke(failures).output == "No photo has failed.\n"
    for command in (retry, redo, forget):
        error = CliRunner().invoke(command, ["nope.jpg"]).exception
        assert isinstance(error, UsageError)
        assert "nope.jpg: no photo is known by this name" in str(error)
        everything = CliRunner().invoke(command, ["--all"])
        assert (everything.exit_code, everything.output[:3]) == (0, "No "), everything.output


def test_nobody_looks_through_inboxes_while_no_daemon_is_there() -> None:
    error = CliRunner().invoke(rescan, []).exception
    assert isinstance(error, UsageError)
    assert "when it starts" in error.fix


def test_points_are_for_one_photo(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    Ledger(state / "ledger.sqlite").close()
    for paths in (["a.jpg", "b.jpg"], [str(tmp_path)], ["--all"]):
        error = CliRunner().invoke(redo, [*paths, "--remove", "1,2"]).exception
        assert isinstance(error, UsageError)
        assert "for one photo" in str(error)


def test_a_mask_and_points_exclude_each_other_and_a_name_that_means_nothing_copies_none(
    state: Path, tmp_path: Path
) -> None:
    state.mkdir()
    Ledger(state / "ledger.sqlite").close()
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"drawn")
    both = CliRunner().invoke(redo, ["a.jpg", "--mask", str(mask), "--remove", "1,2"]).exception
    assert isinstance(both, UsageError)
    assert "A mask says all" in str(both)
    assert "for one photo" in str(CliRunner().invoke(redo, ["--all", "--mask", str(mask)]).exception)
    assert "no photo is known" in str(CliRunner().invoke(redo, ["a.jpg", "--mask", str(mask)]).exception)
    assert not (state / masks.FOLDER).exists()


@pytest.fixture
def known(state: Path, tmp_path: Path) -> dict[str, int]:
    """A ledger with one photo of each kind, by what is printed of it."""
    state.mkdir()
    ledger = Ledger(state / "ledger.sqlite")
    inbox, failed = os.fsencode(tmp_path / "in"), os.fsencode(tmp_path / "failed")
    ids: dict[str, int] = {}
    for name, kind, moved in (
        (b"sub/done.jpg", "done", None),
        (b"sub/bad\xff.jpg", "failed", None),
        (b"moved.jpg", "failed", failed + b"/moved (2).jpg"),
        (b"new.jpg", "pending", None),
        (b"film.mov", "skipped", None),
    ):
        cursor = ledger.write(
            "INSERT INTO photos (inbox, path, key, state, archived_to, reason, arrived, finished, live)"
            " VALUES (?, ?, ?, ?, ?, 'not-a-photo', 0, 1, ?)",
            (inbox, name, name[::-1], kind, moved, int(moved is None)),
        )
        ids[kind if moved is None else "moved"] = int(cursor.lastrowid or 0)
    ledger.write(
        "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
        " VALUES (?, 'cutout', ?, x'646f6e652e706e67', 'done.png', '', 'done')",
        (ids["done"], os.fsencode(tmp_path / "out")),
    )
    ledger.commit()
    ledger.close()
    return ids


def test_a_mask_is_copied_for_the_photo_that_is_done_again(
    known: dict[str, int], state: Path, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"drawn")
    done = CliRunner().invoke(redo, ["done.jpg", "--mask", str(mask)])
    assert done.exit_code == 0, done.exception
    mask.unlink()
    ledger = Ledger(state / "ledger.sqlite")
    row = ledger.one("SELECT state, overrides FROM photos WHERE id = ?", (known["done"],))
    ledger.close()
    assert row is not None
    assert row["state"] == "pending"
    assert (state / masks.FOLDER / json.loads(row["overrides"])["mask"]).read_bytes() == b"drawn"


def test_of_a_name_that_means_nothing_it_is_said_once(known: dict[str, int], tmp_path: Path) -> None:
    assert known
    result = CliRunner().invoke(redo, ["done.jpg", "new.jpg", "--background", "white"])
    assert "new.jpg: it is waiting" in str(result.exception)
    assert "Left out" not in result.output


@pytest.mark.parametrize(
    ("typed", "left"), [("{0}/in", True), ("--all", True), ("done.jpg", False), ("{0}/in/sub", False)]
)
def test_what_a_folder_is_not_done_again_of_is_said(
    known: dict[str, int], tmp_path: Path, typed: str, left: bool
) -> None:
    """A photo that was in hand just then kept its cutout as it was, and nothing said so."""
    assert known
    result = CliRunner().invoke(redo, [typed.format(tmp_path), "--background", "white"])
    assert result.exit_code == 0, result.exception
    assert (
        "Left out: 1 photo waiting or in hand just now; ask again when it is done." in result.output
    ) == left


def states(state: Path) -> dict[int, str]:
    ledger = Ledger(state / "ledger.sqlite")
    found = {row["id"]: row["state"] for row in ledger.read("SELECT id, state FROM photos")}
    ledger.close()
    return found


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        (retry, "{0}/in/moved.jpg", "moved"),
        (retry, "{0}/failed/moved (2).jpg", "moved"),
        (retry, "{0}/failed/moved (2).jpg.txt", "moved"),
        (retry, "{0}/failed", "moved"),
        (retry, "{0}/failed/", "moved"),
        (retry, "moved (2).jpg", "moved"),
        (retry, "{0}/in/sub", "failed"),
        (retry, "{0}/link/sub", "failed"),
        (retry, "bad\\xff.jpg", "failed"),  # as it is printed
        (retry, "{0}/in/sub/bad\\xff.jpg", "failed"),
        (retry, "sub/bad\udcff.jpg", "failed"),
        (redo, "done.jpg", "done"),
        (redo, "sub/done.jpg", "done"),
        (redo, "done.png", "done"),
        (redo, "{0}/out/done.png", "done"),
        (redo, "{0}/out", "done"),
        (redo, "photo 1", "done"),
        (redo, "1", "done"),
        (redo, "./in/sub/done.jpg", "done"),
        (redo, "{0}/in", "done"),  # of a folder no failed ones
        (redo, "{0}/in/moved.jpg", "moved"),
        (redo, "{0}/failed/moved (2).jpg.txt", "moved"),
        (redo, "bad\\xff.jpg", "failed"),
    ],
)
def test_whatever_is_printed_is_understood(
    known: dict[str, int],
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: click.Command,
    typed: str,
    meant: str,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    before = states(state)
    result = CliRunner().invoke(command, [typed.format(tmp_path)])
    assert result.exit_code == 0, result.exception
    assert result.output.startswith("1 photo will be ")
    assert {photo for photo, now in states(state).items() if now != before[photo]} == {known[meant]}


@pytest.mark.parametrize(
    ("command", "typed", "says"),
    [
        (retry, "done.jpg", "it is done; `cutoutd redo` makes it again"),
        (redo, "{0}/failed", "it has failed; `cutoutd retry` tries it again"),
        (retry, "new.jpg", "it is waiting to be cut out"),
        (retry, "film.mov", "it was skipped (not-a-photo)"),
        (forget, "new.jpg", "it is waiting to be cut out; ask again when it is done."),
        (redo, "new.jpg", "it is waiting to be cut out; ask again when it is done."),
        (retry, "/somewhere/done.jpg", "no photo is known by this name"),
    ],
)
def test_what_is_meant_but_cannot_be_says_why(
    known: dict[str, int], tmp_path: Path, command: click.Command, typed: str, says: str
) -> None:
    error = CliRunner().invoke(command, [typed.format(tmp_path)]).exception
    assert isinstance(error, UsageError)
    assert says in str(error)
    # Only where the name itself is unknown would other names help.
    assert ("show names" in str(error)) == ("no photo is known" in says)


def test_one_wrong_name_does_not_hold_up_the_others(known: dict[str, int], state: Path) -> None:
    result = CliRunner().invoke(retry, ["nope.jpg", "moved.jpg"])
    assert result.output == "1 photo will be tried again when cutoutd runs.\n"
    assert isinstance(result.exception, UsageError)
    assert states(state)[known["moved"]] == "pending"


def test_one_photo_is_forgotten_and_no_other(known: dict[str, int], state: Path) -> None:
    assert CliRunner().invoke(forget, ["done.png"]).output.startswith("1 photo forgotten")
    everything = (state / "ledger.sqlite").read_bytes()
    assert b"done.jpg" not in everything
    assert b"done.png" not in everything
    assert b"moved.jpg" in everything
    error = CliRunner().invoke(forget, ["--all", "moved.jpg"]).exception
    assert isinstance(error, UsageError)


def test_skipped_files_are_named(known: dict[str, int]) -> None:
    text = CliRunner().invoke(status).output
    assert "1 skipped" in text
    assert "film.mov (not-a-photo)" in text
    assert json.loads(CliRunner().invoke(status, ["--json"]).output)["skipped_files"][0]["name"] == "film.mov"


def test_a_redo_that_cannot_be_is_refused_before_any_photo_waits(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "cutoutd.toml"
    config.write_text(
        f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n'
        '[inbox.output]\nfit = "head"\nsize = "35x45mm"\n'
    )
    monkeypatch.setenv("CUTOUTD_CONFIG", str(config))
    state.mkdir()
    ledger = Ledger(state / "ledger.sqlite")
    ledger.write(
        "INSERT INTO photos (inbox, path, key, state, arrived, live) VALUES (?, x'79', x'02', 'done', 0, 1)",
        (bytes(tmp_path / "in"),),
    )
    ledger.commit()
    ledger.close()
    error = CliRunner().invoke(redo, ["--all", "--max-size", "300"]).exception
    assert isinstance(error, UsageError)
    assert "size sets the exact size" in str(error)
    error = CliRunner().invoke(redo, ["--all", "--format", "jpeg"]).exception
    assert "write --background white, or --format png" in str(
        error
    )  # as it is typed, not as in a configuration
    done = CliRunner().invoke(redo, ["--all", "--head-height", "60"])  # the inbox supplies fit = "head"
    assert done.output == "1 photo will be done again when cutoutd runs.\n", done.exception


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("twin.jpg", "it is waiting to be cut out"),
        ("a/twin.jpg", "it is waiting to be cut out"),
        ("{0}/in", "no photo in it is done"),
        ("{0}/in/a", "it is waiting to be cut out"),  # there is but one in it
    ],
)
def test_a_name_that_several_folders_have_is_not_spoken_of_as_a_folder(
    state: Path, tmp_path: Path, typed: str, says: str
) -> None:
    state.mkdir(exist_ok=True)
    ledger = Ledger(state / "ledger.sqlite")
    for path in (b"a/twin.jpg", b"b/twin.jpg"):
        Intake(ledger).observe(bytes(tmp_path / "in"), path, Facts(1, 2, 3), settled=Settled.KNOWN)
    ledger.commit()
    ledger.close()
    error = CliRunner().invoke(redo, [typed.format(tmp_path)]).exception
    assert isinstance(error, UsageError)
    assert says in str(error)
