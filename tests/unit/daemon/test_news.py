"""What becomes of the others' photos when a folder goes away, stops answering, or is back."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.support.simulation import Simulation, cutout_of

Make = Callable[..., Simulation]


def _beside(one: Simulation) -> None:
    """A second inbox, with an outbox of its own."""
    table = {"events": "poll", "poll_every": 1, "settle_polled": 2}
    one.tables["inbox"] = [
        {"path": one.inbox, "outbox": one.outbox, **table},
        {"path": one.root / "other", "outbox": one.root / "others", **table},
    ]
    (one.root / "other").mkdir()


def test_an_outbox_that_is_back_is_told_of_once_and_only_where_a_photo_waited(sim: Make) -> None:
    one = sim()
    _beside(one)
    one.boot().run(20)
    assert one.heard.notices == []  # both were opened, and nobody had missed them
    for folder in (one.outbox, one.root / "others"):
        folder.rename(folder.with_suffix(".away"))
    one.put("a.jpg", b"frame one")
    one.until(lambda: one.parts.dispatcher.paused)
    one.run(20)
    for folder in (one.outbox, one.root / "others"):
        folder.with_suffix(".away").rename(folder)
    one.finish(600)
    assert one.outputs() == {"a.png": cutout_of(b"frame one")}
    assert one.heard.notices.count(f"The outbox {one.outbox} can be used again.") == 1
    assert not one.parts.dispatcher.paused


def test_an_inbox_that_does_not_answer_gives_its_workers_to_the_others(sim: Make) -> None:
    one = sim()
    _beside(one)
    one.boot().run(20)
    one.put("a.jpg", b"frame one")
    (one.root / "other" / "b.jpg").write_bytes(b"frame two")
    one.workers.hang = True
    one.until(lambda: len(one.workers.jobs) == 2)
    one.parts.news.inbox_silent(one.inbox, "It does not answer.")
    assert [os.path.basename(job.path) for _, job in one.workers.jobs] == [b"b.jpg"]
    one.turn()
    assert one.states() == {"a.jpg": "pending", "b.jpg": "running"}
    assert one.parts.dispatcher.paused[os.fsencode(one.inbox)] == "It does not answer"
    one.workers.hang = False
    one.until(lambda: one.states()["b.jpg"] == "done")
    assert one.states()["a.jpg"] == "pending"  # though workers are free
    one.parts.news.inbox_answers(one.inbox, (0, 0))
    one.finish()
    assert one.outputs() == {"a.png": cutout_of(b"frame one")}
    assert [row["attempts"] for row in one.rows()] == [0, 0]


def test_of_files_that_are_no_photos_each_kind_is_said_once_and_no_name(sim: Make) -> None:
    """Whoever dropped a PDF waited for its cutout, and the log had no word of it."""
    one = sim().boot()
    one.finish()
    for name in ("Anna's letter.pdf", "other.PDF", "clip.mov", "no kind", "odd.\u202e"):
        one.put(name, b"no photo")
    one.put("a.jpg", b"frame")
    one.finish()
    assert sorted(text for text in one.heard.notices if "left alone" in text) == [
        "No photo by its name: a .mov file is left alone, and so are others of its kind.",
        "No photo by its name: a .pdf file is left alone, and so are others of its kind.",
    ]
