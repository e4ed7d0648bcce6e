"""What the network runs on: processor or accelerator, as asked for, never something else in silence."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

from msgspec import Struct

from cutoutd.config.errors import EngineError, ModelError
from cutoutd.models.networks.catalog import BUNDLED_FAMILY, ModelSpec
from cutoutd.models.networks.engine_errors import first_line, lacks_memory, runtime_errors
from cutoutd.models.onnx_runtime import runtime

Choice = Literal["auto"] | Sequence[str]

# Above this size reading, folding and optimising the graph takes long enough at each start to be worth a
# prepared copy on disk; the bundled network loads in 60 ms without one.
CACHE_FROM_BYTES = 20_000_000

# Up to here the file is read once, and the very bytes that were digested are loaded; larger ones are digested
# in pieces and loaded by path, because holding them twice would cost gigabytes.
LOAD_BYTES_UP_TO = 256_000_000


class Provider(Struct, frozen=True):
    """One kind of hardware as ONNX Runtime names it.

    Args:
        engines: ONNX Runtime's names for it, newest first; one is enough.
        install: what to do when this ONNX Runtime was built without it.
        automatic: whether "auto" considers it.
        eight_bits: whether it answers an eight-bit network as the processor does.
    """

    engines: tuple[str, ...]
    install: str
    automatic: bool = True
    eight_bits: bool = True


# In the order in which "auto" tries them. A build with an accelerator is something the user installed on
# purpose, so "auto" uses it; CoreML comes with every macOS wheel and splits some graphs into slow pieces,
# so it is used when named.
PROVIDERS: dict[str, Provider] = {
    "cuda": Provider(("CUDAExecutionProvider",), "Install `onnxruntime-gpu` in place of `onnxruntime`."),
    "rocm": Provider(
        ("MIGraphXExecutionProvider", "ROCMExecutionProvider"),
        "Install AMD's `onnxruntime-migraphx` or `onnxruntime-rocm` in place of `onnxruntime`.",
    ),
    "openvino": Provider(
        ("OpenVINOExecutionProvider",),
        "Install `onnxruntime-openvino` in place of `onnxruntime`.",
        eight_bits=False,  # its answers differ by .017 on average (docs/MODELS.md)
    ),
    "coreml": Provider(("CoreMLExecutionProvider",), "It comes with ONNX Runtime on macOS.", automatic=False),
    "cpu": Provider(("CPUExecutionProvider",), ""),
}


class Engine(Struct, frozen=True):
    """What was found to work: `provider` runs, `why_not` has one sentence per provider that does not."""

    provider: str
    why_not: tuple[str, ...]


def available() -> tuple[str, ...]:
    """Names of the providers this ONNX Runtime was built with, in the order "auto" tries them."""
    built = set(cast("list[str]", runtime().get_available_providers()))
    return tuple(name for name, provider in PROVIDERS.items() if built & set(provider.engines))


def choose(providers: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The providers to try, best first, and why others are not tried.

    Raises:
        EngineError: an explicitly named provider is unknown or not part of this ONNX Runtime.
    """
    here = available()
    if providers == "auto":
        tried = tuple(name for name in here if PROVIDERS[name].automatic)
        return tried, tuple(_why_not(name, here) for name in PROVIDERS if name not in tried)
    for name in providers:
        if name not in PROVIDERS:
            raise EngineError(
                f"There is no provider called {name!r}", fix=f"Known are {', '.join(PROVIDERS)}."
            )
        if name not in here:
            raise EngineError(
                f"The provider {name!r} was asked for, but {_why_not(name, here).partition(': ')[2]}",
                fix=f'{PROVIDERS[name].install} Or set `providers = "auto"` under [engine].',
            )
    if not providers:
        raise EngineError("No provider is named", fix='Set `providers = "auto"` under [engine].')
    return tuple(providers), tuple(f"{name}: not asked for" for name in PROVIDERS if name not in providers)


def choose_for(spec: ModelSpec, providers: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As `choose`; "auto" also passes over those that answer this network less exactly than the processor does.

    Raises as `choose` does.
    """
    tried, why_not = choose(providers)
    if providers != "auto" or spec.family != BUNDLED_FAMILY:
        return tried, why_not
    exact = tuple(name for name in tried if PROVIDERS[name].eight_bits)
    others = (name for name in tried if name not in exact)
    reason = "only used when named, because it is less exact in eight bits"
    return exact, (*why_not, *(f"{name}: {reason}" for name in others))


def _why_not(name: str, here: tuple[str, ...]) -> str:
    if name in here:
        return f"{name}: only used when named, because it can be slower than the processor"
    return f"{name}: this ONNX Runtime ({runtime().__version__}) was built without it"


def read_verified(spec: ModelSpec) -> bytes | str:
    """The model file, its digest checked: its bytes, or its path when it is too large to hold twice.

    Raises:
        ModelError: not installed, unreadable, or not the file it should be.
    """
    if spec.path is None:
        raise ModelError(
            f"The model {spec.name!r} is not installed", fix=f"Run `cutoutd models pull {spec.name}`."
        )
    again = (
        "Install cutoutd again."
        if not spec.sources and not spec.like
        else f"Run `cutoutd models pull {spec.name}`."
    )
    try:
        with spec.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read() if size <= LOAD_BYTES_UP_TO else None
            digest = hashlib.sha256(content) if content is not None else hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise ModelError(
            f"The file of the model {spec.name!r} cannot be read ({error.strerror})", spec.path, again
        ) from error
    if digest.hexdigest() != spec.sha256:
        raise ModelError(
            f"The file of the model {spec.name!r} was damaged or exchanged: its SHA-256 has changed",
            spec.path,
            again
            if not spec.like
            else f"Run `cutoutd models add FILE --like {spec.like} --name {spec.name}`.",
        )
    return content if content is not None else str(spec.path)


def open_session(
    spec: ModelSpec, provider: str, others: Sequence[str], threads: int, cache_dir: Path | None
) -> Any:
    """One inference session whose first provider is `provider`; `others` must start too.

    Args:
        spec: an installed model.
        provider: a name from PROVIDERS.
        others: further providers that take the operators the first one does not know.
        threads: worker threads of this session, fixed for its life.
        cache_dir: where `warm_cache` left prepared graphs, or None. Only read here: workers may not write.

    Raises:
        ModelError: the file is missing, damaged or no network.
        EngineError: a provider did not start.
        MemoryError: not enough memory to hold the network.
    """
    ort = runtime()
    options = _session_options(spec, threads)
    model = read_verified(spec)
    prepared = _prepared(spec, cache_dir) if provider == "cpu" else None
    wanted = [*dict.fromkeys((provider, *others, "cpu"))]
    engines = [_engine(name, spec, threads, cache_dir) for name in wanted]
    try:
        session = ort.InferenceSession(prepared or model, options, providers=engines, enable_fallback=0)
    except runtime_errors() as error:
        if lacks_memory(error):
            raise MemoryError(f"There is not enough memory to load the model {spec.name!r}") from error
        if provider == "cpu":
            raise ModelError(
                f"The file of the model {spec.name!r} does not load ({first_line(error)})",
                spec.path,
                "If you added it yourself, export it again as ONNX with float32 input.",
            ) from error
        raise EngineError(
            f"The provider {provider!r} does not start ({first_line(error)})",
            fix=PROVIDERS[provider].install,
        ) from error
    running = set(cast("list[str]", session.get_providers()))
    for name in (provider, *others):
        if not running & set(PROVIDERS[name].engines):
            raise EngineError(
                f"The provider {name!r} does not start: its driver or libraries did not load",
                fix="Check the driver's own test program. If that one runs, confined files may be in its way: set "
                '`sandbox = "network"` under [engine]. Or set `providers = "auto"` there.',
            )
    return session


def _session_options(spec: ModelSpec, threads: int) -> Any:
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Spinning threads would burn a core between photos and fight with the encoder's work during one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps a photo's activations for ever: 1.6 GB with IS-Net, 440 MB with u2netp, for no speed that
    # could be measured. The bundled network's 30 MB are worth its faster second photo.
    options.enable_cpu_mem_arena = spec.family == BUNDLED_FAMILY
    # A plan of all buffers at once costs 44 MB more than taking them one by one, and saves no time.
    options.enable_mem_pattern = False
    return options


def _engine(
    name: str, spec: ModelSpec, threads: int, cache_dir: Path | None
) -> tuple[str, Mapping[str, str]] | str:
    """ONNX Runtime's name for a provider, with its options."""
    built = set(cast("list[str]", runtime().get_available_providers()))
    engine = next(engine for engine in PROVIDERS[name].engines if engine in built)
    folder = None if cache_dir is None else engine_cache(spec, name, cache_dir)
    if name == "openvino":
        options = {"device_type": _openvino_device(), "num_of_threads": str(threads)}
        # Without this hint newer Intel processors compute in bfloat16, and the answer depends on the machine.
        options["load_config"] = (
            '{"CPU": {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}}'
        )
        return engine, options if folder is None else options | {"cache_dir": str(folder)}
    if name == "coreml":
        options = {"ModelFormat": "MLProgram"}
        return engine, options if folder is None else options | {"ModelCacheDirectory": str(folder)}
    if name == "cuda":
        # Heuristic: no trial runs that pick another algorithm, and so other bits, from one start to the next.
        return engine, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    return engine


def _openvino_device() -> str:
    """Intel graphics where there are any, else the processor; never the vague AUTO, which switches midway."""
    state = getattr(runtime().capi, "_pybind_state")  # noqa: B009
    ids = cast("list[str]", getattr(state, "get_available_openvino_device_ids", list)())
    return "GPU" if any(device.startswith("GPU") for device in ids) else "CPU"


def engine_cache(spec: ModelSpec, provider: str, cache_dir: Path) -> Path | None:
    """The folder in which a provider keeps this model compiled, when `warm_cache` has made it."""
    folder = _engine_folder(spec, provider, cache_dir)
    return folder if folder.is_dir() else None


def _engine_folder(spec: ModelSpec, provider: str, cache_dir: Path) -> Path:
    return cache_dir / f"{provider}-{runtime().__version__}-{spec.sha256[:16]}"


def _prepared_path(spec: ModelSpec, cache_dir: Path) -> Path:
    return cache_dir / f"graph-{runtime().__version__}-{spec.sha256[:16]}.onnx"


def _prepared(spec: ModelSpec, cache_dir: Path | None) -> bytes | None:
    """The prepared graph; one whose digest is not the recorded one counts as none."""
    if cache_dir is None:
        return None
    path = _prepared_path(spec, cache_dir)
    try:
        content = path.read_bytes()
        recorded = path.with_suffix(".sha256").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return content if hashlib.sha256(content).hexdigest() == recorded else None


_GRAPH: Final = "graph.onnx"
# The engine's part of `warm_cache`: model, provider, threads, and the folder to leave the result in.
Prepare = Callable[[ModelSpec, str, int, Path], None]


def prepare(spec: ModelSpec, provider: str, threads: int, folder: Path) -> None:
    """Loads the network and leaves in `folder` what later starts can read, under names that `warm_cache` gave.

    Raises:
        ModelError, EngineError, MemoryError: as `open_session`.
        OSError: the folder cannot be written.
    """
    if provider != "cpu":
        open_session(spec, provider, (), threads, folder)
        return
    ort = runtime()
    options = _session_options(spec, threads)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / _GRAPH)
    ort.InferenceSession(read_verified(spec), options, providers=["CPUExecutionProvider"])


def warm_cache(
    spec: ModelSpec, providers: Choice, threads: int, cache_dir: Path, prepare: Prepare = prepare
) -> bool:
    """Prepares what later starts of this model can read; call it where no photo is: workers may not write.

    Only machine-independent graph steps are stored, so that the answer keeps the same bits without it.

    Args:
        spec: an installed model.
        providers: as in the settings.
        threads: worker threads of the session.
        cache_dir: made when it is not there.
        prepare: loads the network; `daemon.workers.trial` has one for files that are not trusted. It writes into a
            folder of its own; names in the cache are given here.

    Returns:
        True when something was prepared, False when there was nothing to do.

    Raises:
        ModelError, EngineError, MemoryError: as `open_session`.
        OSError: the cache folder cannot be written.
    """
    provider = choose_for(spec, providers)[0][0]
    cache_dir.mkdir(parents=True, exist_ok=True)
    compiles = provider in ("openvino", "coreml")
    if compiles and engine_cache(spec, provider, cache_dir) is not None:
        return False
    if not compiles and (
        provider != "cpu" or (spec.bytes or 0) < CACHE_FROM_BYTES or _prepared(spec, cache_dir) is not None
    ):
        return False
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".warm-") as scratch:
        if compiles:
            compiled = _engine_folder(spec, provider, Path(scratch))
            compiled.mkdir()
            prepare(spec, provider, threads, Path(scratch))
            compiled.replace(_engine_folder(spec, provider, cache_dir))
            return True
        prepare(spec, provider, threads, Path(scratch))
        fresh, path = Path(scratch) / _GRAPH, _prepared_path(spec, cache_dir)
        with fresh.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        path.with_suffix(".sha256").write_text(digest + "\n", encoding="ascii")
        fresh.replace(path)
    return True
