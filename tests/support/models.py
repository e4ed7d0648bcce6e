"""Made-up models for tests: a spec with its file on disk, and entries in the catalogue while a test runs."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.support.tiny_onnx import tiny_network

from cutoutd.models.networks.catalog import ModelSpec, catalogue
from cutoutd.models.networks.store import add

# What daemons under test ask where nobody looks at the shape of a cutout (`lay_stand_in`).
STAND_IN = "stand-in"


def spec_for(content: bytes, path: Path | None = None, **changed: Any) -> ModelSpec:
    """A spec shaped like u2netp (or `like`) whose digests are those of `content`; written to `path` if given."""
    base = catalogue()[changed.pop("base", "u2netp")]
    if path is not None:
        path.write_bytes(content)
    facts = {"name": "tiny", "file": "tiny.onnx", "sources": ()} | changed
    digests = {"sha256": hashlib.sha256(content).hexdigest(), "md5": hashlib.md5(content).hexdigest()}  # noqa: S324
    return replace(base, path=path, bytes=len(content), **(digests | facts))


@contextmanager
def in_catalogue(spec: ModelSpec) -> Generator[ModelSpec]:
    """The spec as an entry of the catalogue, without a path, until the block ends."""
    entry = replace(spec, path=None)
    catalogue()[entry.name] = entry
    try:
        yield entry
    finally:
        del catalogue()[entry.name]


def tiny_spec(
    path: Path, size: int | str = 320, *, network: dict[str, Any] | None = None, **changed: Any
) -> ModelSpec:
    """A tiny network on disk with its spec."""
    content = tiny_network(size, **(network or {}))
    return spec_for(content, path, **({"input_size": size if isinstance(size, int) else 320} | changed))


def add_large_stand_in(models_dir: Path, name: str = "large", **network: Any) -> ModelSpec:
    """A tiny network that takes 1,024 pixels, as the large ones do, so that it is loaded once per machine."""
    models_dir.mkdir(parents=True, exist_ok=True)
    file = models_dir.parent / f"{name}.onnx"
    file.write_bytes(tiny_network(1024, **network))
    return add(file, models_dir, like="isnet-general-use", name=name)


@functools.cache
def _stand_in() -> dict[str, bytes]:
    """The files of a models folder with that network in it, made once for each process."""
    with tempfile.TemporaryDirectory() as scratch:
        file, folder = Path(scratch, "made.onnx"), Path(scratch, "models")
        file.write_bytes(tiny_network(320, weights=(18.0, 8.0, -14.0), bias=-4.0))
        folder.mkdir()
        add(file, folder, like="cutout-s", name=STAND_IN, probe=lambda _spec: None)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def lay_stand_in(models_dir: Path) -> None:
    """A network that takes what is warm in colour for the subject: most of a portrait or a cat, nothing of a wall."""
    models_dir.mkdir(parents=True, exist_ok=True)
    for name, content in _stand_in().items():
        (models_dir / name).write_bytes(content)
