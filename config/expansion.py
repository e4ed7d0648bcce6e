"""Presets that outputs, deliverables and rules name, replaced by their options before anything is validated."""

from __future__ import annotations

from typing import Any, cast

from cutoutd.config.presets import expand
from cutoutd.config.rules import deliverables_of, unpack_deliverable


def expand_presets(raw: Any) -> Any:
    """The raw table with each output's preset replaced by its options; explicit options win.

    A deliverable that names a pack becomes one deliverable per preset of the pack.
    """
    if not isinstance(raw, dict):
        return raw  # pyright: ignore[reportUnknownVariableType] - the validator says that it is no table
    table = cast("dict[str, Any]", raw)
    if not isinstance(table.get("inbox"), list | tuple):
        return table
    own = table.get("preset")
    custom = cast("dict[str, dict[str, Any]]", own) if isinstance(own, dict) else {}
    inboxes: list[Any] = []
    for inbox in table["inbox"]:
        if not isinstance(inbox, dict):
            inboxes.append(inbox)
            continue
        changed = dict(cast("dict[str, Any]", inbox))
        if isinstance(changed.get("output"), dict):
            changed["output"] = expand(changed["output"], custom)
        if isinstance(changed.get("deliver"), list | tuple):
            changed["deliver"] = [
                expand(cast("dict[str, Any]", one), custom) if isinstance(one, dict) else one
                for wanted in changed["deliver"]
                for one in unpack_deliverable(wanted)
            ]
        if isinstance(changed.get("rule"), list | tuple):
            changed["rule"] = [
                _rule_expanded(cast("dict[str, Any]", rule), custom) if isinstance(rule, dict) else rule
                for rule in changed["rule"]
            ]
        inboxes.append(changed)
    return {**table, "inbox": inboxes}


def _rule_expanded(rule: dict[str, Any], custom: dict[str, dict[str, Any]]) -> dict[str, Any]:
    wanted = deliverables_of(rule)
    if not wanted:
        return rule
    deliver = [
        expand(cast("dict[str, Any]", one), custom) if isinstance(one, dict) else one for one in wanted
    ]
    return {**rule, "deliver": deliver}
