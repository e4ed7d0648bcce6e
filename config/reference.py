"""The commented sample, the reference page and the JSON schema, all made from settings.py; it parses nothing.

`python -m cutoutd.config.reference --write` renews the files under docs/, `--check` fails on stale ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cutoutd.config import describe, presets
from cutoutd.config.settings import Settings

_WIDTH = 100  # columns of a comment in the sample; fits a terminal split in two
_DEFAULT_INBOX = "~/Pictures/Cutouts/Inbox"
_DEFAULT_OUTBOX = "~/Pictures/Cutouts/Outbox"

_SAMPLE_HEAD = """\
# The configuration of cutoutd. Every option is here with its default: take away the # in front of one to
# change it. `cutoutd config check` names every mistake with its line.
# Durations: "750ms", "10s", "5m", "2h", "30d". Sizes: "500KB", "200MB", "2GB".
# Paths may start with ~ or hold $VARIABLES; relative ones start at this file's folder.
"""

_PAGE_HEAD = """\
# Configuration

*Made from `config/settings.py` by `make docs`; change it there.*

cutoutd needs no configuration: without a file it watches `Cutouts/Inbox` in your Pictures folder and delivers
to `Cutouts/Outbox` beside it. `cutoutd init` writes a commented sample, `cutoutd config check` names every
mistake with its line, `cutoutd config show` prints what is in force. A running daemon takes up a changed file
by itself; a file with mistakes changes nothing. Photos that are done stay as they are: `redo` does them anew, and
gives their cutouts the names that are asked for by then. A photo that is saved anew keeps its cutouts' names.

The first of these files is used, alone: the one named by `--config`, by `$CUTOUTD_CONFIG`, `config.toml` in
the user's configuration folder (Linux `~/.config/cutoutd`, macOS `~/Library/Application Support/cutoutd`), in
the site's configuration folder, `/etc/cutoutd/config.toml`. `cutoutd config check` says which one it was.

Durations are written `"750ms"`, `"10s"`, `"5m"`, `"2h"`, `"30d"` or as a number of seconds; sizes `"500KB"`,
`"200MB"`, `"2GB"` or as a number of bytes. Paths may start with `~` and hold `$VARIABLES`; relative ones
start at the configuration file's folder.
"""


def sample(inbox: str = _DEFAULT_INBOX, outbox: str = _DEFAULT_OUTBOX) -> str:
    """A commented TOML file with every option; read as it stands it equals the defaults for these folders."""
    given = {"path": inbox, "outbox": outbox}
    blocks = [_SAMPLE_HEAD, *_sample_table("", Settings, Settings.__doc__ or "", given)]
    return "\n".join(blocks)


def _sample_table(header: str, table: type[BaseModel], about: str, given: dict[str, str]) -> Iterator[str]:
    """One block of text per table, its plain options first, as TOML demands."""
    lines: list[str] = []
    below: list[tuple[str, FieldInfo]] = []
    for name, field in table.model_fields.items():
        if describe.model_of(field.annotation) is not None or (name == "preset" and not header):
            below.append((name, field))
        else:
            lines += ["", *_sample_option(name, field, given)]
    if header:
        yield "\n".join(["", *_comment(about), header, *lines[1:], ""])
    else:
        yield "\n".join([*lines[1:], ""])
    for name, field in below:
        inner = describe.model_of(field.annotation)
        path = f"{header.strip('[]')}.{name}" if header else name
        about = field.description or ""
        if inner is None or (describe.is_array_of_tables(field.annotation) and not field.is_required()):
            yield "\n".join(["", *_comment(about), *_example_tables(path, field), ""])
        else:
            mark = f"[[{path}]]" if describe.is_array_of_tables(field.annotation) else f"[{path}]"
            yield from _sample_table(mark, inner, about, given)


def _sample_option(name: str, field: FieldInfo, given: dict[str, str]) -> list[str]:
    lines = _comment(f"{field.description} ({_limits(field)})")
    default = describe.default_text(field)
    if field.is_required():
        return [*lines, f"{name} = {describe.toml_text(given[name])}"]
    if default is None:
        return [
            *lines,
            *(f"#{name} = {describe.toml_text(value)}  # unset" for value in field.examples or ()),
        ]
    return [*lines, f"#{name} = {default}"]


def _example_tables(path: str, field: FieldInfo) -> list[str]:
    """Commented tables for what has no default to show: `[[inbox.deliver]]`, `[preset.NAME]`."""
    lines: list[str] = []
    for example in field.examples or ():
        options = cast("dict[str, Any]", example)
        for name, value in options.items() if path == "preset" else [("", options)]:
            table = cast("dict[str, Any]", value)
            lines.append(f"#[{path}.{name}]" if name else f"#[[{path}]]")
            lines += [f"#{key} = {describe.toml_text(setting)}" for key, setting in table.items()]
    return lines


def _limits(field: FieldInfo) -> str:
    return ", ".join(filter(None, [describe.type_text(field), describe.bounds_text(field)]))


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False)]


def page() -> str:
    """The reference page in Markdown: one table of options per table of settings, then the presets."""
    parts = [_PAGE_HEAD, *_page_table("", Settings, ""), *_preset_tables()]
    return "\n".join(parts).rstrip() + "\n"


def _page_table(header: str, table: type[BaseModel], about: str) -> Iterator[str]:
    plain = {n: f for n, f in table.model_fields.items() if describe.model_of(f.annotation) is None}
    below = [(n, f) for n, f in table.model_fields.items() if n not in plain]
    yield f"## {f'`{header}`' if header else 'At the top of the file'}\n"
    if about:
        yield f"{about}\n"
    yield "| Option | What it does | Value | Default |\n|---|---|---|---|"
    for name, field in plain.items():
        yield f"| `{name}` | {_cell(field.description)} | {_cell(_limits(field))} | {_default_cell(field)} |"
    yield ""
    for name, field in below:
        inner = cast("type[BaseModel]", describe.model_of(field.annotation))
        path = f"{header.strip('[]')}.{name}" if header else name
        mark = f"[[{path}]]" if describe.is_array_of_tables(field.annotation) else f"[{path}]"
        if inner is not table and not _repeats(inner, below):
            yield from _page_table(mark, inner, field.description or "")
        else:
            extra = "".join(
                f" and `{n}` ({_cell(f.description).rstrip('.')})"
                for n, f in inner.model_fields.items()
                if n == "label"
            )
            twin = f"`[{header.strip('[]')}.output]`"
            yield f"## `{mark}`\n\n{field.description} The options of {twin}{extra}.\n"


def _repeats(inner: type[BaseModel], siblings: list[tuple[str, FieldInfo]]) -> bool:
    """Whether a sibling's table already documents these options (`deliver` is `output` with a label)."""
    others = [describe.model_of(field.annotation) for _, field in siblings]
    return any(other is not None and other is not inner and issubclass(inner, other) for other in others)


def _default_cell(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = describe.default_text(field)
    if default is None:
        return "unset"
    return f"`{default}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _preset_tables() -> Iterator[str]:
    yield "## Presets that come with cutoutd\n"
    yield "| Preset | For | Options | Rule it follows |\n|---|---|---|---|"
    for preset in presets.builtin().values():
        options = ", ".join(f"{key} = {describe.toml_text(value)}" for key, value in preset.options.items())
        rule = f"{preset.rule} ([source]({preset.source}))" if preset.source else preset.rule
        yield f"| `{preset.name}` | {_cell(preset.about)} | `{_cell(options)}` | {_cell(rule)} |"
    yield "\n| Pack | For | Its presets |\n|---|---|---|"
    for name, members in presets.packs().items():
        its = ", ".join(f"`{member}`" for member in members)
        yield f"| `{name}` | {_cell(presets.pack_about(name))} | {its} |"
    yield ""


def schema() -> str:
    """The JSON schema of the configuration, for editors that complete and check TOML."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
    # Presets are worked in before validation, and without [[inbox]] the default folders hold.
    document.pop("required", None)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def documents() -> dict[str, str]:
    """Every generated file under docs/ with its text."""
    return {"CONFIG.md": page(), "config.schema.json": schema(), "config.sample.toml": sample()}


def stale(folder: Path) -> list[Path]:
    """The generated files in `folder` that differ from what the settings say now, or are missing."""
    paths = {folder / name: text for name, text in documents().items()}
    return [p for p, text in paths.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; 0 when all is fresh, 1 when `--check` finds a stale one."""
    parser = argparse.ArgumentParser(prog="python -m cutoutd.config.reference", description=main.__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail when a file is stale")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs", help="the folder")
    chosen = parser.parse_args(arguments)
    old = stale(chosen.docs)
    if chosen.write:
        chosen.docs.mkdir(parents=True, exist_ok=True)
        for path in old:
            path.write_text(documents()[path.name], encoding="utf-8")
        return 0
    for path in old:
        sys.stderr.write(f"{path} is stale: run `make docs`\n")
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main())
