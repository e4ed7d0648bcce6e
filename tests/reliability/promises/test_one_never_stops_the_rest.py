"""One odd file, folder, answer or listener: its photo alone pays for it, by name, and all others come through."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from tests.support.daemon_process import Daemon
from tests.support.simulation import ALL_IO, InlineIo, Simulation, simulated

from cutoutd.config.errors import Reason
from cutoutd.daemon.dispatch.commands import carry_out
from cutoutd.daemon.events import Listener, Listeners
from cutoutd.daemon.files.filesystem import RealFileSystem
from cutoutd.daemon.files.names import date_of
from cutoutd.daemon.ledger.control import ABOUT_ALL, Verb
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.records import Facts, Settled, folded
from cutoutd.daemon.mailbox import Signal
from cutoutd.daemon.watching.watcher import Hint, Rescan
from cutoutd.daemon.workers import pool, protocol

AFTER_2262_S = 11_160_000_000
ODD_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.integers(-(2**70), 2**70), st.floats(-9, 9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
ANY_NUMBER = st.integers(min_value=-(2**70), max_value=2**70)


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulation]]:
    made: list[Simulation] = []

    def make(**inbox_table: Any) -> Simulation:
        made.append(Simulation(tmp_path, inbox_table=inbox_table))
        return made[-1]

    with simulated(monkeypatch):
        yield make
        for one in made:
            one.die()


@given(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_ledger_takes_whatever_a_file_system_says(
    tmp_path: Path, size: int, mtime_ns: int, inode: int, access: int
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", check=False)
    path = os.urandom(8)
    _, photo = Intake(ledger).observe(
        b"/in", path, Facts(size, mtime_ns, inode, access), settled=Settled.KNOWN
    )
    assert photo is not None
    row = Intake(ledger).get(photo)
    assert row is not None
    assert row.is_of(size, mtime_ns, inode)
    assert not row.is_of(size, mtime_ns + 1, inode)
    assert folded(size) == row.size
    assert len(date_of(mtime_ns)) == len(date_of(row.mtime_ns)) == len("2026-01-01")
    ledger.close()


def test_a_photo_from_after_2262_is_cut_out_like_any_other(sim: Callable[..., Simulation]) -> None:
    one = sim(output={"name": "{date} {stem}"})
    one.put("late.jpg", b"late")
    os.utime(one.inbox / "late.jpg", (AFTER_2262_S, AFTER_2262_S))
    if os.stat(one.inbox / "late.jpg").st_mtime < AFTER_2262_S:
        pytest.skip("this file system does not keep such a time")
    one.put("good.jpg", b"good")
    one.boot().finish()
    assert one.states() == {"late.jpg": "done", "good.jpg": "done"}
    assert "2262-04-11 late.png" in one.outputs()


@given(
    st.lists(
        st.one_of(
            st.builds(pool.Finished, st.integers(-2, 9), st.one_of(st.none(), st.text(), ANY_NUMBER)),
            st.builds(
                pool.Finished,
                st.integers(1, 3),
                st.builds(
                    protocol.Finished,
                    st.text(),
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    ANY_NUMBER,
                    st.floats(),
                    st.just(()),
                    st.dictionaries(st.text(), st.floats()),
                ),
            ),
            st.builds(pool.Finished, st.integers(1, 3), st.builds(protocol.Unchanged, st.text(), ANY_NUMBER)),
            st.builds(pool.Finished, st.integers(1, 3), st.builds(protocol.OverBudget, st.floats())),
            st.builds(
                pool.Finished,
                st.integers(1, 3),
                st.builds(protocol.OutboxRefused, st.binary(), ANY_NUMBER, st.text()),
            ),
            st.builds(
                pool.Died, st.integers(1, 9), st.sampled_from(["crashed", "timeout", "killed"]), st.text()
            ),
            st.builds(pool.Failed, st.integers(1, 9), st.builds(ValueError, st.text())),
        ),
        max_size=6,
    ),
    st.lists(st.binary(min_size=1, max_size=300), max_size=3),
)
@example(  # its facts are another file's, so that the photo is let go; a second answer then finds it superseded
    [
        pool.Finished(1, protocol.Finished("x", -1, -31, 6361, 1, 1, 0.5, (), {})),
        pool.Failed(1, ValueError("late")),
        pool.Died(2, "killed", "late"),
    ],
    [b"odd"],
)
@example([pool.Finished(1, None)], [])  # nobody would work on its photo any more
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_message_ends_the_loop(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], names: list[bytes]
) -> None:
    with pytest.MonkeyPatch.context() as patch, simulated(patch):
        one = Simulation(tmp_path_factory.mktemp("loop"))
        for name in ("a.jpg", "b.jpg"):
            one.put(name, name.encode())
        one.boot().until_in_a_worker()
        for message in messages:
            one.daemon.post(message)
        for name in names:
            one.daemon.post(Hint(str(one.inbox), name, "closed"))
        one.run(20)
        one.put("after.jpg", b"after")
        one.finish()
        assert one.states()["after.jpg"] == "done"
        assert all(row["state"] in ("done", "failed", "skipped", "superseded") for row in one.rows())
        one.die()


ODD = st.one_of(
    st.none(),
    st.text(max_size=5),
    ANY_NUMBER,
    st.lists(ANY_NUMBER, max_size=2),
    st.tuples(),
    st.just(object()),
)
ODD_ERRORS = st.one_of(
    st.builds(ValueError, st.text(max_size=9)),
    st.builds(OverflowError),
    st.builds(UnicodeDecodeError, st.just("utf-8"), st.just(b"x"), st.just(0), st.just(1), st.just("odd")),
    st.builds(OSError, st.sampled_from([errno.EIO, errno.ENOENT, errno.EACCES, 9999]), st.text(max_size=9)),
    st.builds(OSError),
    st.builds(MemoryError),
)


@given(
    at=st.lists(st.integers(0, 60), max_size=6, unique=True),
    values=st.lists(st.one_of(ODD, ODD_ERRORS), min_size=6, max_size=6),
    commands=st.lists(
        st.tuples(
            st.sampled_from(["retry", "redo", "forget", "pause", "resume", "rescan", "", "\x00"]),
            st.one_of(
                st.sampled_from(["", "{", "[1]", "7", "null"]),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "paths": ODD_JSON,
                        "photos": ODD_JSON,
                        "since": ODD_JSON,
                        "overrides": ODD_JSON,
                    },
                ).map(json.dumps),
            ),
        ),
        max_size=4,
    ),
    slots=st.lists(
        st.one_of(
            st.builds(pool.SlotReady, ANY_NUMBER, st.just({})),
            st.builds(pool.SlotFailed, ANY_NUMBER, st.text(max_size=9), st.floats(0, 60)),
            st.builds(Rescan, st.text(max_size=5), st.text(max_size=5), st.binary(max_size=5)),
        ),
        max_size=3,
    ),
)
@example(
    at=[57, 33, 0, 8, 53, 36],
    values=[None, [10845, -51297], object(), ValueError("odd"), (), "odd"],
    commands=[],
    slots=[],
)
@example(at=[19, 22, 41], values=[[], OSError(2, "x"), "", None, None, None], commands=[], slots=[])
@example(at=[0, 8, 9, 12, 15, 18], values=[OSError()] * 6, commands=[], slots=[])  # without a reason
@example(at=[9], values=[()] * 6, commands=[], slots=[])  # no name at all is no cutout
@example(at=list(range(12, 18)), values=[object(), 7, [7], "odd", MemoryError(), {}], commands=[], slots=[])
@example(at=list(range(18, 24)), values=[[7], object(), 7, (), OSError(), None], commands=[], slots=[])
@example(at=list(range(24, 30)), values=[object(), [7], 7, ValueError(), None, "odd"], commands=[], slots=[])
@example(
    at=[],
    values=[None] * 6,
    commands=[("pause", '{"since": []}'), ("redo", "{}"), ("forget", "null"), ("rescan", "{")],
    slots=[],
)
@settings(
    max_examples=int(os.environ.get("CUTOUTD_ODD_ANSWERS", "12")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
def test_no_answer_of_a_folder_and_no_command_ends_the_loop(
    tmp_path_factory: pytest.TempPathFactory,
    at: list[int],
    values: list[Any],
    commands: list[tuple[str, str]],
    slots: list[Any],
) -> None:
    """The n-th calls on I/O threads bring something that no code of ours expects."""
    odd = dict(zip(sorted(at), values, strict=False))
    made = itertools.count()

    with pytest.MonkeyPatch.context() as patch, simulated(patch):

        def call(self: InlineIo, work: Callable[[], Any], then: Any) -> None:
            number = next(made)

            def done(value: Any, error: BaseException | None) -> None:
                if number in odd and isinstance(odd[number], BaseException):
                    value, error = None, odd[number]
                elif number in odd:
                    value, error = odd[number], None
                then(value, error)

            self.calls.append((work, done))

        patch.setattr(InlineIo, "call", call)
        root = tmp_path_factory.mktemp("loop")
        one = Simulation(root, inbox_table={"after": {"action": "archive", "archive": root / "archive"}})
        one.boot()
        for name in ("one.jpg", "two.jpg", "three.jpg"):
            one.put(name, name.encode())
        _order(one, commands)
        for message in slots:
            one.daemon.post(message)
        one.run(200)
        _order(one, [("resume", "")])
        odd.clear()
        one.put("after.jpg", b"after")
        one.pass_time(700)
        one.finish()
        ends = {os.fsdecode(row["path"]): row["state"] for row in one.rows() if row["path"]}
        assert ends["after.jpg"] == "done", (ends, one.heard.warnings)
        assert all(state in ("done", "failed", "skipped", "superseded") for state in ends.values()), ends
        for name, state in ends.items():
            if state == "done":
                held = [path for path in one.outputs() if path.startswith(name[:-4])]
                assert held == [f"{name[:-4]}.png"], (ends, one.outputs())
        one.die()


def _order(one: Simulation, commands: list[tuple[str, str]]) -> None:
    """Leaves orders as another process does: the daemon looks for none of its own connection."""
    one.parts.ledger.commit()
    with closing(sqlite3.connect(one.parts.ledger.path)) as other, other:
        other.executemany("INSERT INTO commands (verb, arguments, created) VALUES (?, ?, 0)", commands)
    one.daemon.post(Signal(signal.SIGUSR1))


def test_a_listener_that_raises_is_logged_once_and_the_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    class Deaf(Listener):
        def notice(self, text: str) -> None:
            raise OSError(text)

    heard: list[str] = []

    class Hearing(Listener):
        def notice(self, text: str) -> None:
            heard.append(text)

    both = Listeners(Deaf(), Hearing())
    both.notice("one")
    both.notice("two")
    assert heard == ["one", "two"]
    assert len(caplog.records) == 1


def _refusing(outbox: Path, how: str) -> None:
    if how == "file":
        (outbox / "wedding").write_text("not a folder")
    elif how == "link":
        (outbox.parent / "elsewhere").mkdir()
        (outbox / "wedding").symlink_to(outbox.parent / "elsewhere")
    else:
        (outbox / "wedding").mkdir()
        (outbox / "wedding").chmod(0o555)


@pytest.mark.parametrize("how", ["itself", "parent", "root", "inbox", "outside", "a pipe", "changing"])
def test_a_folder_of_the_inbox_that_becomes_a_link_makes_no_endless_rows(
    sim: Callable[..., Simulation], tmp_path: Path, how: str
) -> None:
    """A link to itself, to its parent, to everything; or folder and link in turn, faster than anybody looks."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.jpg").write_bytes(b"secret")
    one = sim()
    one.put("album/a.jpg", b"a")
    one.put("b.jpg", b"b")
    one.boot().finish()
    album, away = one.inbox / "album", tmp_path / "away"
    leads = {
        "itself": "album",
        "parent": "..",
        "root": "/",
        "inbox": str(one.inbox),
        "outside": str(tmp_path / "outside"),
    }
    album.rename(away)
    if how == "a pipe":
        os.mkfifo(album)
    elif how != "changing":
        album.symlink_to(leads[how])
    calls = sum(io.done for io in ALL_IO)
    for turn in range(40):
        if how == "changing" and turn % 2:
            album.unlink()
            away.rename(album)
        elif how == "changing":
            if album.exists():
                album.rename(away)
            album.symlink_to("..")
        one.run(7 + turn % 3)
    assert sum(io.done for io in ALL_IO) - calls < 300  # 40 polls and more, and no storm of looks
    if how == "changing" and album.is_symlink():
        album.unlink()
        away.rename(album)
    one.finish()
    assert len(one.rows()) <= 3
    assert one.states()["album/a.jpg"] == one.states()["b.jpg"] == "done"
    assert sorted(one.outputs()) == ["album/a.png", "b.png"]
    assert len(one.heard.warnings) <= 1


@pytest.mark.parametrize("call", ["open", "mkdir", "fsync_dir", "rename_noreplace"])
@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO, errno.ENOSPC, errno.EACCES, errno.ESTALE])
def test_what_one_folder_of_the_outbox_answers_is_blamed_on_it(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    """A mount of its own, a quota, a bad block: the outbox takes other files meanwhile, as its probe shows."""
    struck: list[bytes] = []
    inner = getattr(RealFileSystem, call)

    def failing(self: RealFileSystem, *arguments: Any) -> Any:
        for path in arguments:
            if isinstance(path, bytes) and b"/outbox/wedding" in path:
                struck.append(path)
                raise OSError(code, os.strerror(code))
        return inner(self, *arguments)

    one = sim()
    monkeypatch.setattr(RealFileSystem, call, failing)
    one.boot()
    one.put("wedding/late.jpg", b"late")
    for number in range(4):
        began = one.now
        one.put(f"{number}.jpg", b"%d" % number)
        one.until(lambda name=f"{number}.jpg": one.states().get(name) == "done")
        assert one.now - began < 20
    one.until(lambda: one.states()["wedding/late.jpg"] == "failed")
    (row,) = (row for row in one.rows() if row["path"] == b"wedding/late.jpg")
    assert row["reason"] == Reason.CANNOT_RENDER
    assert os.strerror(code) in row["detail"]
    assert "wedding" in row["detail"]
    assert one.now - 1000 < 120  # each new try waits longer, and there are few
    assert len(struck) < 20
    assert not one.parts.dispatcher.paused
    monkeypatch.setattr(RealFileSystem, call, inner)
    carry_out(one.parts.ledger, Verb.RETRY, ABOUT_ALL, one.settings)
    one.finish()
    assert one.states()["wedding/late.jpg"] == "done"
    assert one.leftovers() == []


@pytest.mark.parametrize("lies", ["folder", "link", "pipe"])
def test_a_manifest_that_refuses_holds_up_no_photo(
    sim: Callable[..., Simulation], tmp_path: Path, caplog: pytest.LogCaptureFixture, lies: str
) -> None:
    one = sim(manifest=True)
    one.boot()
    path, outside = one.outbox / "manifest.jsonl", tmp_path / "outside"
    outside.write_bytes(b"somebody's\n")
    if lies == "folder":
        path.mkdir()
    elif lies == "link":
        path.symlink_to(outside)
    else:
        os.mkfifo(path)
    for number in range(3):
        one.put(f"{number}.jpg", b"%d" % number)
    one.finish()
    assert set(one.states().values()) == {"done"}
    assert outside.read_bytes() == b"somebody's\n"
    assert len([record for record in caplog.records if "manifest" in record.getMessage()]) == 1
    if lies == "folder":
        path.rmdir()
    else:
        path.unlink()
    one.put("3.jpg", b"3")
    one.finish()
    assert [json.loads(line)["source"] for line in path.read_text().splitlines()] == ["3.jpg"]


def test_a_full_disk_under_the_manifest_makes_its_outbox_wait(
    sim: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the photos' fault, nor the manifest's: each line is there once there is room."""
    one = sim(manifest=True)
    one.boot()
    inner = RealFileSystem.write
    full = [errno.ENOSPC]

    def failing(self: RealFileSystem, fd: int, data: bytes | memoryview) -> int:
        if full and os.readlink(f"/proc/self/fd/{fd}").endswith("manifest.jsonl"):
            raise OSError(full[0], os.strerror(full[0]))
        return inner(self, fd, data)

    monkeypatch.setattr(RealFileSystem, "write", failing)
    one.put("a.jpg", b"a")
    one.until(lambda: one.heard.warnings)
    assert "failed" not in one.states().values()
    full.clear()
    one.finish()
    assert one.states() == {"a.jpg": "done"}
    assert [
        json.loads(line)["source"] for line in (one.outbox / "manifest.jsonl").read_text().splitlines()
    ] == ["a.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "workers"),
    [
        ("file", 1),
        *(
            pytest.param(*one, marks=pytest.mark.thorough)
            for one in (("file", 2), ("link", 1), ("protected", 2))
        ),
    ],
)
def test_a_folder_of_the_outbox_that_refuses_starves_nobody(tmp_path: Path, how: str, workers: int) -> None:
    daemon = Daemon(tmp_path, tables=f"[engine]\nworkers = {workers}\n")
    if how == "protected" and os.geteuid() == 0:  # root may write everywhere, unless that right is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and no setpriv is installed to take that away")
        daemon.wrapper = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    for folder in (daemon.inbox, daemon.outbox):
        folder.mkdir(parents=True, exist_ok=True)
    _refusing(daemon.outbox, how)
    photo = _photo()
    (daemon.inbox / "wedding").mkdir()
    (daemon.inbox / "wedding/late.jpg").write_bytes(photo)
    daemon.start()
    try:
        for number in range(3):
            (daemon.inbox / f"p{number}.jpg").write_bytes(photo + bytes([number]))
        daemon.wait(lambda: all(daemon.state_of(f"p{n}.jpg") == "done" for n in range(3)), "the others", 60)
        daemon.wait(lambda: daemon.state_of("wedding/late.jpg") == "failed", "a named failure", 90)
        row = daemon.row("wedding/late.jpg")
        assert row is not None
        assert row["reason"] == Reason.CANNOT_RENDER
        assert "wedding" in row["detail"]
        assert (daemon.inbox / "wedding/late.jpg").exists()
    finally:
        daemon.stop()
    assert not list(tmp_path.glob("**/elsewhere/*"))


def _photo() -> bytes:
    image = Image.new("RGB", (320, 240), (225, 230, 235))
    ImageDraw.Draw(image).ellipse((80, 40, 240, 200), fill=(200, 60, 40))
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()
