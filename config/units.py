"""Durations, sizes and folders as people write them, for every setting; it does not read files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

# A hundred years, and as many bytes as any file system counts: more is a slip, and nothing here could wait or count so.
_MOST_S = 36_500 * 86_400
_MOST_BYTES = 2**63 - 1
# No option's number has more.
_MOST_DIGITS = 18
_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_duration_s(value: Any) -> Any:
    """Seconds from `"750ms"`, `"10m"`, `"1h30m"` or a plain number of seconds; other types pass through.

    Raises:
        ValueError: when it is no duration, or no finite one.
    """
    seconds = _seconds(value)
    if isinstance(seconds, int | float) and not seconds <= _MOST_S:
        raise ValueError(f"{_shown(value)} is too long: write at most {format_duration(_MOST_S)}")
    return seconds


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return _no_truth(value, 'is not a duration: write "750ms", "10s", "5m", "2h" or "30d"')
    text = value.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f'"{value}" is not a duration: write "750ms", "10s", "5m", "2h" or "30d"')
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def whole_number(text: str) -> int | None:
    """The number that some digits are; None for anything else, and for more digits than any option has."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else None


def parse_bytes(value: Any) -> Any:
    """Bytes from `"200MB"`, `"2 GiB"` or a plain number of bytes; other types pass through.

    Raises:
        ValueError: when it is no size, or no finite one.
    """
    count = _count(value)
    if isinstance(count, int | float) and not count <= _MOST_BYTES:
        raise ValueError(f"{_shown(value)} is too large: write at most {format_bytes(10**18)}")
    return int(count) if isinstance(value, str) else count


def _count(value: Any) -> Any:
    if not isinstance(value, str):
        return _no_truth(value, 'is not a size: write "500KB", "200MB" or "2GB"')
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?i?b)", value.strip().lower().replace(" ", ""))
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(f'"{value}" is not a size: write "500KB", "200MB" or "2GB"')
    return float(match[1]) * _SIZE_UNITS[match[2]]


def _no_truth(value: Any, words: str) -> Any:
    """The value, unless it is true or false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} {words}")  # noqa: TRY004 - pydantic asks for it
    return value


def _shown(value: Any) -> str:
    """A value in a sentence; a number of hundreds of digits as its beginning."""
    if isinstance(value, int) and abs(value) > 10**40:
        return "this number"
    text = f'"{value}"' if isinstance(value, str) else f"{value}"
    return text if len(text) <= 60 else f"{text[:59]}…"


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration_s` reads back as the same number."""
    if 0 < seconds < 1:
        return f"{_plain(seconds * 1000)}ms"
    unit = _largest_whole(seconds, _DURATION_UNITS_S, ("d", "h", "m"))
    return f"{_plain(seconds / _DURATION_UNITS_S[unit])}{unit}" if unit else f"{_plain(seconds)}s"


def format_bytes(count: float) -> str:
    """The shortest text that `parse_bytes` reads back as the same number."""
    unit = _largest_whole(count, _SIZE_UNITS, ("gb", "mb", "kb"))
    return f"{_plain(count / _SIZE_UNITS[unit])}{unit.upper()}" if unit else f"{_plain(count)}B"


def _largest_whole(number: float, sizes: Mapping[str, float], units: Iterable[str]) -> str:
    """The first of these units of which the number is a whole multiple; empty when it is of none."""
    return next((unit for unit in units if number >= sizes[unit] and number % sizes[unit] == 0), "")


def _plain(number: float) -> str:
    """All digits of a number without an exponent, which the parsers do not read."""
    exact = Decimal(repr(number))
    return f"{exact.normalize():f}"


# Key of pydantic's validation context under which load.py names the folder of the config file.
BASE_FOLDER = "base_folder"


def expand_path(value: Any, base: Path = Path()) -> Any:
    """An absolute path with `~` and environment variables expanded; other types pass through.

    A relative path starts at `base`, by default the working directory.

    Raises:
        ValueError: when the path is empty, names a variable that is not set, or starts in no known home folder.
    """
    if not isinstance(value, str | Path):
        return value
    text = os.path.expandvars(str(value))
    if not text.strip():
        raise ValueError("the path is empty")
    if "\0" in text:
        raise ValueError("the path holds a null character, and no file is called so")
    if re.search(r"\$(\w+|\{\w+\})", text):
        raise ValueError(f'"{value}" names an environment variable that is not set')
    try:
        expanded = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f'"{value}" starts in a home folder that nobody has here: write the whole path'
        ) from error
    return Path(os.path.abspath(Path(base, expanded)))  # noqa: PTH100 - keeps symbolic links as named


def _folder(value: Any, info: ValidationInfo) -> Any:
    """A path in a config file starts at that file: a daemon's working directory is no place to rely on."""
    context: dict[str, Any] = info.context or {}
    return expand_path(value, context.get(BASE_FOLDER, Path()))


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration_s),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "number"], "examples": ["750ms", "10s", "5m", "30d"]}),
]
ByteCount = Annotated[
    int,
    BeforeValidator(parse_bytes),
    PlainSerializer(format_bytes, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["200MB", "2GB"]}),
]
Folder = Annotated[Path, BeforeValidator(_folder)]
Percent = Annotated[float, Field(ge=0, le=100)]
