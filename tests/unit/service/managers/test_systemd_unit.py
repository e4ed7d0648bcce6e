"""The unit: every line explained, little exposed, exactly the right folders writable."""

from __future__ import annotations

import configparser
import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.config.errors import ServiceError
from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.service.managers.systemd_unit import Directive, Installation, rendered, unit_text, writable_paths

ANALYZE = shutil.which("systemd-analyze")
PROGRAM = ("/opt/cutoutd/bin/cutoutd",)
CONFIG = Path("/etc/cutoutd/config.toml")


def settings(extra: str = "", inbox: str = "/srv/in", outbox: str = "/srv/out") -> Settings:
    return parse_settings(f'[[inbox]]\npath = "{inbox}"\noutbox = "{outbox}"\n{extra}')


def system(chosen: Settings) -> Installation:
    return Installation(PROGRAM, CONFIG, chosen, writable_paths(chosen), user="cutoutd")


def user(chosen: Settings) -> Installation:
    return Installation(PROGRAM, None, chosen, ())


def values(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("make", [system, user])
def test_every_directive_has_its_reason_in_the_line_above(make: Callable[[Settings], Installation]) -> None:
    lines = unit_text(make(settings())).splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"^[A-Z]\w+=", line):
            assert above.startswith("# "), line
            assert above.endswith((".", ")")), line


@pytest.mark.parametrize("make", [system, user])
def test_what_the_promises_rest_on(make: Callable[[Settings], Installation]) -> None:
    text = unit_text(make(settings()))
    for directive in (
        "Type=notify",
        "WatchdogSec=60",
        "Restart=on-failure",
        "StartLimitBurst=5",
        "ExecReload=/bin/sh -c 'kill -HUP $$MAINPID'",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "RestrictAddressFamilies=AF_UNIX",
        "SystemCallArchitectures=native",
        "CPUWeight=50",
        "IOWeight=50",
        "Nice=5",
    ):
        assert f"\n{directive}\n" in text
    assert values(text, "SystemCallFilter") == [
        "@system-service",
        "~@aio",
        "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    ]


def test_stopping_takes_longer_than_the_grace() -> None:
    assert values(unit_text(user(settings().model_copy(update={"stop_grace": 100.0}))), "TimeoutStopSec") == [
        "115"
    ]


def test_resources_come_from_the_settings() -> None:
    text = unit_text(
        user(settings('[service]\ncpu_weight = 20\nio_weight = 30\nmemory_high = "4GB"\nmemory_max = "6GB"'))
    )
    assert values(text, "CPUWeight") == ["20"]
    assert values(text, "IOWeight") == ["30"]
    assert values(text, "MemoryHigh") == ["4000000000"]
    assert values(text, "MemoryMax") == ["6000000000"]
    assert not values(unit_text(user(settings())), "MemoryMax")


@pytest.mark.parametrize(
    ("extra", "paths"),
    [
        ("", ["/srv/out"]),
        ('[inbox.after]\naction = "archive"\narchive = "/srv/old"', ["/srv/out", "/srv/in", "/srv/old"]),
        ('[inbox.after]\nfailed = "/srv/bad"', ["/srv/out", "/srv/in", "/srv/bad"]),
        ('[inbox.after]\naction = "trash"', ["/srv/out", "/srv/in", "/home/u/.local/share/Trash"]),
        ('[inbox.after]\narchive = "/srv/old"', ["/srv/out"]),  # named, but not used
        ('[metrics]\ntextfile = "/var/lib/x/cutoutd.prom"', ["/srv/out", "/var/lib/x"]),
    ],
)
def test_exactly_what_is_needed_is_writable(extra: str, paths: list[str]) -> None:
    found = writable_paths(settings(extra), [Path("/home/u/.local/share/Trash")])
    assert found == tuple(map(Path, paths))
    text = unit_text(replace(system(settings(extra)), writable=found))
    assert values(text, "ReadWritePaths") == [" ".join(f"-{path}" for path in paths)]
    assert values(text, "ProtectSystem") == ["strict"]


def test_odd_names_survive_the_units_syntax() -> None:
    chosen = settings(outbox="/srv/my out 50% $HOME")
    text = unit_text(
        system(chosen.model_copy(update={"inbox": (_named(chosen, '/srv/my "out" 50% $HOME'),)}))
    )
    assert values(text, "ReadWritePaths") == [r'"-/srv/my \"out\" 50%% $HOME"']
    assert values(text, "Environment") == [r'"CUTOUTD_WRITABLE_PATHS=/srv/my \"out\" 50%% $HOME"']
    odd = replace(user(chosen), program=("/opt/a b/cutoutd",), config=Path("/etc/$x%y.toml"))
    assert values(unit_text(odd), "ExecStart") == ['"/opt/a b/cutoutd" run --config /etc/$$x%%y.toml']


def _named(chosen: Settings, outbox: str):  # noqa: ANN202
    return chosen.inbox[0].model_copy(update={"outbox": Path(outbox)})


@pytest.mark.parametrize(
    ("inbox", "home", "private_tmp"),
    [("/srv/in", "yes", ["yes"]), ("/home/ann/in", "read-only", ["yes"]), ("/tmp/in", "yes", [])],  # noqa: S108 - only named
)
def test_homes_and_tmp_are_hidden_unless_they_are_used(inbox: str, home: str, private_tmp: list[str]) -> None:
    text = unit_text(system(settings(inbox=inbox)))
    assert values(text, "ProtectHome") == [home]
    assert values(text, "PrivateTmp") == private_tmp


def test_an_accelerator_gets_its_device_and_its_compiler() -> None:
    text = unit_text(system(settings('[engine]\nproviders = ["cuda", "cpu"]')))
    assert values(text, "PrivateDevices") == ["no"]
    assert not values(text, "MemoryDenyWriteExecute")
    assert values(unit_text(system(settings('[engine]\nproviders = ["cpu"]'))), "PrivateDevices") == ["yes"]


def test_user_units_hold_nothing_that_fails_open_there() -> None:
    text = unit_text(user(settings()))
    for key in ("PrivateNetwork", "ProtectSystem", "ReadWritePaths", "User", "PrivateUsers", "IPAddressDeny"):
        assert not values(text, key)
    assert values(text, "WantedBy") == ["default.target"]
    assert values(unit_text(system(settings())), "WantedBy") == ["multi-user.target"]


@pytest.mark.parametrize("make", [system, user])
def test_sections_stand_once_in_order(make: Callable[[Settings], Installation]) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(unit_text(make(settings())))
    assert parser.sections() == ["Unit", "Service", "Install"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("extra", ["", '[inbox.after]\naction = "archive"\narchive = "/srv/old"'])
def test_exposure_of_the_system_unit(tmp_path: Path, extra: str) -> None:
    assert exposure(tmp_path, unit_text(system(settings(extra)))) <= 1.0


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_exposure_with_folders_in_homes(tmp_path: Path) -> None:
    assert (
        exposure(tmp_path, unit_text(system(settings(inbox="/home/ann/in", outbox="/home/ann/out")))) <= 1.0
    )


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("make", [system, user])
def test_systemd_itself_accepts_every_directive(
    tmp_path: Path, make: Callable[[Settings], Installation]
) -> None:
    true = shutil.which("true") or "/bin/true"
    text = unit_text(replace(make(settings()), program=(true,)))
    path = tmp_path / "cutoutd.service"
    path.write_text(text)
    done = subprocess.run(
        [ANALYZE or "", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "cutoutd.service" in line]
    assert complaints == []


def exposure(folder: Path, text: str) -> float:
    path = folder / "cutoutd.service"
    path.write_text(text)
    done = subprocess.run(
        [ANALYZE or "", "security", "--offline=yes", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


@pytest.mark.parametrize("odd", ["\r", "\n", "\x1b", "\x7f", "\u2028", "\x85", "\u202e", "\udcff"])
def test_a_path_cannot_write_a_line_of_its_own(odd: str) -> None:
    with pytest.raises(ServiceError, match="control characters"):
        rendered({"Service": [Directive("ReadWritePaths", f"/o{odd}ExecStartPre=+/evil", "A reason.")]})
