"""Averages the weights of related checkpoints ("model soup"), which often beats each of them at no cost in
use.

Not for networks trained apart: their weights do not line up. Method: Wortsman et al., "Model soups" (2022)
and "Robust fine-tuning of zero-shot models" (2022), which mixes the start of a fine-tuning with its end::

    python -m cutoutd.models.training.soup --out MIXED.pt START.pt=0.4 RUN/average16.pt=0.6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor


def mix(states: list[dict[str, Tensor]], shares: list[float]) -> dict[str, Tensor]:
    """The weighted mean of state dicts with equal names, in half precision; counters are taken from the last.

    Raises:
        ValueError: the names differ, or the shares do not add up to something positive.
    """
    total = sum(shares)
    if total <= 0 or any(state.keys() != states[0].keys() for state in states):
        raise ValueError("the checkpoints do not belong together, or their shares add up to nothing")
    mixed: dict[str, Tensor] = {}
    for name, last in states[-1].items():
        if not last.is_floating_point():
            mixed[name] = last
            continue
        pairs = zip(states, shares, strict=True)
        mixed[name] = (
            torch.stack([state[name].float() * (share / total) for state, share in pairs]).sum(0).half()
        )
    return mixed


def portion(text: str) -> tuple[Path, float]:
    """FILE or FILE=SHARE."""
    file, _, share = text.partition("=")
    return Path(file), float(share or 1)


def main() -> None:
    """The command."""
    p = argparse.ArgumentParser(
        prog="python -m cutoutd.models.training.soup", description=__doc__.split("\n")[0]
    )
    p.add_argument("portions", nargs="+", type=portion, metavar="FILE=SHARE")
    p.add_argument("--out", type=Path, required=True)
    options = p.parse_args()
    states = [torch.load(file, map_location="cpu", weights_only=True) for file, _ in options.portions]
    torch.save(mix(states, [share for _, share in options.portions]), options.out)


if __name__ == "__main__":
    main()
