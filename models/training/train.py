"""Trains the network: resumable, on two CPU cores in the background or on a GPU in steps of any length.

Not for exporting (`export`) or for the scores of the model card (`cutoutd.models.evaluation.evaluate`). One command per
stage; the first starts from ImageNet weights, the second from our own, the third goes on where RUN stopped::

    python -m cutoutd.models.training.train --out RUN --encoder LITE0.pth --total 300000
    python -m cutoutd.models.training.train --out RUN --start WEIGHTS.pt --total 60000
    python -m cutoutd.models.training.train --out RUN --total 80000 --minutes 9

The learning rate follows the samples seen, never the clock, so a run may be cut into pieces of any length,
and `--total` may be moved while it goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from cutoutd.models.training.dataset import Collection, Pair, data_folder, read_all
from cutoutd.models.training.loss import total_loss
from cutoutd.models.training.network import CutoutNet, normalise
from cutoutd.models.training.partners import MEETING_STEPS, Partners
from cutoutd.models.training.sampling import Batch, Mixture, Shares
from cutoutd.models.training.terminal import LOG, show_log

# Rates relative to the decoder's. The encoder already sees; its first stages (edges, colours) hardly need to
# move.
ENCODER_RATE: Final = 0.2
EARLY_RATE: Final = 0.05
EARLY: Final = ("enc.stem.", "enc.stages.0.", "enc.stages.1.")
# Stages below this number keep their ImageNet weights unless asked otherwise; each costs memory and time.
FROZEN_STAGES: Final = 2
WARM_UP_STEPS: Final = 150
# 5: spikes of the first steps only; later norms stay below 2.
LARGEST_GRADIENT: Final = 5.0
# A processor that has to imitate them takes eight times as long as with single precision.
HAS_BFLOAT16: Final = bool(torch.cpu.get_capabilities().get("avx512_bf16"))


Loss = Callable[[list[Tensor], Tensor, Tensor], Tensor]


class State(Struct):
    """Everything a run needs to go on: weights, their running average, optimiser, samples seen."""

    net: Any  # a CutoutNet, or the deciding network
    average: Any
    optimiser: torch.optim.Optimizer
    seen: int = 0
    step: int = 0


class Stream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches for the loader's worker processes, each with its own seed."""

    def __init__(self, mixture: Mixture, count: int, seed: int) -> None:
        super().__init__()
        self._mixture, self._count, self._seed = mixture, count, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(0)  # one core per worker; the rest belongs to the network
        info = torch.utils.data.get_worker_info()
        seed = self._seed * 1009 + (info.id if info is not None else 0)
        for batch in self._mixture.batches(seed, self._count):
            yield tensors(batch)


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The batch as tensors that share its memory."""
    return torch.from_numpy(batch.photos), torch.from_numpy(batch.alphas), torch.from_numpy(batch.valid)


def learning_rate(seen: int, step: int, total: int, peak: float) -> float:
    """Linear warm-up over WARM_UP_STEPS, then a cosine that reaches 0.1 % of `peak` after `total` samples."""
    done = min(1.0, seen / total)
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.5 * (1 + math.cos(math.pi * done)) + 1e-3)


def frozen(name: str, stages: int) -> bool:
    """Whether a parameter belongs to the stem or to one of the encoder's first `stages` stages."""
    if name.startswith("enc.stem."):
        return stages > 0
    return name.startswith("enc.stages.") and int(name.split(".")[2]) < stages


def wide_depthwise(name: str, parameter: Tensor) -> bool:
    """Whether it is the weight of one of the encoder's 5 x 5 depth-wise convolutions: 1 % of all weights, whose
    gradients take a fifth of a step's time on a processor.
    """
    return name.endswith("dw.conv.weight") and parameter.shape[-1] > 3


def make_optimiser(net: CutoutNet, stages: int, *, filters: bool = True) -> torch.optim.Optimizer:
    """AdamW with three groups; the encoder's first `stages` stages stay as they are, 0 for none, and without `filters`
    its wide depth-wise filters.
    """
    groups: dict[float, list[nn.Parameter]] = {1.0: [], ENCODER_RATE: [], EARLY_RATE: []}
    for name, parameter in net.named_parameters():
        learns = not frozen(name, stages) and (filters or not wide_depthwise(name, parameter))
        parameter.requires_grad_(learns)
        rate = EARLY_RATE if name.startswith(EARLY) else ENCODER_RATE if name.startswith("enc.") else 1.0
        groups[rate].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "rate": rate, "weight_decay": 0.02 if rate == 1.0 else 0.01}
            for rate, parameters in groups.items()
        ],
        lr=1e-3,
    )


def load_weights(net: nn.Module, path: Path) -> None:
    """Weights in any precision into the network's own."""
    saved: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in saved.items()})


def load_decoder(net: nn.Module, path: Path) -> list[str]:
    """Take from a network with another encoder what fits: all but the encoder and the layers that read it.

    Returns the names taken.
    """
    saved: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    own = net.state_dict()
    fits = [n for n, value in saved.items() if not n.startswith("enc.") and value.shape == own[n].shape]
    net.load_state_dict(
        {**own, **{n: saved[n].float() if saved[n].is_floating_point() else saved[n] for n in fits}}
    )
    return fits


def half_weights(net: nn.Module) -> dict[str, Tensor]:
    """The state dict in half precision: what a checkpoint that continues elsewhere needs."""
    return {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}


def write_atomic(value: Any, path: Path) -> None:
    """torch.save that a kill cannot leave half done."""
    temporary = path.with_suffix(".tmp")
    torch.save(value, temporary)
    temporary.replace(path)


def save(state: State, out: Path) -> None:
    """RUN/run.pt to go on from and RUN/average16.pt to export."""
    whole = {
        "net": state.net.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "seen": state.seen,
        "step": state.step,
    }
    write_atomic(whole, out / "run.pt")
    write_atomic(half_weights(state.average), out / "average16.pt")


def go_on(state: State, saved: Path, device: torch.device | str = "cpu") -> None:
    """Take up what `save` left, if there is anything."""
    if saved.exists():
        whole = torch.load(saved, map_location=device, weights_only=True)
        state.net.load_state_dict(whole["net"])
        state.average.load_state_dict(whole["average"])
        state.optimiser.load_state_dict(whole["optimiser"])
        state.seen, state.step = whole["seen"], whole["step"]


def open_state(arguments: argparse.Namespace, device: torch.device) -> State:
    """A new state from ImageNet weights or our own, or the one that RUN stopped with."""
    net = CutoutNet(arguments.kind)
    saved = arguments.out / "run.pt"
    if not saved.exists():
        if arguments.start is not None:
            load_weights(net, arguments.start)
        elif arguments.encoder is not None:
            net.enc.load_imagenet(arguments.encoder)
            if arguments.decoder is not None:
                load_decoder(net, arguments.decoder)
    net = net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = make_optimiser(net, arguments.frozen, filters=not arguments.filters_stay)
    state = State(net, copy.deepcopy(net).eval(), optimiser)
    go_on(state, saved, device)
    return state


def update_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Exponential average of weights and of the decoder's batch statistics."""
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)


def short_floats(device: torch.device) -> torch.autocast:
    """Computes in bfloat16 where the device has such numbers of its own, else in single precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or HAS_BFLOAT16)


def one_step(
    state: State, batch: tuple[Tensor, Tensor, Tensor], rate: float, decay: float, loss_of: Loss = total_loss
) -> float:
    """One batch forward and back; returns its loss."""
    device = next(state.net.parameters()).device
    photos, alphas, valid = (t.to(device, non_blocking=True) for t in batch)
    for group in state.optimiser.param_groups:
        group["lr"] = rate * group["rate"]
    state.net.train()
    state.net.enc.eval()  # the ImageNet batch statistics stay: batches are small
    with short_floats(device):
        logits = state.net(normalise(photos))
    loss = loss_of(logits, alphas.unsqueeze(1).float() / 255, valid.unsqueeze(1).float())
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.net.parameters(), LARGEST_GRADIENT)
    state.optimiser.step()
    state.step += 1
    state.seen += len(photos)
    update_average(state.average, state.net, min(decay, (1 + state.step) / (10 + state.step)))
    return float(loss.detach())


@torch.inference_mode()
def validate(net: nn.Module, pairs: list[Pair], side: int, batch: int = 16) -> dict[str, dict[str, float]]:
    """Quick scores per source at the network's scale: mean IoU at 0.5 and mean absolute error, 128 not
    judged.
    """
    net.eval()
    device = next(net.parameters()).device
    found: dict[str, list[tuple[float, float]]] = {}
    for start in range(0, len(pairs), batch):
        some = pairs[start : start + batch]
        photos = [cv2.resize(p.photo, (side, side), interpolation=cv2.INTER_AREA)[..., ::-1] for p in some]
        with short_floats(device):
            answer = net(normalise(torch.from_numpy(np.stack(photos)).to(device)))
        for pair, alpha in zip(some, answer.float().cpu().numpy()[:, 0], strict=True):
            truth = cv2.resize(pair.mask, (side, side), interpolation=cv2.INTER_NEAREST)
            valid = truth != 128 if pair.trimap else np.ones_like(truth, bool)
            ours, theirs = (alpha > 0.5) & valid, (truth > 128) & valid
            iou = (ours & theirs).sum() / max(1, (ours | theirs).sum())
            error = np.abs(alpha - truth / 255)[valid].mean()
            found.setdefault(pair.source, []).append((float(iou), float(error)))
    means = {source: np.mean(values, 0) for source, values in sorted(found.items())}
    return {
        source: {"iou": round(float(m[0]), 4), "mae": round(float(m[1]), 4)} for source, m in means.items()
    }


def note(out: Path, **facts: Any) -> None:
    """One line of the run's curve, on the terminal and in RUN/curve.jsonl."""
    line = json.dumps(facts)
    LOG.info("%s", line)
    with (out / "curve.jsonl").open("a") as curve:
        curve.write(line + "\n")


def batches(
    arguments: argparse.Namespace, data: Collection, state: State
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The endless stream; a run that goes on draws new samples, not the old ones again."""
    shares = Shares(arguments.composites, arguments.close_ups, arguments.empty)
    stream = Stream(Mixture(data, arguments.size, shares), arguments.batch, arguments.seed + state.step)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=arguments.workers,
        prefetch_factor=4 if arguments.workers else None,
        pin_memory=arguments.device == "cuda",
    )
    return iter(loader)


def train(arguments: argparse.Namespace) -> None:
    """The loop: until `--total` samples or `--minutes`."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    state = open_state(arguments, device)
    data = read_all(data_folder(arguments.data), arguments.every)
    note(arguments.out, at="start", seen=state.seen, train=len(data.train), validation=len(data.validation))
    stream = batches(arguments, data, state)
    started = saved = scored = time.monotonic()
    partners = Partners(arguments.partners, arguments.out.name) if arguments.partners is not None else None
    first, running = state.seen, 0.0
    loss_of: Loss = torch.compile(total_loss) if arguments.compiled_loss else total_loss
    while state.seen < arguments.total and time.monotonic() - started < arguments.minutes * 60:
        rate = learning_rate(state.seen, state.step, arguments.total, arguments.peak)
        loss = one_step(state, next(stream), rate, arguments.decay, loss_of)
        running = loss if running == 0 else running * 0.98 + loss * 0.02
        if partners is not None and state.step % MEETING_STEPS == 0:
            partners.meet(state.net, state.seen)
        now = time.monotonic()
        if state.step % 100 == 0:
            speed = (state.seen - first) / (now - started)
            note(
                arguments.out,
                seen=state.seen,
                loss=round(running, 4),
                rate=round(rate, 6),
                per_s=round(speed, 2),
            )
        if now - saved > arguments.save_minutes * 60:
            save(state, arguments.out)
            saved = now
        if now - scored > arguments.score_minutes * 60:
            note(
                arguments.out,
                seen=state.seen,
                validation=validate(state.average, data.validation, arguments.size),
            )
            scored = time.monotonic()
    save(state, arguments.out)
    note(
        arguments.out,
        at="end",
        seen=state.seen,
        validation=validate(state.average, data.validation, arguments.size),
    )


def parser() -> argparse.ArgumentParser:
    """The command line; every default is what the two-core road uses."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.train", description=__doc__.split("\n")[0]
    )
    p.add_argument(
        "--out", type=Path, required=True, help="folder of this run; continued when it holds run.pt"
    )
    p.add_argument("--data", help="data folder; unset: $CUTOUTD_TRAINING_DATA")
    p.add_argument("--start", type=Path, help="our own weights to start from")
    p.add_argument("--encoder", type=Path, help="published EfficientNet-Lite weights (.pth) to start from")
    p.add_argument("--decoder", type=Path, help="with --encoder: our own weights to take the decoder from")
    p.add_argument("--kind", default="lite0", help="encoder: lite0, lite1 or lite2")
    p.add_argument(
        "--total", type=int, default=60_000, help="samples after which the learning rate has reached 0"
    )
    p.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after so long; unset: only at --total"
    )
    p.add_argument(
        "--size", type=int, default=320, help="side of the training square in pixels, a multiple of 32"
    )
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--peak", type=float, default=6e-4, help="largest learning rate of the decoder")
    p.add_argument("--decay", type=float, default=0.998, help="of the running average, per step")
    p.add_argument(
        "--composites", type=float, default=0.33, help="share of subjects pasted on new backgrounds"
    )
    p.add_argument("--close-ups", type=float, default=0.15, help="share of crops that the subject fills")
    p.add_argument("--empty", type=float, default=0.03, help="share of pictures without a subject")
    p.add_argument("--frozen", type=int, default=FROZEN_STAGES, help="stages that stay as they are; 0: none")
    p.add_argument(
        "--filters-stay",
        action="store_true",
        help="leave the encoder's wide depth-wise filters as they are: a fifth more samples on a processor",
    )
    p.add_argument(
        "--compiled-loss",
        action="store_true",
        help="compile the loss (needs a C++ compiler): a seventh more samples on a processor",
    )
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=2, help="processor threads for the network")
    p.add_argument("--workers", type=int, default=1, help="loader processes; on a GPU one per core but two")
    p.add_argument(
        "--partners", type=Path, help="folder that runs on other cores share to train one network together"
    )
    p.add_argument("--every", type=int, default=1, help="read one pair in so many, to try things out")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--save-minutes", type=float, default=4)
    p.add_argument("--score-minutes", type=float, default=20)
    return p


if __name__ == "__main__":
    show_log()
    train(parser().parse_args())
