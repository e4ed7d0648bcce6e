"""The models on this machine: verified files with a record each; never connects to anything."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import ModelError, UsageError
from cutoutd.models.networks.catalog import (
    ADJUSTABLE,
    BUNDLED,
    NAME_PATTERN,
    ModelSpec,
    catalogue,
    installed,
    known_model,
)

# Read this much at a time when digesting: large enough to be fast, small enough for a progress bar to move.
PIECE_BYTES = 1 << 20
# No mean or deviation of pixels is beyond it, though some networks count them to 255.
_MOST = 1000.0


class Digests(Struct, frozen=True):
    """What a file is, whatever it is called."""

    bytes: int
    sha256: str
    md5: str


def digest_file(path: Path) -> Digests:
    """Size and digests of a file in one reading.

    Raises:
        OSError: it cannot be read.
    """
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            sha256.update(piece)
            md5.update(piece)
            size += len(piece)
    return Digests(size, sha256.hexdigest(), md5.hexdigest())


def mismatch(found: Digests, spec: ModelSpec) -> str:
    """Why a file is not the one the catalogue describes, or "" when it is: every known fact must agree."""
    if spec.bytes is not None and found.bytes != spec.bytes:
        return f"it has {found.bytes:,} bytes instead of {spec.bytes:,}"
    if spec.sha256 and found.sha256 != spec.sha256:
        return f"its SHA-256 is {found.sha256[:16]}… instead of {spec.sha256[:16]}…"
    if spec.md5 and found.md5 != spec.md5:
        return f"its MD5 is {found.md5} instead of {spec.md5}"
    return ""


def require_licence(spec: ModelSpec, *, accept: bool) -> None:
    """Refuses a model whose terms were not accepted, before anything is fetched or registered.

    Raises:
        ModelError: the terms forbid commercial use and nobody accepted them.
    """
    if not spec.commercial and not accept:
        raise ModelError(
            f"The weights of {spec.name!r} are licensed {spec.licence}: commercial work is forbidden without the "
            "publisher's own licence",
            fix="If your use is allowed, run the command again with --accept-license.",
        )


@contextmanager
def locked(name: str, models_dir: Path, waiting: Callable[[], None] | None = None) -> Generator[None]:
    """Holds the model's lock, so that two pulls of one model run one after the other.

    Args:
        name: the model.
        models_dir: the store; made if absent.
        waiting: called once when another process holds the lock, before waiting for it; None waits silently.

    Raises:
        ModelError: the folder cannot be made or written.
    """
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        handle = (models_dir / f".{name}.lock").open("wb")
    except OSError as error:
        raise ModelError(
            f"The models folder cannot be written ({error.strerror})",
            models_dir,
            "Give it write permission, or choose another one with $CUTOUTD_MODELS_DIR.",
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install(
    fresh: Path,
    spec: ModelSpec,
    models_dir: Path,
    *,
    source: str,
    accepted: bool = False,
    changed: dict[str, Any] | None = None,
) -> ModelSpec:
    """Gives a complete file in `models_dir` its name and writes its record; call it with the lock held.

    The record's rename is what makes the model installed; a crash before it leaves the old state.

    Args:
        fresh: the file, inside `models_dir`; it is moved.
        spec: what it must be; for an own file `like` is set and no digests are given.
        models_dir: the store.
        source: where it came from, for the record.
        accepted: the user accepted non-commercial terms.
        changed: arithmetic that differs from the catalogue's, keys from `catalog.ADJUSTABLE`.

    Raises:
        ModelError: the file is not the one the catalogue describes; it is removed.
        OSError: the folder cannot be written.
    """
    found = digest_file(fresh)
    wrong = mismatch(found, spec)
    if wrong:
        fresh.unlink()
        raise ModelError(
            f"What came from {source} is not the model {spec.name!r}: {wrong}. Nothing was installed",
            fix="Try another source with --source or --from; if it happens again, the source is not to be trusted.",
        )
    final = models_dir / f"{spec.name}-{found.sha256[:12]}.onnx"
    _sync(fresh)
    fresh.replace(final)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        "name": spec.name,
        "file": final.name,
        "bytes": found.bytes,
        "sha256": found.sha256,
        "like": spec.like,
        "changed": changed or {},
        "source": source,
        "added": now,
        "licence": spec.licence,
        "accepted": accepted,
        "accepted_at": now if accepted else None,
    }
    _write_record(models_dir / f"{spec.name}.json", record)
    for old in models_dir.glob(f"{spec.name}-*.onnx"):
        if old != final and old.stem.removeprefix(f"{spec.name}-").isalnum():
            old.unlink()
    return installed(models_dir)[spec.name]


def _write_record(path: Path, record: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def adopt(spec: ModelSpec, models_dir: Path, *, accepted: bool) -> ModelSpec | None:
    """The model, when it is installed already or its verified file lies here without a record; else None.

    Raises:
        OSError: a file cannot be read.
    """
    here = installed(models_dir).get(spec.name)
    if (
        here is not None
        and here.path is not None
        and not mismatch(digest_file(here.path), replace(spec, path=None))
    ):
        if accepted and not here.accepted:
            record = json.loads((models_dir / f"{spec.name}.json").read_text(encoding="utf-8"))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            _write_record(models_dir / f"{spec.name}.json", record | {"accepted": True, "accepted_at": now})
            return installed(models_dir)[spec.name]
        return here
    if not (spec.sha256 and models_dir.is_dir()):
        return None
    left = models_dir / f"{spec.name}-{spec.sha256[:12]}.onnx"
    if not left.is_file() or mismatch(digest_file(left), spec):
        return None
    return install(left, spec, models_dir, source="a file already in the store", accepted=accepted)


def remove(name: str, models_dir: Path) -> int:
    """Removes an installed model and what an interrupted pull left; returns the bytes freed.

    Raises:
        ModelError: it is a bundled one, or not installed.
    """
    if name in BUNDLED:
        raise ModelError(f"{name!r} is part of cutoutd and cannot be removed")
    if name not in installed(models_dir) and not list(_belongings(name, models_dir)):
        known_model(name, installed(models_dir))
        raise ModelError(f"The model {name!r} is not installed", fix="`cutoutd models list` shows what is.")
    freed = 0
    with locked(name, models_dir):
        (models_dir / f"{name}.json").unlink(missing_ok=True)  # first: from here on it is not installed
        for path in list(_belongings(name, models_dir)):
            if path.is_dir():
                shutil.rmtree(path)
                continue
            freed += path.stat().st_size
            path.unlink()
    return freed


def _belongings(name: str, models_dir: Path) -> Iterator[Path]:
    yield from (p for p in models_dir.glob(f"{name}-*.onnx") if p.stem.removeprefix(f"{name}-").isalnum())
    yield from models_dir.glob(f".{name}.pull*")


def probe_here(spec: ModelSpec) -> None:
    """`probe.probe`, loaded when it is needed: it brings the whole engine along."""
    from cutoutd.models.networks.probe import probe

    probe(spec)


def add(
    file: Path,
    models_dir: Path,
    *,
    like: str = "",
    name: str = "",
    accept_license: bool = False,
    changed: dict[str, Any] | None = None,
    probe: Callable[[ModelSpec], None] = probe_here,
) -> ModelSpec:
    """Registers a model from a file on this machine.

    Args:
        file: the ONNX file; it is copied.
        models_dir: the store.
        like: the catalogue model whose arithmetic it follows; "" only works for a file of the catalogue itself,
            which is recognised by its digest.
        name: what to call it; unset, the file's own name (or the catalogue's, for a file of the catalogue).
        accept_license: the user accepts the terms of a non-commercial model.
        changed: arithmetic that differs from `like`, keys from `catalog.ADJUSTABLE`.
        probe: loads the file and tries whether it fits; unset, in this process, which trusts the file.

    Raises:
        UsageError: no usable name, or `like` is needed.
        ModelError: the file is unreadable or does not fit, with the reason.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe or a device has no end
            raise ModelError("This is no ordinary file", file, "Copy the network to one, and name that.")
        found = digest_file(file)
    except OSError as error:
        raise ModelError(f"The file cannot be read ({error.strerror})", file) from error
    spec = _what_it_is(file, found, like, name)
    require_licence(spec, accept=accept_license)
    changed = {
        key: value for key, value in (changed or {}).items() if key in ADJUSTABLE and value is not None
    }
    _must_be_numbers_of_pixels(changed)
    with locked(spec.name, models_dir):
        require_space(models_dir, found.bytes)
        copy = models_dir / f".{spec.name}.pull.add"
        try:
            shutil.copyfile(file, copy)
            try:
                probe(replace(spec, path=copy, sha256=found.sha256, **changed))
            except ModelError as error:  # about the file as the user knows it
                raise ModelError(error.what, file, error.fix) from error
            return install(
                copy, spec, models_dir, source=f"file {file.name}", accepted=accept_license, changed=changed
            )
        except OSError as error:
            raise ModelError(f"The models folder cannot be written ({error.strerror})", models_dir) from error
        finally:
            copy.unlink(missing_ok=True)


def _must_be_numbers_of_pixels(changed: Mapping[str, Any]) -> None:
    """What is taken from pixels of 0 to 1, and what they are divided by. Raises UsageError."""
    for name in ("mean", "std"):
        for value in changed.get(name, ()):
            if not abs(value) <= _MOST or (name == "std" and not value > 0):
                raise UsageError(
                    f"{value:g} cannot be a number of --{name}",
                    fix="They are about pixels of 0 to 1; the network's maker says which.",
                )


def _what_it_is(file: Path, found: Digests, like: str, name: str) -> ModelSpec:
    """The catalogue's own entry for a file it knows, else an entry of the user's own that follows `like`."""
    for known in catalogue().values():
        if name in ("", known.name) and known.name not in BUNDLED and not mismatch(found, known):
            return known
    if not like:
        raise UsageError(
            "This file is none that the catalogue knows",
            file,
            "Say which network it is shaped like: --like NAME (`cutoutd models list` shows the names).",
        )
    base = known_model(like)
    name = name or file.stem.lower().replace(" ", "-")
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a model's name",
            file,
            "Use --name with small letters, digits, dots and dashes.",
        )
    if name in catalogue():
        raise UsageError(
            f"{name!r} is the catalogue's name for another file", file, "Choose your own with --name."
        )
    return replace(base, name=name, path=None, like=base.name, sha256="", md5="", bytes=None, sources=())


def require_space(folder: Path, needed: int) -> None:
    """Refuses early when the disk cannot hold the file.

    Raises:
        ModelError: with both figures.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"The disk is too full: the model needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free",
            folder,
            "Make room there, or choose another folder with $CUTOUTD_MODELS_DIR.",
        )
