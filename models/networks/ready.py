"""One loaded network per process for callers that bring none of their own."""

from __future__ import annotations

from functools import lru_cache

from cutoutd.config.places import models_dir
from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import resolve
from cutoutd.models.networks.segmenter import Segmenter

# Two stay loaded: whoever compares networks goes back and forth between two. A third takes the place of the older.
_KEPT = 2


@lru_cache(maxsize=_KEPT)
def ready(model: str = "") -> Segmenter:
    """The network of that name, loaded at the first call; "" is the bundled one.

    Args:
        model: as in the config: "", "fast", "best", or the name of an installed model.

    Raises:
        ModelError: no such model, not installed, or damaged.
        EngineError: it does not start.
        MemoryError: not enough memory to load it.
    """
    return Segmenter(resolve(model, models_dir()), threads=cores())
