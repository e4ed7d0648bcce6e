"""Trains the deciding network on what the first one answered to training photos (`answers`). Resumable.

Not for scores (`cutoutd.models.evaluation.evaluate`). One command, that goes on where OUT stopped::

    python -m cutoutd.models.training.decider --answers FOLDER --out RUN --start models/training/cutout-s16.pt

Half-tones are punished where the truth has none: away from its edges the plain error counts a second time, in shares
of the subject's area.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutoutd.models.training.answers import IGNORED, SIDE, Kept, open_kept
from cutoutd.models.training.decider_network import ENTRIES, Decider, hints_of
from cutoutd.models.training.loss import (
    ERROR_WEIGHT,
    GRADIENT_WEIGHT,
    SCALE_WEIGHTS,
    box_mean,
    edge_weight,
    gradient_error,
    region_loss,
)
from cutoutd.models.training.network import normalise
from cutoutd.models.training.partners import MEETING_STEPS, Partners
from cutoutd.models.training.train import (
    LARGEST_GRADIENT,
    State,
    go_on,
    learning_rate,
    note,
    save,
    short_floats,
    update_average,
    wide_depthwise,
)

Random = np.random.Generator
Pixels = NDArray[np.uint8]  # as `Kept` has them: photos RGB, answers and truths 0..255

# What may be subject belongs to the part that is shown, with room around it in shares of its side.
POSSIBLE: Final = 0.1
MARGINS: Final = (0.02, 0.3)
WHOLE_SHARE: Final = 0.2
# Of 320: nothing is judged as flat nearer to a true edge than half of this; at least so much of a photo is subject.
FLAT_WINDOW: Final = 13
FLAT_WEIGHT: Final = 1.0
LEAST_AREA: Final = 0.04
SAVE_S: Final = 240.0
ENCODER_RATE: Final = 0.2
NEW_RATE: Final = 2.0
# How often the answer is what several looks say together, as `effort = "high"` makes it; a single look else.
JOINED_SHARE: Final = 0.15
# An answer is hard by its error in shares of the subject's area: from the first on, no harder than at the second. Of
# 12,000 answers 42 % are below .05; the 3 % beyond .45 count no more, lest the same few are drawn again and again.
HARD: Final = (0.05, 0.45)


class Shown(NamedTuple):
    """One batch: photos uint8 (N, s, s, 3), first answers and truths uint8 (N, s, s), IGNORED kept."""

    photos: Pixels
    answers: Pixels
    truths: Pixels


def part_of(rng: Random, answer: Pixels) -> tuple[slice, slice]:
    """Rows and columns of an answer, uint8 (SIDE, SIDE), around what may be subject, with room that varies."""
    rows, columns = (np.flatnonzero((answer > POSSIBLE * 255).any(axis)) for axis in (1, 0))
    if len(rows) < 16 or len(columns) < 16 or rng.random() < WHOLE_SHARE:
        return slice(0, SIDE), slice(0, SIDE)
    found: list[slice] = []
    for places in (rows, columns):
        first, last = int(places[0]), int(places[-1]) + 1
        room = [round(float(rng.uniform(*MARGINS)) * (last - first)) for _ in range(2)]
        found.append(slice(max(0, first - room[0]), min(SIDE, last + room[1])))
    return found[0], found[1]


def one(rng: Random, kept: Kept, place: int, size: int) -> tuple[Pixels, Pixels, Pixels]:
    """One kept sample as the network will see it: photo (size, size, 3), first answer and truth (size, size)."""
    plain, mirrored, joined = kept.looks[place]
    answer = joined if rng.random() < JOINED_SHARE else (plain, mirrored)[int(rng.integers(2))]
    window = part_of(rng, answer)
    planes = [kept.photos[place], answer, kept.truths[place]]
    planes = [np.ascontiguousarray(plane[window]) for plane in planes]
    if planes[0].shape[:2] != (size, size):
        ignored = cv2.resize((planes[-1] == IGNORED).astype(np.uint8), (size, size)) > 0
        planes = [cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR) for plane in planes]
        planes[-1] = np.where(ignored, IGNORED, np.maximum(planes[-1], IGNORED + 1)).astype(np.uint8)
    if rng.random() < 0.5:
        planes = [np.ascontiguousarray(plane[:, ::-1]) for plane in planes]
    return planes[0], planes[1], planes[2]


def hardness(kept: Kept) -> NDArray[np.float64]:
    """How wrong each plain look is, (N,), 0..HARD[1] - HARD[0]: its error in shares of the subject's area."""
    wrong = np.zeros(kept.done())
    for place in range(len(wrong)):
        truth = kept.truths[place]
        judged = truth != IGNORED
        true = (truth.astype(np.float32) - IGNORED - 1) / (254 - IGNORED)
        off = np.abs(kept.looks[place, 0].astype(np.float32) / 255 - true)
        wrong[place] = off[judged].sum() / max(float(true[judged].sum()), LEAST_AREA * truth.size)
    return np.clip(wrong, *HARD) - HARD[0]


def draws(kept: Kept, rng: Random, count: int, hard: float) -> Iterator[NDArray[np.int64]]:
    """Endless draws of `count` samples: of whatever is kept by then, or a share of them by how hard they are."""
    wrong = hardness(kept) if hard else np.zeros(0)
    odds = (1 - hard) / max(len(wrong), 1) + hard * wrong / max(float(wrong.sum()), 1e-9)
    while True:
        yield (
            rng.choice(len(odds), count, p=odds / odds.sum())
            if hard
            else rng.integers(kept.done(), size=count)
        )


def batches(kept: Kept, seed: int, count: int, size: int, hard: float = 0.0) -> Iterator[Shown]:
    """Endless batches of whatever is kept by then; `hard` as `draws` has it."""
    rng = np.random.default_rng(seed)
    for places in draws(kept, rng, count, hard):
        photos, answers, truths = zip(*(one(rng, kept, int(place), size) for place in places), strict=True)
        yield Shown(np.stack(photos), np.stack(answers), np.stack(truths))


def flat_error(off: Tensor, truth: Tensor) -> Tensor:
    """The error away from the truth's edges, in shares of the subject's area, at most 2 a photo."""
    flat = ((box_mean(truth, FLAT_WINDOW) - truth).abs() < 1e-3).float()
    area = truth.sum((1, 2, 3)).clamp_min(LEAST_AREA * truth[0].numel())
    return ((off * flat).sum((1, 2, 3)) / area).clamp_max(2.0).mean()


def decider_loss(logits: list[Tensor], truth: Tensor, valid: Tensor) -> Tensor:
    """The loss of one batch: as the first network's, with flat places judged once more."""
    weight = edge_weight(truth, valid)
    alpha = torch.sigmoid(logits[0])
    off = (alpha - truth).abs() * valid
    loss = SCALE_WEIGHTS[0] * region_loss(logits[0], truth, valid, weight)
    loss = loss + ERROR_WEIGHT * off.sum() / valid.sum().clamp_min(1)
    loss = loss + GRADIENT_WEIGHT * gradient_error(alpha, truth, valid, weight)
    loss = loss + FLAT_WEIGHT * flat_error(off, truth)
    for level, gain in enumerate(SCALE_WEIGHTS[1:], start=1):
        factor = 2 ** (level + 1)
        small = nn.functional.avg_pool2d(truth, factor)
        small_valid = (nn.functional.avg_pool2d(valid, factor) > 0.99).float()
        loss = loss + gain * region_loss(
            logits[level].float(), small, small_valid, edge_weight(small, small_valid, ((15, 4.0),))
        )
    return loss


def make_optimiser(net: Decider, *, filters: bool = True) -> torch.optim.Optimizer:
    """AdamW; what sees the photo before the answer enters stays as it is, and without `filters` all of the encoder's
    wide depth-wise filters.
    """
    groups: dict[float, list[nn.Parameter]] = {1.0: [], ENCODER_RATE: [], NEW_RATE: []}
    for name, parameter in net.named_parameters():
        early = name.startswith("net.enc.stem.") or (
            name.startswith("net.enc.stages.") and int(name.split(".")[3]) < ENTRIES[0]
        )
        stays = early or (not filters and wide_depthwise(name, parameter))
        parameter.requires_grad_(not stays)
        if not stays:
            own = ENCODER_RATE if name.startswith("net.enc.") else 1.0
            groups[own if name.startswith("net.") else NEW_RATE].append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "rate": rate, "weight_decay": 0.01} for rate, p in groups.items()], lr=1e-3
    )


def open_run(options: argparse.Namespace) -> State:
    """A new run, or the one that `--out` stopped with."""
    net = Decider()
    net.load_first(options.start)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    run = State(net, copy.deepcopy(net).eval(), make_optimiser(net, filters=not options.filters_stay))
    go_on(run, options.out / "run.pt")
    return run


def one_step(run: State, shown: Shown, rate: float, decay: float, loss_of: Callable[..., Tensor]) -> float:
    """One batch forward and back; returns its loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate * group["rate"]
    run.net.train()
    run.net.net.enc.eval()
    truths = torch.from_numpy(shown.truths).unsqueeze(1)
    valid = (truths != IGNORED).float()
    truth = ((truths.float() - IGNORED - 1).clamp_min(0) / (254 - IGNORED)) * valid
    hints = hints_of(torch.from_numpy(shown.answers).unsqueeze(1).float() / 255)
    with short_floats(torch.device("cpu")):
        logits = run.net(normalise(torch.from_numpy(shown.photos)), hints)
    loss = loss_of([each.float() for each in logits], truth, valid)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.net.parameters(), LARGEST_GRADIENT)
    run.optimiser.step()
    run.step += 1
    run.seen += len(truth)
    update_average(run.average, run.net, min(decay, (1 + run.step) / (10 + run.step)))
    return float(loss.detach())


def train(options: argparse.Namespace) -> None:
    """The loop: until `--total` samples."""
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    run, kept = open_run(options), open_kept(options.answers)
    partners = Partners(options.partners, options.out.name) if options.partners is not None else None
    loss_of: Callable[..., Tensor] = torch.compile(decider_loss) if options.compiled_loss else decider_loss
    stream = batches(kept, options.seed + run.step, options.batch, options.size, options.hard)
    started, first, running, written = time.monotonic(), run.seen, math.nan, time.monotonic()
    while run.seen < options.total:
        rate = learning_rate(run.seen, run.step, options.total, options.peak)
        value = one_step(run, next(stream), rate, options.decay, loss_of)
        running = value if math.isnan(running) else running * 0.98 + value * 0.02
        if partners is not None and run.step % MEETING_STEPS == 0:
            partners.meet(run.net, run.seen)
        if run.step % 20 == 0:
            speed = (run.seen - first) / (time.monotonic() - started)
            say = [round(float(each), 3) for each in run.net.say.detach()]
            facts = {"seen": run.seen, "kept": kept.done(), "loss": round(running, 4)}
            note(options.out, **facts, say=say, per_s=round(speed, 2))
        if time.monotonic() - written > SAVE_S or run.seen >= options.total:
            save(run, options.out)
            written = time.monotonic()


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.decider", description=__doc__.split("\n")[0]
    )
    p.add_argument("--answers", type=Path, required=True, help="folder that `answers` filled, or is filling")
    p.add_argument(
        "--out", type=Path, required=True, help="folder of this run; continued when it holds run.pt"
    )
    p.add_argument("--start", type=Path, required=True, help="cutout-s's weights, or a run's own")
    p.add_argument("--total", type=int, default=20_000, help="samples after which the rate has reached 0")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--size", type=int, default=SIDE, help="side of what the network sees; a multiple of 32")
    p.add_argument("--peak", type=float, default=5e-4, help="largest learning rate of the decoder")
    p.add_argument("--decay", type=float, default=0.995, help="of the running average, per step")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--hard", type=float, default=0.0, help="share of samples drawn by how wrong the first answer is"
    )
    p.add_argument(
        "--partners", type=Path, help="folder that runs on other cores share, each with answers of its own"
    )
    p.add_argument("--filters-stay", action="store_true", help="as `train` has it")
    p.add_argument("--compiled-loss", action="store_true", help="as `train` has it")
    train(p.parse_args())


if __name__ == "__main__":
    main()
