"""Which photos of an inbox become something else than the rest: by a pattern, or by a list that the user keeps."""

from __future__ import annotations

from typing import Any, cast

from pydantic import Field, model_validator

from cutoutd.config.output import Deliverable
from cutoutd.config.presets import packs
from cutoutd.config.section import Section
from cutoutd.config.units import Folder


class Rule(Section):
    """What some photos of an inbox become, instead of its `output` or `deliver`; the first rule that fits decides."""

    match: str = Field(
        default="",
        description='Photos whose path fits, as in `include`: "shoes/**", "*_front.*". Upper and lower case are the '
        "same.",
    )
    csv: Folder | None = Field(
        default=None,
        description="A list of photos and what each becomes. Its first line is a header: `stem` (the photo's name "
        "without extension), and `preset`, `name` (of the cutout, without extension) or both; other columns are left "
        "alone, and so are photos that are not listed. Comma, semicolon or tab; a changed list is taken up at once.",
        examples=["orders.csv"],
    )
    preset: str = Field(
        default="", description="The preset or pack of photos that `match` (`cutoutd presets` lists them)."
    )
    deliver: tuple[Deliverable, ...] = Field(
        default=(), description="Several deliverables, or other options, in place of `preset`."
    )

    @model_validator(mode="after")
    def _says_which_and_what(self) -> Rule:
        if bool(self.match) == bool(self.csv):
            raise ValueError('a rule has either match = "PATTERN" or csv = "FILE"')
        if self.match and not self.deliver:
            raise ValueError('what do these photos become? Write preset = "NAME", or [[inbox.rule.deliver]]')
        if self.csv and self.deliver:
            raise ValueError("the list itself says which preset: leave preset and deliver out")
        labels = [one.label.casefold() for one in self.deliver]
        if len(set(labels)) < len(labels):
            raise ValueError("two deliverables of the rule have one label: give each its own")
        return self


def unpack_deliverable(wanted: Any) -> list[Any]:
    """A deliverable whose preset is a pack as one deliverable per preset of the pack; others as they are."""
    if not isinstance(wanted, dict):
        return [wanted]
    table = cast("dict[str, Any]", wanted)
    pack = packs().get(str(table.get("preset", "")))
    if pack is None:
        return [table]
    label = table.get("label")
    return [{**table, "preset": name, **({"label": f"{label} {name}"} if label else {})} for name in pack]


def named_apart(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several deliverables of one photo that have no names of their own get one each."""
    if len(wanted) < 2:
        return wanted
    return [{"name": "{stem}-{deliverable}", **one} if "folder" not in one else one for one in wanted]


def deliverables_of(rule: dict[str, Any]) -> list[Any]:
    """What a rule as written asks for: its `deliver`, or its `preset` in that form; presets are not worked in yet."""
    written = rule.get("deliver")
    if isinstance(written, list | tuple) and written:
        return [one for wanted in cast("list[Any]", written) for one in unpack_deliverable(wanted)]
    if not isinstance(rule.get("preset"), str) or not rule["preset"]:
        return []
    return named_apart(unpack_deliverable({"preset": rule["preset"]}))
