"""A machine that gives little, photos made to cost much, archives full of one name; and what is forgotten is gone."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded
from tests.support.simulation import Crasher, Simulation, simulated

from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.ledger.control import ABOUT_ALL, CommandArguments, Verb
from cutoutd.service.cli.app import run

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Daemon] = []

    def one(**options: Any) -> Daemon:
        made.append(Daemon(tmp_path / "one", **options))
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()


# --- little is given -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_few_files_small_files_and_no_home_are_enough(make: Make) -> None:
    one = make(wrapper=("prlimit", "--nofile=64", "--fsize=1000000", "env", "-u", "HOME"))
    one.start()
    for number in range(4):
        (one.inbox / f"{number}.jpg").write_bytes(encoded("chelsea", size=(300, 200 + number)))
    one.wait(lambda: len(one.outputs()) == 4, "all cutouts", 90)
    assert one.stop() == 0
    assert not one.said("Traceback")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(*extra: bytes, width: int = 100, height: int = 100) -> bytes:
    rows = zlib.compress(bytes((width * 3 + 1) * height), 9)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = b"".join((header, *extra, _chunk(b"IDAT", rows), _chunk(b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + body


def _bombs() -> dict[str, bytes]:
    """Small files that unpack to much, or point everywhere."""
    wide = io.BytesIO()
    Image.new("1", (150_000, 400)).save(wide, "TIFF", compression="group4")
    profile = b"x\0\0" + zlib.compress(bytes(200 << 20), 1)
    text = zlib.compress(bytes(15 << 20), 1)
    texts = [_chunk(b"zTXt", b"k%d\0\0" % number + text) for number in range(10)]
    tags = b"".join(struct.pack("<HHII", 50_000 + n % 10_000, 1, 100_000_000, 8) for n in range(65_535))
    return {
        "profile.png": _png(_chunk(b"iCCP", profile)),
        "texts.png": _png(*texts),
        "many.png": _png(*[_chunk(b"tEXt", b"k\0v")] * 50_000),
        "tags.tif": b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65_535) + tags + bytes(4),
        "wide.tif": wide.getvalue(),
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_bombs_cost_themselves_and_nobody_else(make: Make) -> None:
    one = make(
        config='[inbox.matte]\nno_subject = "pass"\n',
        tables='[limits]\ntime_per_photo = "30s"\nattempts_after_death = 1\n[engine]\nworkers = 2\n',
    ).start()
    bombs = _bombs()
    for name, data in bombs.items():
        (one.inbox / name).write_bytes(data)
    (one.inbox / "good.jpg").write_bytes(encoded("chelsea", size=(160, 120)))
    ended = {"done", "failed"}
    one.wait(lambda: all(one.state_of(name) in ended for name in (*bombs, "good.jpg")), "every answer", 300)
    assert one.state_of("good.jpg") == "done"
    for name in bombs:
        row = one.row(name)
        assert row is not None
        assert row["state"] == "done" or row["reason"], name
    assert one.stop() == 0


# --- an archive full of one name --------------------------------------------------------------------------------


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulation]]:
    made: list[Simulation] = []

    def one(**table: Any) -> Simulation:
        made.append(Simulation(tmp_path, inbox_table=table))
        return made[-1]

    with simulated(monkeypatch):
        yield one
        for simulation in made:
            simulation.die()


def test_namesakes_in_the_archive_are_told_apart_by_size_before_any_is_read(
    sim: Callable[..., Simulation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(1, 301):
        with (archive / ("cap.jpg" if number == 1 else f"cap ({number}).jpg")).open("wb") as file:
            file.truncate(25_000_000)
    got: list[int] = []
    read = RealFileSystem.read

    def counted(self: RealFileSystem, fd: int, count: int) -> bytes:
        data = read(self, fd, count)
        got.append(len(data))
        return data

    monkeypatch.setattr(RealFileSystem, "read", counted)
    one = sim(after={"action": "archive", "archive": archive})
    one.put("cap.jpg", b"frame")
    one.boot().finish()
    assert (archive / "cap (301).jpg").read_bytes() == b"frame"
    assert sum(got) < 1_000_000


# --- somebody saves a cutout of his own ----------------------------------------------------------------------------


class _AtPoint(Crasher):
    """Does something, once, before the n-th call to the file system or commit."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        super().__init__()
        self.number = at
        self.act = act

    def point(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.passed == self.number:
            self.act()


@pytest.mark.parametrize("at", range(1, 40, 2))
def test_what_a_user_saves_under_a_cutouts_name_is_never_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """An editor empties the file when it begins to save, at any moment of making the cutout anew."""
    saved: list[Any] = []

    def begin_to_save() -> None:
        saved.append((tmp_path / "outbox" / "a.png").open("wb"))

    crasher = _AtPoint(10**9, begin_to_save)
    with simulated(monkeypatch, crasher):
        one = Simulation(tmp_path)
        one.put("a.jpg", b"photo")
        one.boot().finish()
        crasher.number = crasher.passed + at
        carry_out(one.parts.ledger, Verb.REDO, ABOUT_ALL, one.settings)
        one.workers.variant = b"anew"
        one.run(60)
        if not saved:
            pytest.skip("it was done with fewer calls")
        saved[0].write(b"the user's own version")
        saved[0].close()
        one.finish()
        assert b"the user's own version" in one.outputs().values()
        one.die()


# --- what is forgotten is gone, and what is not told writes nothing ------------------------------------------------


def test_forgetting_takes_the_names_out_of_damaged_ledgers_too(
    sim: Callable[..., Simulation], tmp_path: Path
) -> None:
    one = sim()
    for number in range(20):
        one.put(f"SECRETNAME {number}.jpg", b"%d" % number)
    one.boot().finish()
    one.stop()
    path = tmp_path / "state" / "ledger.sqlite"
    for offset in (100, 4096):
        data = bytearray(path.read_bytes())
        data[offset : offset + 16] = b"\xff" * 16
        path.write_bytes(data)
        one.boot().finish()
        assert list(path.parent.glob("*.damaged-*"))
        one.stop()
    one.boot()
    carry_out(one.parts.ledger, Verb.FORGET, CommandArguments(everything=True), one.settings)
    one.parts.ledger.commit()
    one.stop()
    for file in path.parent.rglob("*"):
        assert b"SECRETNAME" not in bytes(file)
        assert file.is_dir() or b"SECRETNAME" not in file.read_bytes(), file
    assert not list(path.parent.glob("*.damaged-*"))


@pytest.mark.parametrize("odd", ["\\r", "\\n", "\\u001b", "\\u2028"])
def test_a_folders_name_writes_no_line_into_a_service(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    evil = f"{tmp_path}/o{odd}ExecStartPre=+/nonexistent/PWNED{odd}#"
    config.write_text(f'[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{evil}"\n')
    monkeypatch.setenv("CUTOUTD_CONFIG", str(config))
    monkeypatch.setenv("CUTOUTD_STATE_DIR", str(tmp_path / "state"))
    for more in ([], ["--system"]):
        code = run(["service", "install", "--print", *more])
        assert code != 0 or not more  # the unit of a user names no folder
        said = capsys.readouterr()
        assert not [line for line in (said.out + said.err).splitlines() if line.startswith("ExecStartPre")]
        assert "\r" not in said.out + said.err


# --- the list --------------------------------------------------------------------------------------------------------

# What was tried against this program before, and where it is tried again; further ones of each kind lie beside them.
TRIED = {
    "c01": ("test_one_never_stops_the_rest.py", "test_a_photo_from_after_2262_is_cut_out_like_any_other"),
    "c01b": ("test_one_never_stops_the_rest.py", "test_the_ledger_takes_whatever_a_file_system_says"),
    "c02": ("test_a_worker_that_lies.py", "test_every_forged_answer_costs_its_photo_and_nothing_else"),
    "c04": ("test_writers.py", "test_a_photo_sent_again_while_its_broken_copy_is_moved_is_cut_out"),
    "c05": ("test_neighbours.py", "test_a_pipe_in_the_way_of_an_original_holds_up_none"),
    "c06": ("test_one_never_stops_the_rest.py", "test_a_folder_of_the_outbox_that_refuses_starves_nobody"),
    "c07": ("test_writers.py", "test_other_content_of_equal_size_and_time_is_a_new_photo"),
    "c08": ("test_limits_and_forgetting.py", "test_forgetting_takes_the_names_out_of_damaged_ledgers_too"),
    "c09": ("test_hostile_names.py", "test_in_the_log_the_live_view_and_notifications"),
    "c09b": ("test_hostile_names.py", "test_in_the_log_the_live_view_and_notifications"),
    "c10": (
        "test_a_worker_that_lies.py",
        "test_what_a_worker_reaches_from_inside_a_running_daemon_is_nothing",
    ),
    "c11": (
        "test_a_worker_that_lies.py",
        "test_what_a_worker_reaches_from_inside_a_running_daemon_is_nothing",
    ),
    "c12": ("test_a_worker_that_lies.py", "test_every_forged_answer_costs_its_photo_and_nothing_else"),
    "c14": ("test_limits_and_forgetting.py", "test_what_a_user_saves_under_a_cutouts_name_is_never_lost"),
    "c15": ("test_writers.py", "test_a_restored_ledger_finds_an_original_that_it_does_not_know_to_be_hidden"),
    "c17": ("test_limits_and_forgetting.py", "test_few_files_small_files_and_no_home_are_enough"),
    "c18": ("../property/test_orders.py", "test_alpha_0_means_rgb_0"),
    "c20": (
        "test_limits_and_forgetting.py",
        "test_namesakes_in_the_archive_are_told_apart_by_size_before_any_is_read",
    ),
    "c21": ("test_limits_and_forgetting.py", "test_a_folders_name_writes_no_line_into_a_service"),
    "c23": ("test_a_worker_that_lies.py", "test_every_forged_answer_costs_its_photo_and_nothing_else"),
    "c26": ("../torture/test_attacks.py", "test_ten_thousand_small_files_at_once_hide_no_photo"),
    "c27": ("test_writers.py", "test_a_stalled_upload_is_no_failed_photo"),
    "c28": ("test_writers.py", "test_a_stalled_upload_is_cut_out_whole_and_archived_whole"),
    "c29": ("test_limits_and_forgetting.py", "test_bombs_cost_themselves_and_nobody_else"),
}


@pytest.mark.parametrize("attack", TRIED)
def test_everything_that_was_ever_tried_is_tried_again(attack: str) -> None:
    file, name = TRIED[attack]
    assert f"def {name}(" in (Path(__file__).parent / file).read_text()
