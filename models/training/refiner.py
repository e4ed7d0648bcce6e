"""Trains the refiner on drawn mattes and writes refiner.onnx; the product never imports it."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F

from cutoutd.models.matting.refiner import stretched
from cutoutd.models.training.refiner_network import Refiner
from cutoutd.models.training.terminal import LOG, show_log

CROP = 128  # pixels: the network sees 40 around each one
TESTED = 1  # shard kept for testing: 32 scenes


def load(shard: Path) -> list[np.ndarray]:
    """The arrays of one shard: photo (n, h, w, 3), truth (n, h, w), hints (n, 9, h, w), all uint8."""
    with np.load(shard) as packed:
        return [packed["photo"], packed["truth"], packed["hints"]]


class Pool:
    """All scenes in memory; takes up shards that appear while training runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[Path] = set()
        self.scenes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def refresh(self) -> None:
        """Takes up new shards, the first TESTED excepted."""
        for path in sorted(self.folder.glob("*[0-9].npz"))[TESTED:]:
            if path not in self.seen:
                self.seen.add(path)
                self.scenes += list(zip(*load(path), strict=True))

    def batch(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, ...]:
        """Random crops near an edge, flipped, turned, colours permuted."""
        samples = [self._crop(rng) for _ in range(size)]
        photo, hints = (np.stack(x) for x in zip(*(shown(p, h) for p, _, h in samples), strict=True))
        truth = np.stack([t for _, t, _ in samples])
        return torch.from_numpy(photo), torch.from_numpy(truth).float() / 255, torch.from_numpy(hints)

    def _crop(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        for _ in range(8):
            photo, truth, hints = self.scenes[rng.integers(len(self.scenes))]
            y, x = rng.integers(0, truth.shape[0] - CROP + 1, 2)
            window = np.s_[y : y + CROP, x : x + CROP]
            inner = hints[0][window]
            if ((inner > 10) & (inner < 245)).mean() > 0.01:
                break
        order = rng.permutation(3)
        stack = np.concatenate(
            [photo[window].transpose(2, 0, 1)[order], truth[window][None], hints[(slice(None), *window)]]
        )
        stack[7:10], stack[10:13] = stack[7:10][order], stack[10:13][order]
        stack = np.rot90(stack, rng.integers(4), (1, 2))
        if rng.random() < 0.5:
            stack = stack[:, :, ::-1]
        return stack[:3].copy(), stack[3:4].copy(), stack[4:].copy()


def shown(photo: np.ndarray, hints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A crop's photo (3, h, w) and hints (9, h, w), uint8, as the product shows them to the network: float32, 0..1."""
    pixels, told = np.float32(photo) / 255, np.float32(hints) / 255
    pixels, told[3:] = stretched(pixels, told[3:])
    return pixels, told


def band_of(hints: torch.Tensor) -> torch.Tensor:
    """Where the product asks the network at all: near anything that is not flat, (n, 1, h, w)."""
    plain = hints[:, 0:1]
    between = ((plain > 0.02) & (plain < 0.98)).float()
    return F.max_pool2d(between, 13, 1, 6)


def loss_of(answer: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Absolute, squared and gradient error over the band: what the benchmark counts."""
    error = (answer - truth) * weight
    total = weight.sum() + 1.0
    across = (error[..., 1:] - error[..., :-1]).abs().sum()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().sum()
    return (error.abs().sum() + 4.0 * (error**2).sum() + 0.4 * (across + down)) / total


def test(network: Refiner, shards: list[Path]) -> dict[str, list[float]]:
    """Mean absolute and squared error (x1000) of resampled, guided and learned alpha on the kept scenes."""
    sums: dict[str, list[float]] = {"plain": [0, 0], "guided": [0, 0], "learned": [0, 0]}
    count = 0
    for shard in shards:
        for photo, truth, hints in zip(*load(shard), strict=True):
            p = torch.from_numpy(photo).float().permute(2, 0, 1)[None] / 255
            h = torch.from_numpy(hints)[None].float() / 255
            t = torch.from_numpy(truth)[None, None].float() / 255
            band = band_of(h)
            with torch.no_grad():
                answers = {"plain": h[:, 0:1], "guided": h[:, 1:2], "learned": network(p, h)}
            for name, answer in answers.items():
                error = torch.where(band > 0, answer, h[:, 0:1]) - t
                sums[name][0] += error.abs().mean().item() * 1000
                sums[name][1] += (error**2).mean().item() * 1000
            count += 1
    return {name: [round(v / count, 3) for v in values] for name, values in sums.items()}


def export(network: Refiner, path: Path) -> None:
    """Writes ONNX with free sides and float32 weights; prints its size and digest."""
    network.eval()
    photo, hints = torch.zeros(1, 3, 64, 64), torch.zeros(1, 9, 64, 64)
    sides = {2: "height", 3: "width"}
    torch.onnx.export(
        network,
        (photo, hints),
        str(path),
        input_names=["photo", "hints"],
        output_names=["alpha"],
        dynamic_axes={"photo": sides, "hints": sides, "alpha": sides},
        opset_version=17,
        dynamo=False,
    )
    data = path.read_bytes()
    LOG.info("%s: %d bytes, sha256 %s", path.name, len(data), hashlib.sha256(data).hexdigest())


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """Weights to go on from: as `train` keeps them, or of a shipped network, which has them under the same names."""
    if path.suffix != ".onnx":
        return torch.load(path, weights_only=True)
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(str(path)).graph.initializer}
    return {name: torch.from_numpy(stored[name].copy()) for name in Refiner().state_dict()}


def train(args: argparse.Namespace) -> None:
    """One run: cosine learning rate by elapsed time, an averaged copy of the weights is what is kept."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    network = Refiner()
    if args.resume:
        network.load_state_dict(weights_of(args.resume))
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=1e-4)
    pool = Pool(args.shards)
    kept = sorted(args.shards.glob("*[0-9].npz"))[:TESTED]
    LOG.info("parameters %d", sum(p.numel() for p in network.parameters()))
    begun, step, report = time.monotonic(), 0, 0.0
    while (elapsed := time.monotonic() - begun) < args.minutes * 60:
        if step % 200 == 0:
            pool.refresh()
        done = elapsed / (args.minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * done))
        photo, truth, hints = pool.batch(rng, args.batch)
        loss = loss_of(network(photo, hints), truth, band_of(hints))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        averaged.update_parameters(network)
        step += 1
        if elapsed - report > args.report:
            report = elapsed
            LOG.info(
                "%6.0f s step %d scenes %d loss %.4f %s",
                elapsed,
                step,
                len(pool.scenes),
                loss.item(),
                test(averaged.module, kept),
            )
            torch.save(averaged.module.state_dict(), args.out / "refiner.pt")
    LOG.info("final %d %s", step, test(averaged.module, kept))
    torch.save(averaged.module.state_dict(), args.out / "refiner.pt")
    export(averaged.module, args.out / "refiner.onnx")


def main() -> None:
    """Command line of the trainer."""
    show_log()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder written by refiner_data.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--report", type=float, default=120, help="seconds between tests")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="refiner.pt of another run, or a shipped refiner.onnx")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train(args)


if __name__ == "__main__":
    main()
