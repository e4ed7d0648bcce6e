"""Where the configuration comes from, and what is said about a wrong one."""

# ruff: noqa: E501 - a table of whole sentences

# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownParameterType=false

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutoutd.config.errors import ConfigError, ExitCode, UsageError
from cutoutd.config.load import find_config, load_settings, parse_settings

GOOD = '[[inbox]]\npath = "/photos/in"\noutbox = "/photos/out"\n'


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, Path("/c.toml"))
    assert caught.value.exit_code == ExitCode.CONFIG
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + 'settel = "1s"', '/c.toml:4: inbox[1].settel: there is no such option here (did you mean "settle"?)'),
        ('settle = "1s"\n' + GOOD, "/c.toml:1: settle: there is no such option here (it belongs under [[inbox]])"),
        ("zzz = 1\n" + GOOD, "/c.toml:1: zzz: there is no such option here"),
        (GOOD + 'order = "newst"', '/c.toml:4: inbox[1].order: "newst" is not one of "oldest" or "newest" (did you mean "newest"?)'),
        (GOOD + "[limits]\nphotos_in_flight = 0", "/c.toml:5: limits.photos_in_flight: 0 is too small: at least 1"),
        (GOOD + "[engine]\nnice = 40", "/c.toml:5: engine.nice: 40 is too large: at most 19"),
        (GOOD + 'rescan_every = "1s"', "/c.toml:4: inbox[1].rescan_every: 1s is too small: at least 10s"),
        (GOOD + '[limits]\nmax_bytes = "huge"', '/c.toml:5: limits.max_bytes: "huge" is not a size: write "500KB", "200MB" or "2GB"'),
        (GOOD + 'recursive = "maybe"', '/c.toml:4: inbox[1].recursive: "maybe" is not true or false'),
        (GOOD + "name = 3", "/c.toml:4: inbox[1].name: 3 is not a text in quotes"),
        (GOOD + 'include = "*.jpg"', '/c.toml:4: inbox[1].include: "*.jpg" is not a list such as ["a", "b"]'),
        (GOOD + '[inbox.matte]\nkeep = "bigest"', '/c.toml:5: inbox[1].matte.keep: "bigest" is not "auto", "all", "largest" or a whole number'),
        (GOOD + "[inbox.matte]\nkeep = 0", "/c.toml:5: inbox[1].matte.keep: 0 is too small: at least 1"),
        (
            GOOD + '[engine]\nproviders = ["cpu",\n "cdua"]',
            '/c.toml:6: engine.providers[2]: "cdua" is not one of "cuda", "coreml", "openvino", "rocm" or "cpu" (did you mean "cuda"?)',
        ),
        ('[[inbox]]\npath = "/a"', "/c.toml:1: inbox[1].outbox: is missing: where cutouts appear; it may not lie inside an inbox"),
        ('[inbox]\npath = "/a"', "/c.toml:1: inbox: write [[inbox]], with double brackets"),
        ('inbox = "/a"', '/c.toml:1: inbox: "/a" is not a table: write [[inbox]] and its options on the lines below'),
        (GOOD + "[engine]\nproviders = []", '/c.toml:5: engine.providers: names no provider: write "auto", or a list such as ["cuda", "cpu"]'),
        (GOOD.replace("/photos/in", "~no-such-user/in"), '/c.toml:2: inbox[1].path: "~no-such-user/in" starts in a home folder that nobody has here: write the whole path'),
        ("inbox = []", "/c.toml:1: inbox: is empty: write at least one [[inbox]] table"),
        (GOOD + 'after = "trash"', '/c.toml:4: inbox[1].after: "trash" is not a table: write [inbox.after] and its options on the lines below'),
        (GOOD + '[inbox.after]\naction = "archive"', '/c.toml:4: inbox[1].after: action = "archive" needs archive = "FOLDER"'),
        (GOOD + '[inbox.output]\nformat = "jpeg"', '/c.toml:4: inbox[1].output: JPEG has no transparency: write background = "white", or format = "png"'),
        (GOOD + '[inbox.output]\npreset = "amazn"', '/c.toml:5: inbox[1].output.preset: there is no preset "amazn"; did you mean "amazon"?'),
        (GOOD + "[preset.mine]\nqality = 3", '/c.toml:5: preset.mine.qality: there is no such option here (did you mean "quality"?)'),
        (GOOD + "[preset.mine]\nquality = 300", "/c.toml:5: preset.mine.quality: 300 is too large: at most 100"),
        (GOOD.replace("/photos/in", "$NO_SUCH_VARIABLE/in"), '/c.toml:2: inbox[1].path: "$NO_SUCH_VARIABLE/in" names an environment variable that is not set'),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_sentence(text: str, said: str) -> None:
    assert problems(text) == [said]


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = 'stop_grase = 1\n[[inbox]]\npath = "/a"\nsettel = 1\n[limits]\nmax_megapixels = -1\n'
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["/c.toml:1", "stop_grase"],
        ["/c.toml:2", "inbox[1].outbox"],
        ["/c.toml:4", "inbox[1].settel"],
        ["/c.toml:6", "limits.max_megapixels"],
    ]


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("[x\n", "/c.toml:1: not valid TOML, column 3:", "expected ']'"),
        ('a = 1\nb = "C:\\x"', "/c.toml:2: not valid TOML", "a path with backslashes goes in single quotes"),
        ("a = 1\na = 2\n", "/c.toml:2: not valid TOML", "written twice"),
        ('a = """', "/c.toml:1: not valid TOML", "unterminated string"),
    ],
)
def test_syntax_errors_have_a_line(text: str, start: str, words: str) -> None:
    (line,) = problems(text)
    assert line.startswith(start)
    assert words in line


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"# ok\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r":2: not UTF-8: save the file as UTF-8"):
        load_settings(path)


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_settings(path).settings.inbox[0].path == Path("/photos/in")


def test_mistakes_after_a_pack_keep_their_own_numbers() -> None:
    text = GOOD + 'deliver = [{ preset = "marketplaces" },\n { label = "x", qualty = 3 }]'
    assert problems(text) == [
        '/c.toml:5: inbox[1].deliver[2].qualty: there is no such option here (did you mean "quality"?)'
    ]


def test_a_pack_becomes_one_deliverable_per_preset() -> None:
    settings = parse_settings(GOOD + '[[inbox.deliver]]\npreset = "marketplaces"\nquality = 77')
    orders = settings.inbox[0].deliverables()
    assert {order.quality for order in orders} == {77}
    assert [order.label for order in orders] == [order.preset for order in orders]
    assert len(orders) > 2


def test_own_presets_build_on_others() -> None:
    text = GOOD + '[inbox.output]\npreset = "shop"\n[preset.shop]\npreset = "product-white"\nmargin = "5%"'
    output = parse_settings(text).inbox[0].output
    assert (output.background, output.margin) == ("white", "5%")


def test_a_background_path_starts_at_the_file_through_presets_too(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    text = '[inbox.output]\npreset = "shop"\n[preset.shop]\nbackground = "sets/sky.jpg"\n'
    text += '[[inbox.deliver]]\nbackground = "sea.png"'
    config.write_text(GOOD + text)
    inbox = load_settings(config).settings.inbox[0]
    assert inbox.output.background_path == tmp_path / "sets" / "sky.jpg"
    assert [order.background_path for order in inbox.deliverables()] == [tmp_path / "sea.png"]


# Which file


def test_without_any_file_the_default_folders_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cutoutd.config.places.config_candidates", lambda _environ: (tmp_path / "none.toml",))
    monkeypatch.setattr("cutoutd.config.places.pictures_dir", lambda: tmp_path / "Pictures")
    loaded = load_settings(environ={})
    assert (loaded.path, loaded.digest) == (None, "")
    (inbox,) = loaded.settings.inbox
    assert inbox.path == tmp_path / "Pictures/Cutouts/Inbox"
    assert inbox.outbox == tmp_path / "Pictures/Cutouts/Outbox"


def test_a_file_without_inboxes_keeps_the_default_ones(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[engine]\nnice = 11\n")
    settings = load_settings(path).settings
    assert settings.engine.nice == 11
    assert settings.inbox[0].path.parts[-2:] == ("Cutouts", "Inbox")


def test_order_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explicit, user, variable = tmp_path / "e.toml", tmp_path / "xdg/cutoutd/config.toml", tmp_path / "v.toml"
    user.parent.mkdir(parents=True)
    for number, path in enumerate((explicit, user, variable)):
        path.write_text(f"[engine]\nnice = {number}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("platformdirs.user_config_path", lambda _app: user.parent)
    environ = {"CUTOUTD_CONFIG": str(variable)}
    assert load_settings(explicit, environ=environ).path == explicit
    assert load_settings(environ=environ).path == variable
    assert load_settings(environ={}).path == user


@pytest.mark.parametrize("environ", [{}, {"CUTOUTD_CONFIG": "/no/such/file.toml"}])
def test_a_named_file_must_exist(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="there is no such config file"):
        find_config(None if environ else Path("/no/such/file.toml"), environ)


def test_what_lies_in_the_place_of_the_file_holds_up_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no plain file"):
        load_settings(path, anew=True)
    path.unlink()
    path.write_text(" \n")
    with pytest.raises(ConfigError, match="empty"):
        load_settings(path, anew=True)
    assert load_settings(path).settings.inbox  # a start with one is a start with the defaults


def test_a_pipe_is_read_at_a_start(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b'[[inbox]]\npath = "/in"\noutbox = "/out"\n')
    os.close(write)
    assert load_settings(Path(f"/dev/fd/{read}")).settings.inbox[0].path == Path("/in")
    os.close(read)


def test_brackets_without_an_end_are_a_mistake_and_no_crash() -> None:
    with pytest.raises(ConfigError, match="too deeply"):
        parse_settings("a = " + "[" * 100_000)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)


def test_the_digest_follows_the_text(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    first = load_settings(path).digest
    assert load_settings(path).digest == first
    path.write_text(GOOD + "# changed\n")
    assert load_settings(path).digest != first


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[[inbox]]\npath = "in"\noutbox = "../out"\n')
    (inbox,) = load_settings(path).settings.inbox
    assert inbox.path == tmp_path / "in"
    assert inbox.outbox == tmp_path.parent / "out"


# The command line


def test_the_command_line_replaces_inboxes_and_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD + "[engine]\nnice = 3\n")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(path, inbox=Path("a"), outbox=Path("b"), model="u2netp").settings
    (inbox,) = settings.inbox
    assert (inbox.path, inbox.outbox, inbox.model) == (tmp_path / "a", tmp_path / "b", "u2netp")
    assert settings.engine.nice == 3


def test_an_inbox_needs_its_outbox() -> None:
    with pytest.raises(UsageError, match="Give both --inbox and --outbox"):
        load_settings(inbox=Path("a"))


# Folders that do not fit together


def config(*inboxes: tuple[Path, Path, str]) -> str:
    return "".join(f'[[inbox]]\npath = "{i}"\noutbox = "{o}"\n{extra}\n' for i, o, extra in inboxes)


@pytest.mark.parametrize(
    ("extra", "key", "what"),
    [
        ("", "outbox", "the outbox"),
        ('after = { action = "archive", archive = "{in}/old" }', "after.archive", "the archive"),
        ('after = { failed = "{in}/bad" }', "after.failed", "the folder for failed photos"),
    ],
)
def test_nothing_is_delivered_into_an_inbox(tmp_path: Path, extra: str, key: str, what: str) -> None:
    inbox = tmp_path / "in"
    outbox = tmp_path / "out" if extra else inbox / "out"
    (line,) = problems(config((inbox, outbox, extra.replace("{in}", str(inbox)))))
    assert f"inbox[1].{key}: {what} {inbox}/" in line
    assert "choose a folder beside the inbox" in line


def test_symbolic_links_are_seen_through(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    (tmp_path / "elsewhere").symlink_to(inbox)
    (line,) = problems(config((inbox, tmp_path / "elsewhere" / "out", "")))
    assert "lies inside the inbox" in line


@pytest.mark.parametrize(
    "table",
    [
        'review = "two"',
        '[[inbox.deliver]]\nfolder = "two/{date}"',
        '[[inbox.rule]]\nmatch = "a*"\n[[inbox.rule.deliver]]\nlabel = "two"\nfolder = "{deliverable}"',
    ],
)
def test_cutouts_in_a_sub_folder_that_is_an_inbox_would_be_cut_out_for_ever(
    tmp_path: Path, table: str
) -> None:
    (line,) = problems(config((tmp_path / "out/two", tmp_path / "out", table)))
    assert "the outbox's sub-folder" in line
    assert "lies inside the inbox" in line


def test_one_inbox_twice(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    (tmp_path / "same").symlink_to(inbox)
    (line,) = problems(config((inbox, tmp_path / "o1", ""), (tmp_path / "same", tmp_path / "o2", "")))
    assert line.startswith("/c.toml:6: inbox[2].path:")
    assert "is watched twice" in line


@pytest.mark.parametrize("outer_first", [True, False])
def test_nested_inboxes(tmp_path: Path, outer_first: bool) -> None:
    pair = [(tmp_path / "in", tmp_path / "o1", ""), (tmp_path / "in/deep", tmp_path / "o2", "")]
    (line,) = problems(config(*(pair if outer_first else reversed(pair))))
    assert f"the inbox {tmp_path}/in/deep lies inside the inbox {tmp_path}/in," in line
    flat = [(path, out, "recursive = false") for path, out, _ in pair]
    assert len(parse_settings(config(*flat)).inbox) == 2


def test_neighbours_with_alike_names_are_fine(tmp_path: Path) -> None:
    pair = [(tmp_path / "in", tmp_path / "in-out", ""), (tmp_path / "in2", tmp_path / "in-out", "")]
    assert len(parse_settings(config(*pair)).inbox) == 2


@pytest.mark.parametrize("written", [None, 'stop_grace = "1s"\n[[inbox]]\npath = "a"\noutbox = "b"\n'])
def test_folders_from_the_command_line_name_their_option_and_no_file(
    tmp_path: Path, written: str | None
) -> None:
    """A line of a file was named that says nothing of them."""
    file = None
    if written is not None:
        file = tmp_path / "c.toml"
        file.write_text(written)
    with pytest.raises(ConfigError) as caught:
        load_settings(
            file, inbox=tmp_path / "in", outbox=tmp_path / "in" / "out", environ={"CUTOUTD_CONFIG": ""}
        )
    (problem,) = caught.value.problems
    assert problem.startswith(f"--outbox: the outbox {tmp_path}/in/out lies inside the inbox {tmp_path}/in")


def test_a_config_that_may_not_be_looked_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As below another user's home, which `sudo -u` leaves in $HOME; root may look everywhere."""

    def closed(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", closed)
    for environ in ({"HOME": str(tmp_path)}, {"CUTOUTD_CONFIG": str(tmp_path / "c.toml")}):
        with pytest.raises(ConfigError, match=r"Permission denied.*\$HOME"):
            load_settings(environ=environ)
