"""What a `redo` asks for beside the configuration, as one record and as JSON in a row; whether it goes with a photo's
inbox is not judged here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from cutoutd.config.errors import UsageError
from cutoutd.config.fixes import NOTHING_FIXED, Fixes
from cutoutd.daemon.ledger.masks import is_name


class Corrections(Struct, frozen=True):
    """What somebody said of a photo's subject: points or a mask, never both; neither is nothing said.

    Attributes:
        fixes: points that belong to the subject, or do not.
        mask: name of a mask kept in the state folder; empty: none.
    """

    fixes: Fixes = NOTHING_FIXED
    mask: str = ""

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self.fixes or self.mask)


NOTHING_SAID = Corrections()


class Overrides(Struct, frozen=True):
    """What differs from the configuration; all of it unset: nothing does.

    Attributes:
        deliverable: label of the only deliverable that is made again; empty: all are.
        output: options of the deliverables that differ, as the configuration names them.
        matte: options of the matte that differ.
        fixes: points that belong to the subject, or do not.
        mask: name of a mask kept in the state folder; empty: none.
        forget_points: the points or the mask that the photo was made with count no more, though nothing takes their
            place.
    """

    deliverable: str = ""
    output: Mapping[str, Any] = field(default_factory=dict[str, Any])
    matte: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fixes: Fixes = NOTHING_FIXED
    mask: str = ""
    forget_points: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Overrides:
        """The record that `told` made these plain values of, as they come from a command or a row.

        Raises:
            UsageError: a point is none, or the mask's name is not one that cutoutd gave.
        """
        return cls(
            str(told.get("deliverable") or ""),
            dict(told.get("output") or {}),
            dict(told.get("matte") or {}),
            _fixes(told.get("fixes") or {}),
            _mask(str(told.get("mask") or "")),
            bool(told.get("forget_points")),
        )

    @classmethod
    def from_json(cls, text: str) -> Overrides:
        """The record of a row's text; an empty one says nothing.

        Raises:
            UsageError: as `of` does.
            ValueError: it is no JSON; TypeError, AttributeError: it says something else.
        """
        return cls.of(json.loads(text)) if text else cls()

    @property
    def corrections(self) -> Corrections:
        """What it says of the subject."""
        return Corrections(self.fixes, self.mask)

    def with_corrections(self, made_with: Corrections) -> Overrides:
        """The same for a photo made with these, which go on counting unless something takes their place."""
        if self.corrections or self.forget_points:
            return self
        return replace(self, fixes=made_with.fixes, mask=made_with.mask)

    def told(self) -> dict[str, Any]:
        """What is set, as plain values."""
        fixes = {"keep": list(self.fixes.keep), "remove": list(self.fixes.remove)} if self.fixes else {}
        every = {
            "deliverable": self.deliverable,
            "output": dict(self.output),
            "matte": dict(self.matte),
            "fixes": fixes,
            "mask": self.mask,
            "forget_points": self.forget_points,
        }
        return {name: value for name, value in every.items() if value}

    def to_json(self) -> str:
        """The text for a row; empty where nothing differs."""
        told = self.told()
        return json.dumps(told) if told else ""


NO_OVERRIDES = Overrides()


def _fixes(points: Mapping[str, Any]) -> Fixes:
    try:
        return Fixes.of(*(tuple(map(str, points.get(one) or ())) for one in ("keep", "remove")))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _mask(name: str) -> str:
    if name and not is_name(name):
        raise UsageError("The mask has no name of ours", fix="Give it anew with `cutoutd redo --mask`.")
    return name
