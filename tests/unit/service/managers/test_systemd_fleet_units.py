"""The units of a fleet's scheduler and node, and what a fleet changes in the daemon's own."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from cutoutd.config.load import Loaded, parse_settings
from cutoutd.service.cli.app import cutoutd
from cutoutd.service.managers.manager import Role, Runner
from cutoutd.service.managers.systemd import SystemService, UserService
from cutoutd.service.managers.systemd_fleet_units import node_unit_text, scheduler_unit_text
from cutoutd.service.managers.systemd_unit import Installation, unit_text

ANALYZE = shutil.which("systemd-analyze")
PLAIN = '[[inbox]]\npath = "/srv/in"\noutbox = "/srv/out"\n'
SETTINGS = parse_settings(
    PLAIN + '[fleet]\nscheduler = "tls://head:8786"\ncertificates = "/etc/cutoutd/fleet"\n'
)
NODE = Path("/etc/cutoutd/node")


def installation(user: str | None, *writable: Path) -> Installation:
    return Installation(
        ("/opt/cutoutd/bin/cutoutd",), Path("/etc/cutoutd/c.toml"), SETTINGS, writable, user=user
    )


TEXTS: dict[str, Callable[[str | None], str]] = {
    "cutoutd-scheduler": lambda user: scheduler_unit_text(installation(user)),
    "cutoutd-node": lambda user: node_unit_text(installation(user, Path("/mnt/out")), NODE),
    "cutoutd": lambda user: unit_text(installation(user, Path("/srv/out"))),
}


@pytest.mark.parametrize("user", ["cutoutd", None])
@pytest.mark.parametrize("name", list(TEXTS))
def test_every_directive_has_its_reason_in_the_line_above(name: str, user: str | None) -> None:
    for above, line in itertools.pairwise(TEXTS[name](user).splitlines()):
        if re.match(r"^[A-Z]\w+=", line):
            assert above.startswith("# "), line


@pytest.mark.parametrize("user", ["cutoutd", None])
@pytest.mark.parametrize("name", list(TEXTS))
def test_they_can_reach_the_fleet(name: str, user: str | None) -> None:
    text = TEXTS[name](user)
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6" in text
    assert "PrivateNetwork" not in text
    assert "NoNewPrivileges=yes" in text
    assert ("ProtectSystem=strict" in text) == (user is not None)


def test_without_a_fleet_the_daemons_unit_keeps_its_walls() -> None:
    text = unit_text(replace(installation("cutoutd"), settings=parse_settings(PLAIN)))
    assert "RestrictAddressFamilies=AF_UNIX\n" in text
    assert "PrivateNetwork=yes" in text
    assert "IPAddressDeny=any" in text


def test_a_node_writes_in_its_outboxes_alone() -> None:
    text = TEXTS["cutoutd-node"]("cutoutd")
    assert "ReadWritePaths=-/mnt/out\n" in text
    assert f"fleet node --from {NODE}\n" in text
    assert "ReadWritePaths" not in TEXTS["cutoutd-scheduler"]("cutoutd")
    assert "fleet scheduler --config /etc/cutoutd/c.toml\n" in TEXTS["cutoutd-scheduler"]("cutoutd")


@pytest.mark.slow
@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", ["root", None])
@pytest.mark.parametrize("name", list(TEXTS))
def test_systemd_itself_accepts_every_directive(tmp_path: Path, name: str, user: str | None) -> None:
    path = tmp_path / f"{name}.service"
    path.write_text(
        TEXTS[name](user).replace("/opt/cutoutd/bin/cutoutd", shutil.which("true") or "/bin/true")
    )
    done = subprocess.run(
        [ANALYZE or "", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if path.name in line] == []


def test_they_lie_beside_the_daemons_unit() -> None:
    loaded = Loaded(SETTINGS, Path("/etc/cutoutd/c.toml"), "")
    for kind in (UserService, SystemService):
        made = [kind(loaded, ("/bin/true",), Runner({}), role=role) for role in (Role.SCHEDULER, Role.NODE)]
        assert [one.installed_path.name for one in made] == [
            "cutoutd-scheduler.service",
            "cutoutd-node.service",
        ]


def test_a_node_is_installed_from_its_folder(tmp_path: Path) -> None:
    run = CliRunner().invoke
    print_node = ["service", "install", "--role", "node", "--print"]
    assert "--from" in str(run(cutoutd, print_node).exception)
    (tmp_path / "node.toml").write_text(
        'name = "anna"\nscheduler = "tls://h:1"\n[[folder]]\nhead = "/o"\nhere = "/mnt/o"\nwrite = true\n'
    )
    shown = run(cutoutd, [*print_node, "--from", str(tmp_path)])
    assert f"--from {tmp_path}" in shown.output, shown.exception
    config = tmp_path / "c.toml"
    config.write_text(PLAIN)
    refused = run(cutoutd, ["service", "install", "--role", "scheduler", "--print", "--config", str(config)])
    assert "[fleet]" in str(refused.output) + str(refused.exception)
