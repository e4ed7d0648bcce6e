"""The deciding network begins as a mean of two answers, is shown what `answers` kept, and learns from it."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the training dependency group")
torch = pytest.importorskip("torch", reason="needs the training dependency group")

from cutoutd.models.training import decider, export, quantise  # noqa: E402
from cutoutd.models.training.answers import IGNORED, SIDE, Kept, open_kept  # noqa: E402
from cutoutd.models.training.decider_network import (  # noqa: E402
    FIRST_HINT,
    FIRST_SAY,
    OWN_SAY,
    Decider,
    as_logit,
    hints_of,
)
from cutoutd.models.training.network import CutoutNet, normalise  # noqa: E402


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Four red boxes on grey; the first answer is half sure of all of each, and of as much beside it."""
    folder = open_kept(tmp_path, 4)
    for place in range(4):
        folder.photos[place] = 128
        folder.photos[place, 60:200, 60 + 20 * place : 160 + 20 * place] = (200, 20, 20)
        folder.truths[place] = IGNORED + 1
        folder.truths[place, 60:200, 60 + 20 * place : 160 + 20 * place] = 255
        folder.looks[place, :, 60:200, 60 + 20 * place : 260 + 10 * place] = 140
    (tmp_path / "done").write_text("4")
    return open_kept(tmp_path)


def test_an_untrained_one_is_the_mean_of_both_answers() -> None:
    torch.manual_seed(0)
    net, first = Decider().eval(), CutoutNet("lite0").eval()
    net.net.load_state_dict(first.state_dict())
    photo = normalise(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8))
    answer = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected = FIRST_SAY * as_logit(answer) + OWN_SAY * torch.logit(first(photo))
        assert torch.allclose(torch.logit(net(photo, hints_of(answer))), expected, atol=1e-3)


def test_weights_that_were_shown_more_go_on_with_what_is_shown_now(tmp_path: Path) -> None:
    net = Decider()
    older = dict(net.state_dict())
    older[FIRST_HINT] = torch.cat([older[FIRST_HINT], torch.ones_like(older[FIRST_HINT])], 1)
    torch.save(older, tmp_path / "older.pt")
    again = Decider()
    again.load_first(tmp_path / "older.pt")
    assert torch.equal(again.state_dict()[FIRST_HINT], net.state_dict()[FIRST_HINT])


def test_what_is_shown_is_the_part_around_what_may_be_subject(kept: Kept) -> None:
    rng = np.random.default_rng(0)
    windows = [decider.part_of(rng, kept.looks[0, 2]) for _ in range(40)]
    assert any(rows == slice(0, SIDE) for rows, _ in windows), "sometimes it is the whole photo"
    for rows, columns in windows:
        assert rows.start <= 60
        assert rows.stop >= 200
        assert columns.start <= 60
        assert columns.stop >= 260


def test_samples_keep_what_is_not_to_be_judged(kept: Kept, tmp_path: Path) -> None:
    writable = open_kept(tmp_path, 4)
    writable.truths[0, :40] = IGNORED
    photo, answer, truth = decider.one(np.random.default_rng(3), kept, 0, SIDE)
    assert photo.shape == (SIDE, SIDE, 3)
    assert answer.shape == (SIDE, SIDE)
    assert set(np.unique(truth)) >= {IGNORED + 1, 255}


def test_hard_answers_are_drawn_more_often(kept: Kept, tmp_path: Path) -> None:
    writable = open_kept(tmp_path, 4)
    for place in range(3):
        writable.looks[place] = np.maximum(writable.truths[place], IGNORED + 1) - IGNORED - 1
        writable.looks[place][writable.looks[place] > 0] = 255
    # An error of .11 of its subject's area; the last one's is beyond the limit.
    writable.looks[2, 0, :60] = 20
    wrong = decider.hardness(open_kept(tmp_path))
    assert wrong == pytest.approx([0, 0, 60 * SIDE * 20 / 255 / 14_000 - 0.05, 0.4])
    drawn = np.bincount(next(decider.draws(kept, np.random.default_rng(0), 4000, 0.5)), minlength=4) / 4000
    assert drawn == pytest.approx(0.125 + 0.5 * wrong / wrong.sum(), abs=0.03)


def test_half_tones_count_away_from_the_edge_and_not_at_it() -> None:
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 16:48, 16:48] = 1
    inside, rim = torch.zeros_like(truth), torch.zeros_like(truth)
    inside[..., 28:36, 28:36] = 0.5
    rim[..., 16:20, 16:48] = 0.5
    assert decider.flat_error(inside, truth).item() == pytest.approx(32 / 1024)
    assert decider.flat_error(rim, truth).item() == 0


def test_a_run_learns_and_goes_on_where_it_stopped(kept: Kept, tmp_path: Path) -> None:
    start, out = tmp_path / "s.pt", tmp_path / "run"
    torch.manual_seed(0)
    torch.save(CutoutNet("lite0").state_dict(), start)
    options = argparse.Namespace(
        answers=kept.folder,
        out=out,
        start=start,
        total=2,
        batch=2,
        size=64,
        peak=1e-3,
        decay=0.9,
        seed=0,
        hard=0.5,
        partners=tmp_path / "meet",
        filters_stay=True,
        compiled_loss=False,
    )
    decider.train(options)
    first = torch.load(out / "run.pt", weights_only=True)
    options.total = 4
    decider.train(options)
    whole = torch.load(out / "run.pt", weights_only=True)
    assert (first["step"], whole["step"]) == (1, 2)
    name = "net.dec.3.a.0.weight"
    assert not torch.equal(first["net"][name], whole["net"][name])
    early = "net.enc.stages.0.0.dw.conv.weight"
    assert torch.equal(first["net"][early], whole["net"][early]), "what sees the photo alone stays as it is"
    wide = "net.enc.stages.4.0.dw.conv.weight"
    assert torch.equal(first["net"][wide], whole["net"][wide]), "as was asked"
    again = Decider()
    again.load_first(out / "average16.pt")
    assert torch.allclose(again.say, whole["average"]["say"], atol=1e-3), "another run may begin from it"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Constant folding:UserWarning")
def test_it_is_written_with_both_its_inputs_and_in_eight_bits(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    # The plain scene is unlike the four samples it learns ranges from.
    monkeypatch.setitem(quantise.TOLERANCES, export.DECIDER, 1.0)
    net = Decider().eval()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    export.export(tmp_path / "net.pt", tmp_path / "single.onnx", export.DECIDER, 96)
    samples = partial(quantise.Answered, kept)
    quantise.quantise(
        tmp_path / "single.onnx", tmp_path / "eight.onnx", samples, kind=export.DECIDER, side=96, photos=4
    )
    feed = samples(1, 96).get_next()
    with torch.no_grad():
        own = net(*(torch.from_numpy(feed[name]) for name in (export.INPUT, export.HINTS))).numpy()
    assert np.abs(export.run_onnx(tmp_path / "eight.onnx", feed) - own).mean() < 0.02
    without = {**feed, export.HINTS: np.zeros_like(feed[export.HINTS])}
    assert np.abs(export.run_onnx(tmp_path / "eight.onnx", without) - own).mean() > 0.05, "the hints count"
