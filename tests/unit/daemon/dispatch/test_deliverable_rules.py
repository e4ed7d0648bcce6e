from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.daemon.dispatch.deliverable_rules import LineError, ListError, chosen, problems_of_list


def settings_of(tmp_path: Path, body: str) -> Settings:
    return parse_settings(
        f'[preset.own]\npreset = "web"\n[[inbox]]\npath = "{tmp_path}/in"\noutbox = "{tmp_path}/out"\n{body}'
    )


def labels(settings: Settings, path: bytes) -> tuple[str, ...]:
    return tuple(one.label for one in chosen(settings.inbox[0], path, settings.preset).deliverables)


def test_a_pipe_or_a_device_in_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    """Each photo left a thread behind that waited for it; what a device gave took all memory."""
    settings = settings_of(tmp_path, f'[[inbox.rule]]\ncsv = "{tmp_path}/list.csv"\n')
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ListError, match="no plain file"):
        labels(settings, b"a.jpg")
    (tmp_path / "list.csv").unlink()
    (tmp_path / "list.csv").symlink_to("/dev/zero")
    with pytest.raises(ListError, match="no plain file"):
        labels(settings, b"a.jpg")


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        '[[inbox.rule]]\nmatch = "shoes/**"\npreset = "web"\n[[inbox.rule]]\nmatch = "*_front.jpg"\npreset = "mask"\n',
    )
    table = {
        b"shoes/a_front.jpg": ("web",),
        b"Shoes/red/b.JPG": ("web",),
        b"hats/a_Front.jpg": ("mask",),
        b"hats/a.jpg": ("cutout",),
        b"shoes.jpg": ("cutout",),
        b"sh\xffoes/a_front.jpg": ("mask",),
    }
    assert {path: labels(settings, path) for path in table} == table
    assert chosen(settings.inbox[0], b"shoes/a.jpg", {}).rule == 'rule 1 (match = "shoes/**")'
    assert chosen(settings.inbox[0], b"a.jpg", {}).rule == ""


def test_a_list_gives_presets_and_names_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    listed = tmp_path / "orders.csv"
    settings = settings_of(
        tmp_path, f'[[inbox.rule]]\ncsv = "{listed}"\n[[inbox.rule]]\nmatch = "*.tif"\npreset = "mask"\n'
    )
    listed.write_text("stem;preset;name\nDSC_1;own;red shoe\nDSC_2;;blue\nDSC_3;marketplaces;hat\n")
    inbox = settings.inbox[0]
    first = chosen(inbox, b"sub/dsc_1.jpg", settings.preset)
    assert [(one.preset, one.format, one.name) for one in first.deliverables] == [("own", "webp", "red shoe")]
    assert first.rule == f"{listed}:2"
    assert [one.name for one in chosen(inbox, b"DSC_2.jpg", settings.preset).deliverables] == ["blue"]
    assert {one.name for one in chosen(inbox, b"DSC_3.jpg", settings.preset).deliverables} == {
        "hat-{deliverable}"
    }
    assert labels(settings, b"other.tif") == ("mask",)
    listed.write_text("stem,preset\nDSC_1,mask\n")
    assert labels(settings, b"DSC_1.jpg") == ("mask",)
    assert labels(settings, b"DSC_2.jpg") == ("cutout",)


def test_a_mistake_in_a_line_is_named_and_costs_that_photo_alone(tmp_path: Path) -> None:
    listed = tmp_path / "orders.csv"
    settings = settings_of(tmp_path, f'[[inbox.rule]]\ncsv = "{listed}"\n')
    listed.write_text("stem,preset,name\na,wep,\nb,web,x/y\nc,web,\n")
    with pytest.raises(LineError, match=r"orders\.csv:2: .*did you mean .web"):
        labels(settings, b"a.jpg")
    with pytest.raises(LineError, match=r"orders\.csv:3: .*slash"):
        labels(settings, b"b.jpg")
    assert labels(settings, b"c.jpg") == ("web",)
    inbox = settings.inbox[0]
    problems = list(problems_of_list(inbox.rule[0], inbox, settings.preset))
    assert [problem.split(": ")[0] for problem in problems] == [f"{listed}:3", f"{listed}:2"]


@pytest.mark.parametrize("content", [None, "", "photo,preset\na,web\n"])
def test_a_list_that_cannot_be_read_says_so_for_every_photo(tmp_path: Path, content: str | None) -> None:
    listed = tmp_path / "orders.csv"
    settings = settings_of(tmp_path, f'[[inbox.rule]]\ncsv = "{listed}"\n')
    if content is not None:
        listed.write_text(content)
    with pytest.raises(ListError, match=r"orders\.csv"):
        labels(settings, b"anything.jpg")
    inbox = settings.inbox[0]
    (problem,) = problems_of_list(inbox.rule[0], inbox, settings.preset)
    assert os.fspath(listed) in problem
