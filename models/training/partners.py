"""Lets several runs of the trainer, one on each core, train one network: now and then they average their weights.

Not for machines apart, and not for mixing finished runs: that is `soup`. Two processes of one thread finish a
third more samples than one process of two threads here, and neither waits for the other, so a core that other
work keeps busy slows its own run only. Method: Stich, "Local SGD converges fast and communicates little"
(2019), with the asynchronous meetings of Zhang and others, "Deep learning with elastic averaging SGD" (2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import nn

# Steps between meetings: at 16 photos a step one every two minutes on a core of six photos a second.
MEETING_STEPS: Final = 48
# A partner further behind or ahead than this many samples has stopped, or belongs to another run.
FARTHEST: Final = 8000


class Partners:
    """A folder that the partners share; each writes a file of its own name and reads the others'."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._own = folder, folder / f"{name}.partner"

    def meet(self, net: nn.Module, seen: int) -> int:
        """Write our weights, take the mean with the partners' latest; returns how many partners were there.

        Weights and the decoder's batch statistics are averaged, counters and the optimiser's moments are not.
        """
        own = net.state_dict()
        temporary = self._own.with_suffix(".tmp")
        torch.save({"seen": seen, "net": own}, temporary)
        temporary.replace(self._own)
        others = [
            there["net"]
            for path in sorted(self._folder.glob("*.partner"))
            if path != self._own
            and abs((there := torch.load(path, map_location="cpu", weights_only=True))["seen"] - seen)
            < FARTHEST
        ]
        with torch.no_grad():
            for name, ours in own.items():
                if ours.is_floating_point() and others:
                    theirs = torch.stack([other[name] for other in others]).sum(0).to(ours.device)
                    ours.add_(theirs).div_(len(others) + 1)
        return len(others)
