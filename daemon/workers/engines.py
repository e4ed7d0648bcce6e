"""What a worker loads at its warm-up and keeps: the networks of all inboxes; what it does with a photo is `job`'s."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Struct

from cutoutd.config.matte import Matte
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.message_rules import Hex, Most, Text, printed
from cutoutd.models.networks.catalog import ModelSpec

if TYPE_CHECKING:
    from cutoutd.models.networks.segmenter import Segmenter


class Engines(Struct, frozen=True):
    """What a worker loads at its warm-up: the models of all inboxes, how to run them, and the matting solver.

    `proven` asks for `Loaded.proof`, which only a fleet has a use for, also where the processor runs the networks.
    """

    specs: tuple[ModelSpec, ...]
    providers: tuple[str, ...] | str
    threads: int
    cache_dir: Path | None
    closed_form: bool = False
    proven: bool = True


_loaded: dict[str, Segmenter] = {}
_engines: Engines | None = None


class Loaded(Struct, frozen=True):
    """How one model runs: the provider in use, and why others are not.

    `proof` is a digest of its answer to a built-in test pattern: processors that round differently have different ones.
    """

    provider: Annotated[str, Text(40)]
    why_not: Annotated[tuple[Annotated[str, Text(1000)], ...], Most(40)]
    proof: Annotated[str, Hex(32, empty=True)] = ""


def warm_up(engines: Engines) -> Annotated[dict[Annotated[str, Text(100)], Loaded], Most(100)]:
    """Loads every model once, and runs a built-in test pattern through it where that may tell; called once per worker.

    Returns:
        Facts for `status`, by the model's name.

    Raises:
        ModelError: a file is missing or damaged.
        EngineError: a provider that was asked for cannot start.
    """
    global _engines  # noqa: PLW0603 - one worker process has one set of engines
    from cutoutd.models.matting.parallel import both
    from cutoutd.models.onnx_runtime import runtime

    _engines = engines
    runtime()  # before two threads want it, so that what is wrong with it is said once
    # It reads a network outside the interpreter's lock.
    facts, _ = both(lambda: _networks(engines), lambda: _what_else_a_photo_needs(engines), engines.threads)
    return facts


def _networks(engines: Engines) -> dict[str, Loaded]:
    facts: dict[str, Loaded] = {}
    for spec in engines.specs:
        segmenter = segmenter_of(spec.name)
        # An accelerator that cannot run what it has loaded shall say so now.
        runs = engines.proven or segmenter.provider != "cpu"
        why_not = tuple(printed(one, 1000) for one in segmenter.why_not)
        facts[spec.name] = Loaded(segmenter.provider, why_not, _proof(segmenter) if runs else "")
    return facts


def _proof(segmenter: Segmenter) -> str:
    """A digest of the answer to the test pattern, asked once: processors that round differently do so in each look."""
    import numpy as np

    rows, columns = np.mgrid[0:64, 0:64]
    disc = (rows - 30) ** 2 + (columns - 34) ** 2 < 20**2
    pattern = np.where(disc[..., None], (200, 60, 40), (230, 232, 235)).astype(np.uint8)
    return hashlib.blake2b(segmenter.first_look(pattern).tobytes(), digest_size=16).hexdigest()


def _what_else_a_photo_needs(engines: Engines) -> None:
    """So that the first photo does not wait for it: modules, and the default edge engine's network."""
    from cutoutd.models.matting import refiner

    refiner.session(1)
    import_module("cutoutd.models.cutout")
    import_module("numpy.ma")  # of percentiles NumPy asks whether they are masked
    if engines.closed_form:
        from cutoutd.models.matting import closed_form

        closed_form.prepare()


def segmenter_of(name: str) -> Segmenter:
    """The network of that name, loaded once per worker; RuntimeError before `warm_up`."""
    from cutoutd.models.networks.segmenter import Segmenter

    if _engines is None:
        raise RuntimeError("run_job before warm_up")
    if name not in _loaded:
        spec = next(spec for spec in _engines.specs if spec.name == name)
        _loaded[name] = Segmenter(
            spec,
            providers=_engines.providers,  # type: ignore[arg-type]
            threads=_engines.threads,
            cache_dir=_engines.cache_dir,
        )
    return _loaded[name]


def run_self_test(engines: Engines) -> bool:
    """Runs every model over a built-in test photo, all the way to encoded bytes; writes nothing.

    When this dies too, the fault lies with the machine or the model, and no photo is at fault.
    """
    import io

    import numpy as np
    from PIL import Image

    from cutoutd.models.cutout import cut_out

    rows, columns = np.mgrid[0:480, 0:640]
    disc = (rows - 240) ** 2 + (columns - 320) ** 2 < 150**2
    pixels = np.where(disc[..., None], (200, 60, 40), (230, 232, 235)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=92)
    for spec in engines.specs:
        cut_out(
            encoded.getvalue(), matte=Matte(no_subject="pass"), segmenter=segmenter_of(spec.name), threads=1
        )
    return True


def threads() -> int:
    """How many threads one photo may use."""
    return 1 if _engines is None else _engines.threads


WARM_UP: Final[Task[Engines, dict[str, Loaded]]] = Task(warm_up)
RUN_SELF_TEST: Final[Task[Engines, bool]] = Task(run_self_test)
