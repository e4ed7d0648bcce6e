"""RGB in, alpha at the network's own scale out; decoding and full-resolution mattes are done elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.decoding.colour import Convert
from cutoutd.models.matting.parallel import both, side_by_side
from cutoutd.models.networks.catalog import BUNDLED_FAMILY, ModelSpec, decider_spec
from cutoutd.models.networks.closer import Part, joined, stretched, worth_a_look
from cutoutd.models.networks.decider import SIDE, decided, part_to_decide
from cutoutd.models.networks.engine_errors import first_line, lacks_memory, runtime_errors
from cutoutd.models.networks.inputs import enough, fit_to_input, to_planes
from cutoutd.models.networks.opinions import is_sure
from cutoutd.models.networks.providers import Choice, choose_for, open_session

# Of a bundled network on a processor, for a lone photo at least: two bring its answer in two thirds of the time. Where
# there are no more, photos among others take the same session: their answers cost a tenth more, a second one 30 MB.
BUNDLED_THREADS = 2
LOOKS = 2  # that run side by side: the photo and its mirror image


class Segmenter:
    """One network, loaded and ready.

    Args:
        spec: an installed model, from `catalog.resolve` or `catalog.find_model`.
        providers: "auto", or provider names, best first; each named one must start.
        threads: threads for a lone photo; never changes the answer.
        cache_dir: where `providers.warm_cache` left prepared graphs; None uses none.
        flip: also look at the mirrored photo and average; `spec.flip` asks for the same.

    Raises:
        ModelError: the file is missing, is not the recorded one, or does not fit its description.
        EngineError: a named provider does not start.
        MemoryError: not enough memory to load it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        providers: Choice = "auto",
        threads: int,
        cache_dir: Path | None = None,
        flip: bool = False,
    ) -> None:
        self.spec = spec
        self._flip = flip or spec.flip
        self._threads = max(1, threads)
        self._cache_dir = cache_dir
        self._sessions: dict[int, Any] = {}
        self._deciders: dict[int, Any] = {}
        started, _ = both(lambda: self._start(providers), self._prepare_decider, self._threads)
        self._provider, self._others, self._why_not = started
        session = self._sessions[self._threads_per_look(self._provider)]
        self._input, self._output, self._dtype = check_signature(session, spec)

    def _start(self, providers: Choice) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Opens the first session; "auto" goes on to the next provider and remembers why."""
        tried, why_not = choose_for(self.spec, providers)
        if providers != "auto":
            threads = self._threads_per_look(tried[0])
            self._sessions[threads] = open_session(self.spec, tried[0], tried[1:], threads, self._cache_dir)
            return tried[0], tried[1:], why_not
        for name in tried:
            threads = self._threads_per_look(name)
            try:
                session = open_session(self.spec, name, (), threads, self._cache_dir)
            except (EngineError, MemoryError) as error:
                if name == "cpu" and isinstance(error, MemoryError):
                    raise
                why_not = (*why_not, f"{name}: {getattr(error, 'what', error)}")
                continue
            self._sessions[threads] = session
            slower = tried[tried.index(name) + 1 :]
            return name, (), (*why_not, *(f"{other}: {name} comes first" for other in slower))
        raise EngineError("No provider starts", fix=" ".join(why_not))

    def _looks_at_once(self, provider: str) -> int:
        """How many looks at one photo run side by side, each on its share of the threads."""
        several = self._flip and provider == "cpu" and not self.spec.once_per_machine
        return min(LOOKS, self._threads) if several else 1

    def _threads_per_look(self, provider: str) -> int:
        """Of a lone photo; beyond two, the last doubling of threads gains a bundled network little."""
        if self._is_bundled(provider):
            return min(self._threads, max(BUNDLED_THREADS, self._threads // LOOKS))
        return max(1, self._threads // self._looks_at_once(provider))

    def _threads_among_others(self, provider: str) -> int:
        """Of a photo beside which others are worked on: one, unless that would load the network once more."""
        scarce = self._is_bundled(provider) and self._threads <= BUNDLED_THREADS
        return self._threads_per_look(provider) if self.spec.once_per_machine or scarce else 1

    def _is_bundled(self, provider: str) -> bool:
        return self.spec.family == BUNDLED_FAMILY and provider == "cpu"

    @property
    def provider(self) -> str:
        """Name of the provider that runs the network."""
        return self._provider

    @property
    def why_not(self) -> tuple[str, ...]:
        """One sentence for each provider that is not used, `name: reason`."""
        return self._why_not

    def alpha(
        self,
        rgb: NDArray[np.uint8],
        *,
        lone: bool = True,
        to_srgb: Convert | None = None,
        reduced: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.float32]:
        """How much each place belongs to the subject.

        Args:
            rgb: uint8 (H, W, 3), upright, at least 1 x 1; sRGB, which is what networks were trained on.
            lone: whether no other photo is worked on at once: then more threads are used. Both give the same bits.
                A network that is loaded once per machine always uses all.
            to_srgb: from `colour.to_srgb` where `rgb` is in another space; no more pixels than needed go through.
            reduced: the same photo averaged over blocks, uint8 (h, w, 3), in the same space, where it is at hand.

        Returns:
            float32 (h, w) in 0..1, covering the whole photo; h and w are the network's, not the photo's.

        Raises:
            EngineError: the provider fails, or the network answers with no numbers.
            MemoryError: not enough memory for this network.
        """
        # Smallest first. Filters that are not ours see every pixel: their networks were measured so.
        pictures = (rgb,) if reduced is None or self.spec.resample == "lanczos" else (reduced, rgb)
        resized, inside = fit_to_input(enough(pictures, self.spec.input_size), self.spec, to_srgb)
        looks = [(to_planes(resized, self.spec), False)]
        if self._flip:
            looks.append((looks[0][0], True))
        for side, mirrored in self.spec.more_looks:
            sized = replace(self.spec, input_size=side)
            looks.append(
                (to_planes(fit_to_input(enough(pictures, side), sized, to_srgb)[0], sized), mirrored)
            )
        at_once = self._looks_at_once(self._provider) if lone else 1
        answers = side_by_side(lambda look: self._look(*look, lone=lone), looks, at_once)
        first = self._joined(answers, pictures, to_srgb, lone) if self.spec.closer else mean_of(answers)
        first = to_alpha(first, inside, self.spec)
        part = part_to_decide(first) if self.spec.decider else None
        if part is None:
            return first
        planes = self._near(pictures, part, to_srgb, SIDE)
        at_once = min(LOOKS, self._threads) if lone else 1
        ask = partial(side_by_side, partial(self._decide, lone=lone), threads=at_once)
        return decided(first, part, planes, ask, mirrored=len(looks) > 1 or not is_sure(first))

    def _joined(
        self,
        answers: Sequence[NDArray[np.float32]],
        pictures: Sequence[NDArray[np.uint8]],
        to_srgb: Convert | None,
        lone: bool,
    ) -> NDArray[np.float32]:
        """All looks and one from nearby, where there is something to see, as one answer."""
        answers = [answers[0], *(stretched(answer, answers[0].shape) for answer in answers[1:])]
        part = worth_a_look(mean_of(answers))
        if part is None:
            return joined(answers)
        near = self._look(self._near(pictures, part, to_srgb), mirrored=False, lone=lone)
        return joined(answers, np.ascontiguousarray(near), part)

    def _near(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        part: Part,
        to_srgb: Convert | None,
        side: int | None = None,
    ) -> NDArray[np.float32]:
        """One part of the photo as a network is shown it, float32 (3, side, side)."""
        spec = self.spec if side is None else replace(self.spec, input_size=side)
        parts = [picture[part.pixels(*picture.shape[:2])] for picture in pictures]
        return to_planes(fit_to_input(enough(parts, spec.input_size), spec, to_srgb)[0], spec)

    def first_look(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One answer, neither mirrored nor averaged: enough to see that the network runs, and how it rounds here.

        Raises:
            EngineError, MemoryError: as `alpha`.
        """
        planes = to_planes(fit_to_input(rgb, self.spec, None)[0], self.spec)
        return self._look(planes, mirrored=False, lone=True)

    def _look(self, planes: NDArray[np.float32], mirrored: bool, *, lone: bool) -> NDArray[np.float32]:
        """One answer in 0..1, mirrored back if the photo was shown mirrored."""
        shown = np.ascontiguousarray(planes[..., ::-1]) if mirrored else planes
        answer = activate(self.raw(shown, lone=lone), self.spec)
        return answer[:, ::-1] if mirrored else answer

    def raw(self, planes: NDArray[np.float32], *, lone: bool = True) -> NDArray[np.float32]:
        """The network's first answer, before its activation.

        Args:
            planes: float32 (3, s, s), from `to_planes`.
            lone: as in `alpha`.

        Returns:
            float32 (h, w), any range.

        Raises:
            EngineError, MemoryError: as `alpha`.
        """
        threads = self._threads_per_look if lone else self._threads_among_others
        session = self._session(threads(self._provider))
        batch = planes[np.newaxis].astype(self._dtype, copy=False)
        return self._run(session, self._output, {self._input: batch})

    def _decide(self, feed: dict[str, NDArray[np.float32]], *, lone: bool) -> NDArray[np.float32]:
        """What the deciding network says, float32 (SIDE, SIDE) in 0..1; always on the processor."""
        session = self._decider(self._threads_to_decide() if lone else 1)
        return self._run(session, session.get_outputs()[0].name, feed)

    def _prepare_decider(self) -> None:
        """Loads it now, and not when the first photo waits."""
        if self.spec.decider:
            self._decider(self._threads_to_decide())

    def _threads_to_decide(self) -> int:
        """Two looks are decided side by side."""
        return max(1, self._threads // LOOKS)

    def _decider(self, threads: int) -> Any:
        session = self._deciders.get(threads)
        if session is None:
            session = open_session(decider_spec(), "cpu", (), threads, self._cache_dir)
            self._deciders[threads] = session
        return session

    def _run(self, session: Any, output: str, feed: dict[str, Any]) -> NDArray[np.float32]:
        """One plane of finite numbers, float32 (h, w), from a network that answers with one."""
        try:
            answer = session.run([output], feed)[0]
        except runtime_errors() as error:
            if lacks_memory(error):
                raise MemoryError(
                    f"There is not enough memory to run the model {self.spec.name!r}"
                ) from error
            raise EngineError(
                f"The model {self.spec.name!r} failed on {self._provider} ({first_line(error)})",
                fix='Try `providers = ["cpu"]` under [engine].',
            ) from error
        plane = np.asarray(answer, dtype=np.float32)
        plane = plane.reshape(plane.shape[-2:])
        if not np.isfinite(plane).all():
            raise EngineError(
                f"The model {self.spec.name!r} answered with values that are not numbers",
                fix='Try `providers = ["cpu"]` under [engine].',
            )
        return plane

    def _session(self, threads: int) -> Any:
        session = self._sessions.get(threads)
        if session is None:
            session = open_session(self.spec, self._provider, self._others, threads, self._cache_dir)
            self._sessions[threads] = session
        return session


def check_signature(session: Any, spec: ModelSpec) -> tuple[str, str, type[np.float32 | np.float16]]:
    """Names of input and output and the input's dtype, after checking that they fit the description.

    Raises:
        ModelError: more than one input, not 3 channels, another size, or an answer that is no single plane.
    """
    inputs, output = session.get_inputs(), session.get_outputs()[0]
    hint = "Add it with `cutoutd models add FILE --like NAME`, where NAME is a network of the same shape."

    def refuse(what: str) -> ModelError:
        """The error that says so of this model."""
        return ModelError(f"The model {spec.name!r} {what}", spec.path, hint)

    if len(inputs) != 1:
        raise refuse(f"has {len(inputs)} inputs; one, a photo, is expected")
    shape, kind = list(inputs[0].shape), str(inputs[0].type)
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    if kind not in dtypes:
        raise refuse(f"takes {kind}; float numbers are expected")
    expected = (1, 3, spec.input_size, spec.input_size)
    if len(shape) != 4 or any(isinstance(n, int) and n != e for n, e in zip(shape, expected, strict=True)):
        raise refuse(f"takes {_shape(shape)}; {_shape(expected)} is expected")
    answer = list(output.shape)
    planes = [n for n in answer[:-2] if isinstance(n, int) and n != 1]
    if len(answer) not in (3, 4) or planes or output.type not in dtypes:
        raise refuse(
            f"answers with {_shape(answer)} of {output.type}; one plane of float numbers is expected"
        )
    return str(inputs[0].name), str(output.name), cast("type[np.float32]", dtypes[kind])


def _shape(shape: Any) -> str:
    return " x ".join(str(n) for n in shape)


def to_alpha(answer: NDArray[np.float32], inside: tuple[int, int], spec: ModelSpec) -> NDArray[np.float32]:
    """The network's plane as alpha: padding cut away, stretched if the spec asks for it, held in 0..1.

    Args:
        answer: float32 (h, w), after `activate`.
        inside: from `fit_to_input`, (height, width) of what is photo, in pixels of the network's input.
        spec: the network.

    Returns:
        float32 (h', w') in 0..1.
    """
    height, width = answer.shape
    cut_h = max(1, round(inside[0] * height / spec.input_size))
    cut_w = max(1, round(inside[1] * width / spec.input_size))
    alpha = answer[:cut_h, :cut_w]
    if spec.stretch:
        low, high = float(alpha.min()), float(alpha.max())
        alpha = (alpha - low) / max(high - low, 1e-6)
    return np.ascontiguousarray(alpha.clip(0.0, 1.0), dtype=np.float32)


def mean_of(answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of several answers, float32 (h, w) at the size of the first; others are resized to it, bilinear."""
    first, others = answers[0], answers[1:]
    total = first
    for answer in others:
        total = total + stretched(answer, first.shape)
    return total * np.float32(1 / len(answers)) if others else first


def activate(answer: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """The answer, float32 of any shape, in 0..1: 1 / (1 + exp(-x)) for logits, without overflow for very negative x."""
    if spec.activation == "none":
        return answer
    return (0.5 * (1.0 + np.tanh(0.5 * answer))).astype(np.float32)
