"""The line of every key, in the awkward corners of TOML too."""

# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.config.locate import DEEPEST, Place, line_of, locate

DOCUMENT = """\
# a comment = with an equals sign
stop_grace = "30s"  # and [brackets]
text = \"\"\"
[[inbox]]
not_a_key = 1 \\"
\"\"\"
raw = '''
x = 1''''

[[inbox]]
path = "a"
"quoted key".dotted = 1
deliver = [
  { label = "one", size = "1]" },  # [ comment

  { label = 'two' },
]

[inbox.output]
margin = 3

[[inbox]]
path = "b"
include = ["*.jpg",
  "*.png"]
[inbox.matte]
keep = { deep = { deeper = [1, [2,
 3]] } }
[limits]
when = 1979-05-27T07:32:00Z
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("stop_grace",), 2),
        (("text",), 3),
        (("raw",), 7),
        (("inbox",), 10),
        (("inbox", 0), 10),
        (("inbox", 0, "path"), 11),
        (("inbox", 0, "quoted key", "dotted"), 12),
        (("inbox", 0, "deliver", 0, "size"), 14),
        (("inbox", 0, "deliver", 1), 16),
        (("inbox", 0, "output"), 19),
        (("inbox", 0, "output", "margin"), 20),
        (("inbox", 1), 22),
        (("inbox", 1, "include", 1), 25),
        (("inbox", 1, "matte", "keep", "deep", "deeper", 1, 1), 28),
        (("limits", "when"), 30),
    ],
)
def test_line_of_each_key(place: Place, line: int) -> None:
    assert locate(DOCUMENT)[place] == line


def test_places_are_exactly_those_that_tomllib_sees() -> None:
    assert set(locate(DOCUMENT)) == set(_places(tomllib.loads(DOCUMENT)))


def test_a_missing_key_is_found_at_the_nearest_table() -> None:
    lines = locate(DOCUMENT)
    assert line_of(lines, ("inbox", 1, "outbox")) == 22
    assert line_of(lines, ("engine", "nice")) == 1


def _places(value: Any, at: Place = ()) -> list[Place]:
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*at, index))
    return found


KEYS = st.text(alphabet='ab_-."\\\n#=é', min_size=1, max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.booleans() | st.text(alphabet="a]}\"'#,=\n[", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_document_is_scanned_without_losing_a_key(document: dict[str, Any]) -> None:
    text = "\n".join(f"{_string(key)} = {_write(value)} # end" for key, value in document.items())
    assert tomllib.loads(text) == document
    assert set(locate(text)) == set(_places(document))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return "[" + ",\n ".join(_write(inner) for inner in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(k)} = {_write(v)}" for k, v in value.items()) + "}"
    return str(value)


@pytest.mark.parametrize("text", ["[{}]\nx = 1\n", "[[{}]]\nx.y = 1\n", "{} = 1\n", "a = {{ {} = 1 }}\n"])
def test_what_is_written_deeper_than_any_option_has_the_line_of_what_it_lies_in(text: str) -> None:
    """Each place of such a key would hold all names before it: gigabytes."""
    names = ("a",) * 2000
    lines = locate("\n" + text.format(".".join(names)))
    assert len(lines) <= 2 * DEEPEST
    assert line_of(lines, (*names, "x")) == 2
