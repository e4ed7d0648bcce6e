"""Tries a network before it is trusted with photos: does it load, fit its description and answer with an alpha?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.networks.catalog import ModelSpec
from cutoutd.models.networks.inputs import fit_to_input, to_planes
from cutoutd.models.networks.segmenter import Segmenter

# An answer that is an alpha may overshoot by rounding, in half precision by about this much.
OVERSHOOT = 0.01


def probe(spec: ModelSpec, *, threads: int = 1) -> None:
    """Loads the model on the processor and runs a made-up picture through it.

    Args:
        spec: with its `path` set.
        threads: for the one run it takes.

    Raises:
        ModelError: with the reason why it does not fit.
    """
    try:
        segmenter = Segmenter(spec, providers=("cpu",), threads=threads)
        answer = segmenter.raw(to_planes(fit_to_input(made_up_picture(spec.input_size), spec)[0], spec))
    except EngineError as error:
        raise ModelError(error.what, spec.path, "Check the export with the program that made it.") from error
    low, high = float(answer.min()), float(answer.max())
    already = low >= -OVERSHOOT and high <= 1 + OVERSHOOT
    span = f"its answers go from {low:.2f} to {high:.2f}"
    if spec.activation == "none" and not already:
        raise ModelError(
            f"The model {spec.name!r} does not answer with an alpha in 0..1: {span}, so they look like logits",
            spec.path,
            "Add it with --activation sigmoid, or --like a BiRefNet.",
        )
    if spec.activation == "sigmoid" and already:
        raise ModelError(
            f"The model {spec.name!r} is described as answering with logits, but {span}",
            spec.path,
            "Add it with --activation none.",
        )


def made_up_picture(side: int) -> NDArray[np.uint8]:
    """uint8 (side, side, 3): a bright disc on a dark gradient with fixed noise; something to answer about."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2) < 0.09
    noise = np.random.default_rng(1).integers(0, 24, (side, side, 3))
    base = np.where(disc[..., np.newaxis], [200, 140, 90], (60 * y)[..., np.newaxis])
    return (base + noise).clip(0, 255).astype(np.uint8)
