"""The before-and-after page: what is on it, what it may do, and that nothing else is ever overwritten."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutoutd.config.errors import FolderError, UsageError
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.service.gallery.gallery import MARK, Shot, check_target, last_shots, page, write
from cutoutd.service.gallery.thumbnails import Pair, PairJob, make_pair, make_pairs

SHOT = Shot(7, 'a "<b>" & c.jpg', 1_700_000_000.0, "cutout-s", b"/in/a.jpg", (b"/out/a.png",))


def pair(*, same: bool = True) -> Pair:
    return Pair(b"RIFF-before", b"RIFF-after", (300, 200), (300, 200) if same else (200, 200), same)


# --- the page


def test_names_cannot_become_markup() -> None:
    text = page([(SHOT, pair())], watch=False, now=0.0)
    assert "<b>" not in text
    assert "a &quot;&lt;b&gt;&quot; &amp; c.jpg" in text


def test_a_name_that_looks_like_a_place_stays_a_name() -> None:
    shot = Shot(1, "{{policy}}.jpg", 0.0, "", b"", ())
    assert "{{policy}}.jpg" in page([(shot, pair())], watch=False, now=0.0)


def test_the_policy_names_exactly_what_is_inside() -> None:
    text = page([(SHOT, pair())], watch=True, now=0.0)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        (body,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert " style=" not in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_pairs_of_one_shape_get_a_line_others_lie_side_by_side() -> None:
    one = page([(SHOT, pair())], watch=False, now=0.0)
    two = page([(SHOT, pair(same=False))], watch=False, now=0.0)
    assert one.count('type="range"') == 1
    assert 'aria-label="Before and after: a &quot;' in one
    assert two.count('type="range"') == 0
    assert two.count("<img ") == 2


def test_only_a_watched_page_renews_itself() -> None:
    assert 'http-equiv="refresh"' in page([], watch=True, now=0.0)
    assert 'http-equiv="refresh"' not in page([], watch=False, now=0.0)
    assert "No finished photo yet" in page([], watch=True, now=0.0)
    assert "2 not shown" in page([], watch=False, now=0.0, absent=2)


# --- the file


def test_it_replaces_its_own_page_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "g.html"
    check_target(target)
    write(target, page([], watch=False, now=0.0), 0o640)
    assert MARK in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    check_target(target)
    write(target, page([(SHOT, pair())], watch=False, now=0.0), 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["g.html"]
    target.write_text("<html>my own page</html>")
    with pytest.raises(UsageError, match="no gallery"):
        check_target(target)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot be written"):
        write(tmp_path / "no" / "g.html", "", 0o600)


# --- what is shown


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def _done(ledger: Ledger, number: int, path: bytes | None, archived: bytes | None = None) -> None:
    ledger.write(
        "INSERT INTO photos (id, inbox, path, key, state, arrived, finished, archived_to, model)"
        " VALUES (?, ?, ?, ?, 'done', 0, ?, ?, 'm')",
        (number, b"/in", path, os.urandom(16), float(number), archived),
    )
    ledger.write(
        "INSERT INTO deliverables (photo, label, outbox, name, name_key, out_digest, state)"
        " VALUES (?, 'cutout', ?, ?, ?, '', 'done')",
        (number, b"/out", b"%d.png" % number, f"{number}.png"),
    )
    ledger.commit()


def test_the_newest_come_first_and_originals_are_found_where_they_went(ledger: Ledger) -> None:
    _done(ledger, 1, b"old.jpg")
    _done(ledger, 2, None)
    _done(ledger, 3, b"sub/new.jpg", b"/archive/sub/new.jpg")
    shots = last_shots(ledger, 5)
    assert [shot.photo for shot in shots] == [3, 1]
    assert (shots[0].original, shots[0].outputs) == (b"/archive/sub/new.jpg", (b"/out/3.png",))
    assert shots[1].original == b"/in/old.jpg"
    assert [shot.photo for shot in last_shots(ledger, 1)] == [3]
    ledger.close()


# --- the small pictures


def _photo(path: Path, size: tuple[int, int] = (900, 600)) -> Path:
    Image.new("RGB", size, (200, 30, 30)).save(path, quality=95)
    return path


def _cutout(path: Path, size: tuple[int, int] = (900, 600)) -> Path:
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[100:300, 100:300] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(path)
    return path


def job(before: Path, *after: Path, longest: int = 300) -> PairJob:
    return PairJob(os.fsencode(before), tuple(os.fsencode(path) for path in after), longest)


def test_a_pair_is_small_and_keeps_its_transparency(tmp_path: Path) -> None:
    made = make_pair(job(_photo(tmp_path / "a.jpg"), _cutout(tmp_path / "a.png")))
    assert isinstance(made, Pair)
    assert (made.before_size, made.after_size, made.same_shape) == ((300, 200), (300, 200), True)
    small = Image.open(io.BytesIO(made.after))
    assert small.mode == "RGBA"
    pixels = np.asarray(small)
    assert pixels[60, 60, 3] == 255
    assert pixels[190, 290, 3] == 0
    # No dark edge: where the cutout is half there, its colour is the subject's.
    edge = pixels[60, 30:37]
    partly = edge[(edge[:, 3] > 40) & (edge[:, 3] < 215)]
    assert (np.abs(partly[:, :3].astype(int) - (200, 30, 30)) < 60).all()


def test_the_cutout_of_the_photos_own_shape_is_taken(tmp_path: Path) -> None:
    square, whole = _cutout(tmp_path / "s.png", (600, 600)), _cutout(tmp_path / "w.png")
    made = make_pair(job(_photo(tmp_path / "a.jpg"), square, whole))
    assert isinstance(made, Pair)
    assert made.same_shape
    alone = make_pair(job(tmp_path / "a.jpg", square))
    assert isinstance(alone, Pair)
    assert not alone.same_shape


def test_what_is_gone_is_a_sentence(tmp_path: Path) -> None:
    there = _photo(tmp_path / "a.jpg")
    assert "no longer there" in str(make_pair(job(there, tmp_path / "none.png")))
    assert "gone" in str(make_pair(job(tmp_path / "none.jpg", there)))


def test_a_worker_makes_them_and_a_missing_photo_stops_none(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    jobs = [
        job(_photo(tmp_path / "a.jpg"), _cutout(tmp_path / "a.png")),
        job(tmp_path / "none.jpg", tmp_path / "a.png"),
        job(_photo(tmp_path / os.fsdecode(b"caf\xe9.jpg")), tmp_path / "a.png"),
    ]
    made = dict(make_pairs(jobs, scratch))
    assert isinstance(made[0], Pair)
    assert isinstance(made[1], str)
    assert isinstance(made[2], Pair)
    assert list(make_pairs([], scratch)) == []
