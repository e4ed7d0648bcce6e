"""The unit of `cutoutd hooks`: it comes back, outlives the daemon, keeps the network and gains no rights."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.config.load import Loaded, parse_settings
from cutoutd.service.managers.manager import Role, Runner
from cutoutd.service.managers.systemd import SystemService, UserService
from cutoutd.service.managers.systemd_hooks_unit import hooks_unit_text
from cutoutd.service.managers.systemd_unit import Installation

ANALYZE = shutil.which("systemd-analyze")
SETTINGS = parse_settings('[[inbox]]\npath = "/srv/in"\noutbox = "/srv/out"\n[[hook]]\ncommand = ["true"]\n')


def system() -> Installation:
    return Installation(
        ("/opt/cutoutd/bin/cutoutd",), Path("/etc/cutoutd/a b.toml"), SETTINGS, (), user="cutoutd"
    )


def user() -> Installation:
    return Installation(("/opt/cutoutd/bin/cutoutd",), None, SETTINGS, ())


@pytest.mark.parametrize("make", [system, user])
def test_what_it_must_say(make: Callable[[], Installation]) -> None:
    text = hooks_unit_text(make())
    for directive in ("Restart=always", "NoNewPrivileges=yes", "KillMode=mixed", "TimeoutStopSec=45"):
        assert f"\n{directive}\n" in text
    assert "PrivateNetwork" not in text, "commands are there to use the network"
    assert ("User=cutoutd" in text) == (make is system)
    command = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    wanted = '/opt/cutoutd/bin/cutoutd hooks --config "/etc/cutoutd/a b.toml"'
    assert command == [wanted if make is system else "/opt/cutoutd/bin/cutoutd hooks"]


@pytest.mark.parametrize("make", [system, user])
def test_every_directive_has_its_reason_in_the_line_above(make: Callable[[], Installation]) -> None:
    for above, line in itertools.pairwise(hooks_unit_text(make()).splitlines()):
        if re.match(r"^[A-Z]\w+=", line):
            assert above.startswith("# "), line


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("make", [system, user])
def test_systemd_itself_accepts_every_directive(tmp_path: Path, make: Callable[[], Installation]) -> None:
    path = tmp_path / "cutoutd-hooks.service"
    path.write_text(hooks_unit_text(replace(make(), program=(shutil.which("true") or "/bin/true",))))
    done = subprocess.run(
        [ANALYZE or "", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "cutoutd-hooks.service" in line] == []


def test_it_lies_beside_the_daemons_unit_and_not_over_it() -> None:
    loaded = Loaded(SETTINGS, Path("/etc/cutoutd/config.toml"), "")
    for kind in (UserService, SystemService):
        hooks = kind(loaded, ("/bin/true",), Runner({}), role=Role.HOOKS)
        assert hooks.installed_path.name == "cutoutd-hooks.service"
        assert hooks.installed_path.parent == kind(loaded, ("/bin/true",), Runner({})).installed_path.parent
