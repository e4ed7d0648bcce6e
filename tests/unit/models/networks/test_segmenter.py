# pyright: reportPrivateUsage=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image
from tests.support.models import tiny_spec
from tests.support.photos import pixels

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.networks import segmenter
from cutoutd.models.networks.catalog import ModelSpec, catalogue, like_rembg, resolve
from cutoutd.models.networks.closer import worth_a_look
from cutoutd.models.networks.decider import part_to_decide
from cutoutd.models.networks.inputs import fit_to_input, to_planes
from cutoutd.models.networks.segmenter import Segmenter, activate, to_alpha
from cutoutd.models.planes import Alpha

pytestmark = pytest.mark.slow

Photo = NDArray[np.uint8]
STANDARD = resolve("standard", Path("/nowhere"))
BUNDLED = replace(STANDARD, decider="")
FAST = resolve("fast", Path("/nowhere"))


@pytest.fixture(scope="module")
def cat() -> Photo:
    return pixels("chelsea")


@pytest.fixture(scope="module")
def bundled() -> Segmenter:
    return Segmenter(BUNDLED, providers=("cpu",), threads=2)


@pytest.mark.parametrize("spec", [STANDARD, BUNDLED, FAST], ids=["standard", "undecided", "fast"])
def test_a_bundled_network_finds_the_cat(spec: ModelSpec, cat: Photo) -> None:
    alpha = Segmenter(spec, providers=("cpu",), threads=2).alpha(cat)
    assert alpha.dtype == np.float32
    assert alpha.shape == (320, 320)
    assert 0 <= alpha.min() < 0.02
    assert 0.98 < alpha.max() <= 1
    height, width = alpha.shape
    assert alpha[height // 2, width // 2] > 0.9  # its face
    assert alpha[: height // 20, -width // 20 :].mean() < 0.1  # the corner behind it


def test_thread_counts_and_lone_photos_do_not_change_a_bit(cat: Photo) -> None:
    answers = [
        Segmenter(STANDARD, threads=threads).alpha(cat, lone=lone)
        for threads, lone in ((1, True), (2, True), (4, True), (2, False))
    ]
    for answer in answers[1:]:
        assert np.array_equal(answers[0], answer)


def test_the_same_photo_twice_gives_the_same_bits(bundled: Segmenter, cat: Photo) -> None:
    assert np.array_equal(bundled.alpha(cat), bundled.alpha(cat.copy()))


def test_a_view_that_is_not_contiguous_is_fine(bundled: Segmenter, cat: Photo) -> None:
    assert np.array_equal(
        bundled.alpha(cat[::-1, ::-1]), bundled.alpha(np.ascontiguousarray(cat[::-1, ::-1]))
    )


def test_a_reduced_copy_is_shown_where_it_has_samples_enough(cat: Photo) -> None:
    photo = np.asarray(Image.fromarray(cat).resize((2100, 1400), Image.Resampling.BICUBIC))
    half = photo.reshape(700, 2, 1050, 2, 3).mean((1, 3)).astype(np.uint8)
    for spec in (STANDARD, replace(BUNDLED, closer=True), replace(BUNDLED, more_looks=((384, True),))):
        segmenter = Segmenter(spec, threads=1)
        alone, helped = segmenter.alpha(photo), segmenter.alpha(photo, reduced=half)
        assert not np.array_equal(alone, helped)
        assert np.abs(alone - helped).mean() < 0.01
        assert segmenter.alpha(np.zeros_like(photo), reduced=half).max() > 0.9, (
            "nothing but the copy is looked at"
        )


@pytest.mark.parametrize("spec", [STANDARD, like_rembg(BUNDLED)], ids=["too small a copy", "lanczos"])
def test_else_the_photo_is(spec: ModelSpec, cat: Photo) -> None:
    size = (2100, 1400)
    photo = np.asarray(Image.fromarray(cat).resize(size, Image.Resampling.BICUBIC))
    black = np.zeros((390, 585, 3) if spec is STANDARD else (700, 1050, 3), np.uint8)
    segmenter = Segmenter(replace(spec, decider=""), threads=1)
    assert np.array_equal(segmenter.alpha(photo), segmenter.alpha(photo, reduced=black))


def test_flip_averages_both_looks(cat: Photo, bundled: Segmenter) -> None:
    both = Segmenter(replace(BUNDLED, flip=True), threads=1).alpha(cat)
    asked = Segmenter(BUNDLED, threads=1, flip=True).alpha(cat)
    planes = to_planes(fit_to_input(cat, BUNDLED)[0], BUNDLED)
    mirrored = bundled.raw(np.ascontiguousarray(planes[..., ::-1]))[:, ::-1]
    assert np.array_equal(both, asked)
    assert np.allclose(both, (bundled.raw(planes) + mirrored) / 2, atol=1e-6)
    assert np.array_equal(bundled.first_look(cat), bundled.raw(planes))
    once = Segmenter(replace(BUNDLED, flip=False), threads=1)
    assert not np.array_equal(both, once.alpha(cat))


def test_further_looks_are_averaged_in_at_their_own_sizes(cat: Photo) -> None:
    once = Segmenter(replace(FAST, flip=False), threads=1)
    wide = replace(FAST, input_size=384)
    mirrored = once.raw(np.ascontiguousarray(to_planes(fit_to_input(cat, wide)[0], wide)[..., ::-1]))[:, ::-1]
    smaller = Image.fromarray(np.ascontiguousarray(mirrored)).resize((320, 320), Image.Resampling.BILINEAR)
    expected = (once.alpha(cat) + np.asarray(smaller)) / 2
    asked = replace(FAST, flip=False, more_looks=((384, True),))
    assert np.allclose(Segmenter(asked, threads=2).alpha(cat), expected, atol=1e-6)


@pytest.mark.parametrize("threads", [2, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 4))])
def test_high_effort_gives_the_same_bits_on_any_number_of_threads(cat: Photo, threads: int) -> None:
    high = resolve("fast", Path("/nowhere"), "high")
    alpha = Segmenter(high, threads=threads).alpha(cat)
    assert np.array_equal(alpha, Segmenter(high, threads=1).alpha(cat, lone=False))
    assert not np.array_equal(alpha, Segmenter(FAST, threads=1).alpha(cat))


def beside_nothing(cat: Photo) -> Photo:
    """The cat in a corner of a plain wall four times its size."""
    wall = np.full((cat.shape[0] * 2, cat.shape[1] * 2, 3), 200, np.uint8)
    wall[-cat.shape[0] :, : cat.shape[1]] = cat
    return wall


@pytest.mark.parametrize("threads", [2, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 4))])
def test_a_small_subject_is_looked_at_from_nearby_with_the_same_bits_on_any_number_of_threads(
    cat: Photo, threads: int
) -> None:
    photo = beside_nothing(cat)
    spec = replace(BUNDLED, flip=True, closer=True)
    alpha = Segmenter(spec, threads=threads).alpha(photo)
    assert np.array_equal(alpha, Segmenter(spec, threads=1).alpha(photo, lone=False))
    far = Segmenter(replace(spec, closer=False), threads=1).alpha(photo)
    part = worth_a_look(far)
    assert part is not None
    changed = np.abs(alpha - far) > 0.02
    inside = np.zeros_like(changed)
    inside[part.pixels(*far.shape)] = True
    assert (changed & inside).any()


def test_a_subject_that_fills_the_frame_is_not_looked_at_again(cat: Photo) -> None:
    spec = replace(BUNDLED, flip=True, closer=True)
    close = np.ascontiguousarray(cat[40:, 60:360])
    far = Segmenter(replace(spec, closer=False), threads=1)
    assert worth_a_look(far.alpha(close)) is None
    asked: list[int] = []
    near = Segmenter(spec, threads=1)
    raw = near.raw
    near.raw = lambda planes, *, lone=True: asked.append(1) or raw(planes, lone=lone)  # type: ignore[method-assign]
    near.alpha(close)
    assert len(asked) == 2


def test_what_belongs_to_the_subject_is_decided_and_the_rest_stays(cat: Photo) -> None:
    photo = beside_nothing(cat)
    first = Segmenter(BUNDLED, threads=1).alpha(photo)
    alpha = Segmenter(STANDARD, threads=1).alpha(photo)
    part = part_to_decide(first)
    assert part is not None
    inside = np.zeros(first.shape, bool)
    inside[part.pixels(*first.shape)] = True
    assert np.abs(alpha - first)[inside].max() > 0.05
    assert np.abs(alpha - first)[~inside].max() < 0.002, "as sure as a look can be"
    empty = np.full_like(photo, 127)
    assert np.array_equal(
        Segmenter(STANDARD, threads=1).alpha(empty), Segmenter(BUNDLED, threads=1).alpha(empty)
    ), "nothing to decide"


@pytest.mark.parametrize(("sure", "decisions"), [(True, 1), (False, 2)])
def test_the_deciding_network_is_asked_once_where_the_first_answer_is_sure(
    sure: bool, decisions: int, cat: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Segmenter(STANDARD, threads=1)

    def told(_first: Alpha) -> bool:
        return sure

    monkeypatch.setattr(segmenter, "is_sure", told)
    asked: list[tuple[str, ...]] = []
    run = one._run

    def counted(session: Any, output: str, feed: dict[str, Any]) -> Any:
        asked.append(tuple(feed))
        return run(session, output, feed)

    monkeypatch.setattr(one, "_run", counted)
    alpha = one.alpha(cat)
    assert asked == [("photo",)] + [("photo", "hints")] * decisions
    assert alpha[160, 160] > 0.9, "whatever is asked, its face is the cat's"


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (37, 5000), (320, 320)])
def test_any_shape_of_photo_is_answered(bundled: Segmenter, shape: tuple[int, int]) -> None:
    alpha = bundled.alpha(np.full((*shape, 3), 127, np.uint8))
    assert alpha.shape == (320, 320)
    assert np.isfinite(alpha).all()
    assert ((alpha >= 0) & (alpha <= 1)).all()


def test_padding_keeps_the_shape_and_is_cut_away(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", 64, fit="pad", network={"weights": (1.0, 0.0, 0.0), "bias": 0.0})
    photo = np.zeros((100, 400, 3), np.uint8)
    photo[:, 200:] = 255
    resized, inside = fit_to_input(photo, spec)
    assert resized.shape == (64, 64, 3)
    assert inside == (16, 64)
    alpha = Segmenter(spec, threads=1).alpha(photo)
    assert alpha.shape == (16, 64)
    assert alpha[:, :30].max() < 0.2
    assert alpha[:, 34:].min() > 0.8


def test_padding_follows_tall_photos_too(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", 64, fit="pad")
    assert Segmenter(spec, threads=1).alpha(np.zeros((900, 1, 3), np.uint8)).shape == (64, 1)


def test_sigmoid_is_exact_and_never_overflows() -> None:
    logits = np.array([[-1e4, -90, -3, 0, 2, 90, 1e4]], np.float32)
    answer = activate(logits, catalogue()["birefnet-general"])
    expected = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))
    assert np.allclose(answer, expected, atol=1e-7)
    assert activate(logits, catalogue()["u2netp"]) is logits


def test_stretch_spans_the_whole_range_and_survives_a_flat_answer() -> None:
    spec = replace(BUNDLED, stretch=True, input_size=2)
    assert to_alpha(np.array([[0.2, 0.3], [0.25, 0.2]], np.float32), (2, 2), spec).max() == 1
    assert to_alpha(np.full((2, 2), 0.4, np.float32), (2, 2), spec).max() == 0


def test_without_stretch_an_empty_wall_stays_empty() -> None:
    spec = replace(BUNDLED, input_size=2)
    wall = np.full((2, 2), 0.02, np.float32)
    assert np.array_equal(to_alpha(wall, (2, 2), spec), wall)


def _expected_of_rembg(
    photo: Photo, size: int, spec: ModelSpec, weights: tuple[float, ...], bias: float
) -> Any:
    """What rembg's published formula gives for a network that mixes channels, as 8-bit mask."""
    small = np.array(Image.fromarray(photo).resize((size, size), Image.Resampling.LANCZOS)) / 1.0
    planes = ((small / small.max() - spec.mean) / spec.std).astype(np.float32)
    answer = (planes * np.asarray(weights, np.float32)).sum(axis=2) + bias
    if spec.activation == "sigmoid" or spec.family != "birefnet":
        answer = 1 / (1 + np.exp(-answer))
    stretched = (answer - answer.min()) / (answer.max() - answer.min())
    return (stretched * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("like", "size"),
    [("u2netp", 320), ("silueta", 320), ("isnet-general-use", 1024), ("isnet-anime", 1024), ("birefnet-general", 1024)],
)  # fmt: skip
def test_each_family_can_be_run_with_rembg_arithmetic(
    tmp_path: Path, like: str, size: int, cat: Photo
) -> None:
    weights, bias = (0.9, 0.4, -0.7), 0.1
    logits = catalogue()[like].activation == "sigmoid"
    network = {"sigmoid": not logits, "extra_outputs": 6, "weights": weights, "bias": bias}
    spec = like_rembg(tiny_spec(tmp_path / "t.onnx", size, base=like, network=network))
    alpha = Segmenter(spec, threads=1).alpha(cat)
    expected = _expected_of_rembg(cat, size, spec, weights, bias)
    assert np.abs((alpha * 255).astype(np.uint8).astype(int) - expected).max() <= 1


def test_a_dynamic_network_is_fed_at_the_size_of_its_description(tmp_path: Path, cat: Photo) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", "side", input_size=96)
    assert Segmenter(spec, threads=1).alpha(cat).shape == (96, 96)


def test_an_exchanged_file_is_refused(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    assert spec.path is not None
    spec.path.write_bytes(spec.path.read_bytes() + b" ")
    with pytest.raises(ModelError, match="damaged or exchanged") as caught:
        Segmenter(spec, threads=1)
    assert caught.value.path == spec.path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path / "t.onnx")
    (tmp_path / "t.onnx").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        Segmenter(spec, threads=1)
    with pytest.raises(ModelError, match="not installed"):
        Segmenter(replace(spec, path=None), threads=1)


@pytest.mark.parametrize(
    ("network", "changed", "reason"),
    [
        ({"channels": 1}, {}, "takes 1 x 1 x 320 x 320; 1 x 3 x 320 x 320 is expected"),
        ({}, {"input_size": 512}, "1 x 3 x 512 x 512 is expected"),
        ({"planes": 2}, {}, "answers with 1 x 2 x 320 x 320"),
        ({"extra_inputs": 1}, {}, "has 2 inputs"),
    ],
)
def test_a_network_of_another_shape_is_refused(
    tmp_path: Path, network: Any, changed: Any, reason: str
) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", network=network, **changed)
    with pytest.raises(ModelError, match=reason):
        Segmenter(spec, threads=1)


def test_answers_that_are_no_numbers_are_an_error_not_a_cutout(tmp_path: Path, cat: Photo) -> None:
    spec = tiny_spec(tmp_path / "t.onnx", network={"not_numbers": True})
    with pytest.raises(EngineError, match="not numbers"):
        Segmenter(spec, threads=1).alpha(cat)


def test_a_network_is_loaded_once_for_lone_photos_and_others_where_that_saves_memory(
    tmp_path: Path, cat: Photo
) -> None:
    for threads, loaded in ((1, [1]), (2, [2]), (4, [1, 2]), (8, [1, 4])):
        bundled = Segmenter(BUNDLED, threads=threads)
        assert np.array_equal(bundled.alpha(cat, lone=False), bundled.alpha(cat, lone=True))
        assert sorted(bundled._sessions) == loaded
    for threads in (2, 4):
        large = Segmenter(tiny_spec(tmp_path / "t.onnx", 1024), threads=threads)
        large.alpha(cat, lone=False)
        assert sorted(large._sessions) == [threads], "a large one fills all cores, whoever waits"
    other = Segmenter(tiny_spec(tmp_path / "s.onnx"), threads=4)
    assert np.array_equal(other.alpha(cat, lone=False), other.alpha(cat, lone=True))
    assert sorted(other._sessions) == [1, 4], "who brings a network decides how many threads it may fill"


class _Exhausted:
    """A session that loads and then runs out of memory as ONNX Runtime does: in its own error's words."""

    def __init__(self, real: Any, words: str) -> None:
        self._real, self._words = real, words

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def run(self, *_: Any) -> Any:
        from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException  # type: ignore[import-untyped]

        raise RuntimeException(self._words)


@pytest.mark.parametrize(
    "words",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned: std::bad_alloc",
        "[ONNXRuntimeError] : 1 : FAIL : bfc_arena.cc Failed to allocate memory for requested buffer of size 67",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "hip error: out of device memory",
    ],
)
def test_an_engine_without_memory_is_a_lack_of_memory(cat: Photo, words: str) -> None:
    segmenter = Segmenter(BUNDLED, providers=("cpu",), threads=1)
    segmenter._sessions = {n: _Exhausted(one, words) for n, one in segmenter._sessions.items()}
    with pytest.raises(MemoryError, match="not enough memory to run the model 'cutout-m'"):
        segmenter.alpha(cat)


def test_another_trouble_of_the_engine_is_not_taken_for_a_lack_of_memory(cat: Photo) -> None:
    segmenter = Segmenter(BUNDLED, providers=("cpu",), threads=1)
    words = "Non-zero status code returned while running Conv node: the allocator's stream is closed"
    segmenter._sessions = {n: _Exhausted(one, words) for n, one in segmenter._sessions.items()}
    with pytest.raises(EngineError, match="failed on cpu"):
        segmenter.alpha(cat)


def test_a_photo_that_the_engine_has_no_memory_for_fails_with_that_reason(
    cat: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from cutoutd.config.errors import Reason
    from cutoutd.config.limits import Limits
    from cutoutd.config.matte import Matte
    from cutoutd.config.output import Deliverable
    from cutoutd.daemon.workers import job as jobs
    from cutoutd.daemon.workers import protocol

    segmenter = Segmenter(BUNDLED, providers=("cpu",), threads=1)
    segmenter._sessions = {n: _Exhausted(one, "std::bad_alloc") for n, one in segmenter._sessions.items()}

    def exhausted(_name: str) -> Segmenter:
        return segmenter

    monkeypatch.setattr(jobs, "segmenter_of", exhausted)
    Image.fromarray(cat).save(tmp_path / "cat.jpg")
    answer = jobs.run_job(
        protocol.Job(
            photo=1,
            path=bytes(tmp_path / "cat.jpg"),
            name="cat.jpg",
            model="cutout-s",
            deliverables=(Deliverable(),),
            outboxes=(bytes(tmp_path),),
            temporaries=(bytes(tmp_path / ".t.part"),),
            matte=Matte(),
            limits=Limits(),
            allowance_mp=400.0,
        )
    )
    assert isinstance(answer, protocol.Refused)
    assert answer.reason is Reason.OUT_OF_MEMORY
    assert "limits.worker_memory" in answer.detail
