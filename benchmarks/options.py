"""What every benchmark is told on the command line, and where it works."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.photos import cache_folder, frames


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure.

    quick: the least that shows the benchmark works; its figures are not for the document.
    rounds: how often interleaved contestants run.
    sizes: megapixels. counts: photos per run. overnight: photos of the long run.
    """

    quick: bool = False
    rounds: int = 5
    sizes: tuple[int, ...] = (2, 12, 24)
    counts: tuple[int, ...] = (1, 20, 100)
    overnight: int = 500

    @property
    def large(self) -> int:
        """Megapixels of the photos that single-photo benchmarks use: what most cameras in studios make."""
        return 2 if self.quick else 24

    @property
    def work(self) -> Path:
        """Where inboxes, outboxes and state folders of this process's runs lie."""
        return cache_folder() / f"work-{os.getpid()}"

    def photos(self, megapixels: int, count: int) -> list[Path]:
        """That many different photos of that size."""
        return frames(cache_folder() / "photos", megapixels, count)

    def fresh(self, name: str) -> Path:
        """An empty folder for one run."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder
