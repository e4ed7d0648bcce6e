"""cutoutd as a service of real systemd: installed from its wheel, killed, stalled, reloaded, uninstalled.

Slow (a few minutes the first time, then about two): it boots a machine. Skipped, with the reason, where that
cannot be done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.endtoend.machine import Machine, make_root, wait_until, why_not

REASON = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(REASON), reason=REASON or "can run"),
    pytest.mark.xdist_group("machine"),  # one after the other: the first makes the root file system of all
]

INBOX, OUTBOX = "Pictures/Cutouts/Inbox", "Pictures/Cutouts/Outbox"
# A cutout takes a second or two on an idle machine; here several tests share few cores.
CUTOUT_S = 60
PHOTO = "/var/lib/photo.jpg"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    data = pytest.importorskip("skimage.data", reason="scikit-image has the test photos")
    scratch = tmp_path_factory.mktemp("machine")
    one = Machine(scratch)
    try:
        one.prepare(make_root())
        (one.root / "var/lib").mkdir(exist_ok=True)
        Image.fromarray(data.astronaut()).save(one.root / PHOTO.lstrip("/"))
        one.boot()
        one.run("useradd", "--create-home", "ann")
        one.run("loginctl", "enable-linger", "ann")
        assert wait_until(
            lambda: one.run("test", "-S", "/run/user/1000/bus", check=False).returncode == 0, 30
        )
        yield one
    finally:
        one.end()


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """Ann's user service, with folders and ledger of its own, running."""
    machine.run("rm", "-rf", "Pictures", ".local/state/cutoutd", ".config/cutoutd", user="ann")
    machine.run("cutoutd", "init", user="ann")
    thrifty(machine, "home/ann/.config/cutoutd/config.toml")
    done = machine.run("cutoutd", "service", "install", user="ann", check=False)
    assert done.returncode == 0, done.stderr + logs(machine)
    yield machine
    machine.run("cutoutd", "service", "uninstall", user="ann", check=False)
    machine.run("rm", "-rf", ".config/systemd/user/cutoutd.service.d", user="ann")
    machine.run("systemctl", "--user", "daemon-reload", user="ann")


def thrifty(machine: Machine, config: str) -> None:
    """One worker with the smaller network: each of the services' starts takes a core a second and a half less."""
    path = machine.root / config.lstrip("/")
    text = path.read_text()
    for table, line in (("[engine]\n", "workers = 1\n"), ("[[inbox]]\n", 'quality = "fast"\n')):
        assert table in text
        text = text.replace(table, table + line, 1)
    path.write_text(text)


def drop(machine: Machine, *names: str, inbox: str = INBOX) -> None:
    """All by one shell: a login for each takes as long as its cutout."""
    copies = "\n".join(f"cp {PHOTO} '{inbox}/{name}'" for name in names)
    machine.run("sh", "-ec", copies, user="ann")


def listing(machine: Machine, folder: str = OUTBOX) -> list[str]:
    """What `ls` shows in a folder, in Ann's home if it is relative; seen from outside, which costs no login."""
    there = machine.root / "home/ann" / folder if folder[0] != "/" else machine.root / folder[1:]
    return sorted(path.name for path in there.iterdir() if path.name[0] != ".") if there.is_dir() else []


def appears(machine: Machine, *names: str, folder: str = OUTBOX) -> bool:
    return wait_until(lambda: set(names) <= set(listing(machine, folder)), CUTOUT_S)


def state(machine: Machine, *flags: str, user: str = "ann") -> dict[str, Any]:
    shown = machine.run("cutoutd", "service", "status", "--json", *flags, user=user, check=False)
    return json.loads(shown.stdout)


def logs(machine: Machine, *flags: str, user: str = "ann") -> str:
    return machine.run("cutoutd", "service", "logs", "-n", "200", *flags, user=user).stdout


def is_gone(machine: Machine, pid: int) -> bool:
    """Whether a process has ended; asked over and over, `service status` would cost a core."""
    return machine.run("test", "-d", f"/proc/{pid}", check=False).returncode != 0


def kill(machine: Machine, signal: str, pid: int | str) -> None:
    # The shell's own: a minimal Debian has no program of that name.
    machine.run("sh", "-c", f"kill -{signal} {pid}")


def whole(path: Path) -> bool:
    """A finished cutout: the subject opaque, the background gone."""
    with Image.open(path) as cutout:
        cutout.load()
        alpha = cutout.getchannel("A")
        centre = alpha.getpixel((cutout.width // 2, cutout.height // 2))
        return alpha.getextrema() == (0, 255) and isinstance(centre, int) and centre > 250


def test_a_users_service_from_installation_to_removal(service: Machine) -> None:
    again = service.run("cutoutd", "service", "install", user="ann").stdout
    assert "the unit was up to date" in again
    before = state(service)
    assert (before["installed"], before["enabled"], before["running"]) == (True, True, True)
    drop(service, "DSC_1.jpg")
    assert appears(service, "DSC_1.png")
    assert whole(service.root / f"home/ann/{OUTBOX}/DSC_1.png")
    assert wait_until(lambda: state(service)["text"] == "1 done", 20)
    assert state(service)["pid"] == before["pid"]
    said = logs(service)
    assert "ready" in said
    assert "DSC_1.jpg" in said
    assert "Landlock" in said

    service.run("cutoutd", "service", "stop", user="ann")
    assert not state(service)["running"]
    drop(service, "DSC_2.jpg")
    service.run("cutoutd", "service", "start", user="ann")
    assert appears(service, "DSC_2.png")  # what came while it was down is owed

    service.run("cutoutd", "service", "uninstall", user="ann")
    assert not state(service)["installed"]
    assert listing(service, INBOX) == ["DSC_1.jpg", "DSC_2.jpg"]
    assert listing(service) == ["DSC_1.png", "DSC_2.png"]
    service.run("test", "-f", ".config/cutoutd/config.toml", user="ann")
    assert "nothing to remove" in service.run("cutoutd", "service", "uninstall", user="ann").stdout


def test_a_killed_daemon_comes_back_and_finishes_the_rest(service: Machine) -> None:
    names = [
        f"IMG_{number}" for number in range(10, 40)
    ]  # seconds of work: some are left when the kill arrives
    first = state(service)
    drop(service, *(f"{name}.jpg" for name in names))
    assert wait_until(lambda: listing(service), CUTOUT_S)
    kill(service, "KILL", first["pid"])
    assert len(listing(service)) < len(names)
    assert appears(service, *(f"{name}.png" for name in names))
    assert listing(service) == [f"{name}.png" for name in names]  # each once, and no temporary left
    after = state(service)
    assert after["restarts"] == 1
    assert after["pid"] != first["pid"]
    for name in names:
        assert whole(service.root / f"home/ann/{OUTBOX}/{name}.png")


@pytest.mark.thorough  # workers are killed by dozens elsewhere, without a machine
def test_a_killed_worker_does_not_stop_the_service(service: Machine) -> None:
    pid = state(service)["pid"]
    workers = service.run("sh", "-c", f"cat /proc/{pid}/task/*/children").stdout.split()
    adjusted = {service.run("cat", f"/proc/{worker}/oom_score_adj").stdout.strip() for worker in workers}
    assert "1000" in adjusted
    for worker in workers:
        kill(service, "KILL", worker)
    drop(service, "DSC_9.jpg")
    assert appears(service, "DSC_9.png")
    after = state(service)
    assert (after["pid"], after["restarts"]) == (pid, 0)


@pytest.mark.thorough  # it waits for the watchdog twice
def test_a_stalled_daemon_is_restarted_by_the_watchdog(service: Machine) -> None:
    # The unit's own 60 s, shortened so that the test ends soon; the daemon says every 5 s that it is well.
    drop_in = "home/ann/.config/systemd/user/cutoutd.service.d/test.conf"
    service.write(drop_in, "[Service]\nWatchdogSec=12\nTimeoutAbortSec=2\nRestartSec=1\n")
    service.run("chown", "-R", "ann:ann", "/home/ann/.config/systemd")
    service.run("systemctl", "--user", "daemon-reload", user="ann")
    service.run("cutoutd", "service", "restart", user="ann")
    pid = state(service)["pid"]
    # Healthy and idle for longer than the limit: the watchdog is fed.
    assert not wait_until(lambda: is_gone(service, pid), 15)
    assert state(service)["pid"] == pid
    kill(service, "STOP", pid)
    assert wait_until(lambda: is_gone(service, pid), 60)
    assert wait_until(lambda: (now := state(service))["running"] and now["pid"] not in {0, pid}, 30)
    assert "atchdog" in service.run("journalctl", "--quiet", "--no-pager", "-b").stdout
    drop(service, "DSC_5.jpg")
    assert appears(service, "DSC_5.png")


@pytest.mark.thorough  # the hardened service below is reloaded too
def test_a_changed_config_is_taken_up_and_a_broken_one_is_not(service: Machine) -> None:
    config = ".config/cutoutd/config.toml"
    pid = state(service)["pid"]
    service.run("mkdir", "-p", "second/in", "second/out", user="ann")
    original = service.run("cat", config, user="ann").stdout
    more = '\n[[inbox]]\npath = "~/second/in"\noutbox = "~/second/out"\n'
    service.write(f"home/ann/{config}", original + more)
    service.run("systemctl", "--user", "reload", "cutoutd.service", user="ann")
    drop(service, "a.jpg", inbox="second/in")
    assert appears(service, "a.png", folder="second/out")

    service.write(f"home/ann/{config}", original + more + 'order = "newst"\n')
    service.run("systemctl", "--user", "reload", "cutoutd.service", user="ann")
    assert wait_until(lambda: 'did you mean "newest"?' in logs(service), 20)
    drop(service, "b.jpg", inbox="second/in")
    assert appears(service, "b.png", folder="second/out")
    assert state(service)["pid"] == pid


def test_a_hardened_system_service(machine: Machine) -> None:
    machine.run("mkdir", "-p", "/srv/studio")
    config = "/etc/cutoutd/config.toml"
    machine.run("cutoutd", "init", "-c", config, "--inbox", "/srv/studio/in", "--outbox", "/srv/studio/out")
    machine.run("rmdir", "/srv/studio/in", "/srv/studio/out")  # so that the installation makes them
    thrifty(machine, config)
    try:
        said = machine.run("cutoutd", "service", "install", "--system").stdout
        assert "usermod -aG cutoutd" in said
        machine.run("cp", PHOTO, "/srv/studio/in/")
        assert appears(machine, "photo.png", folder="/srv/studio/out")
        facts = machine.run("stat", "-c", "%U %a", "/srv/studio/out/photo.png").stdout.split()
        assert facts == ["cutoutd", "640"]
        _is_confined(machine, state(machine, "--system", user="root")["pid"])
        _keeps_to_its_folders(machine, config)
    finally:
        machine.run("cutoutd", "service", "uninstall", "--system")
    assert not state(machine, "--system", user="root")["installed"]
    machine.run("test", "-f", config)
    machine.run("test", "-f", "/var/lib/cutoutd/ledger.sqlite")
    assert "photo.png" in listing(machine, "/srv/studio/out")


@pytest.mark.thorough  # three services more, and what they need installed
def test_a_fleets_hardened_services(machine: Machine) -> None:
    """Scheduler, node and head on one machine: the units let through what each needs, and start it anew."""
    pytest.importorskip("distributed", reason="the extra fleet is not installed")
    machine.add("distributed", "cryptography")
    config, folder = "/etc/cutoutd/config.toml", "/etc/cutoutd/fleet"
    machine.run("rm", "-rf", "/etc/cutoutd", "/var/lib/cutoutd")
    machine.run("mkdir", "-p", "/srv/fleet")
    machine.run("cutoutd", "init", "-c", config, "--inbox", "/srv/fleet/in", "--outbox", "/srv/fleet/out")
    machine.run("rmdir", "/srv/fleet/in", "/srv/fleet/out")  # so that the installation makes them
    machine.run("cutoutd", "fleet", "init", "anna", "-c", config, "--scheduler", "tls://127.0.0.1:8786")
    text = machine.run("cat", config).stdout
    fleet = f'[fleet]\nscheduler = "tls://127.0.0.1:8786"\ncertificates = "{folder}"\nlocal = false\n'
    machine.write(config, text.replace("[fleet]\n", fleet, 1))
    roles: tuple[list[str], ...] = (
        [],
        ["--role", "scheduler"],
        ["--role", "node", "--from", f"{folder}/nodes/anna"],
    )
    try:
        machine.run("sh", "-c", "id cutoutd || useradd --system cutoutd")
        machine.run("chown", "-R", "cutoutd", folder)
        for role in roles:
            machine.run("cutoutd", "service", "install", "--system", *role)
        for number, killed in enumerate(("cutoutd-node", "cutoutd-scheduler", "")):
            machine.run("cp", PHOTO, f"/srv/fleet/in/{number}.jpg")
            assert appears(machine, f"{number}.png", folder="/srv/fleet/out"), _said(machine)
            if killed:
                machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", f"{killed}.service")
        for name, most in (("cutoutd-scheduler", 2.5), ("cutoutd-node", 2.5)):
            shown = machine.run("systemd-analyze", "security", "--no-pager", f"{name}.service").stdout
            exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", shown)
            assert exposure is not None
            assert float(exposure[1]) <= most, shown
        machine.run("systemctl", "stop", "cutoutd-node.service")
        result = machine.run("systemctl", "show", "-p", "Result", "--value", "cutoutd-node.service").stdout
        assert result.strip() == "success"
    finally:
        for role in reversed(roles):
            machine.run("cutoutd", "service", "uninstall", "--system", *role[:2], check=False)


def _said(machine: Machine) -> str:
    return machine.run("journalctl", "--no-pager", "-n", "200").stdout


def _is_confined(machine: Machine, pid: int) -> None:
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    inside = ["nsenter", "-t", str(pid), "-m", "--"]
    assert machine.run(*inside, "touch", "/srv/studio/in/x", check=False).returncode != 0
    assert machine.run(*inside, "ls", "/home/ann", check=False).returncode != 0
    assert machine.run(*inside, "touch", "/srv/studio/out/x", check=False).returncode == 0
    machine.run("rm", "/srv/studio/out/x")
    shown = machine.run("systemd-analyze", "security", "--no-pager", "cutoutd.service").stdout
    exposure = re.search(r"Overall exposure level for cutoutd.service: ([\d.]+)", shown)
    assert exposure is not None
    assert float(exposure[1]) <= 1.0


def _keeps_to_its_folders(machine: Machine, config: str) -> None:
    """A reload beyond the unit keeps the old configuration and names the command; that command widens it."""
    machine.run("mkdir", "-p", "/srv/other/in")
    text = machine.run("cat", config).stdout
    machine.write(config, text + '\n[[inbox]]\npath = "/srv/other/in"\noutbox = "/srv/other/out"\n')
    machine.run("systemctl", "reload", "cutoutd.service")
    assert wait_until(
        lambda: "sudo cutoutd service install --system" in logs(machine, "--system", user="root"), 20
    )
    machine.run("cp", PHOTO, "/srv/studio/in/second.jpg")
    assert appears(machine, "second.png", folder="/srv/studio/out")
    machine.run("cutoutd", "service", "install", "--system")
    machine.run("cp", PHOTO, "/srv/other/in/third.jpg")
    assert appears(machine, "third.png", folder="/srv/other/out")
