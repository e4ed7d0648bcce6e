"""The container as a NAS runs it: no network, read-only, a user of one's own; killed, restarted, asked for its health.

Debian's podman and a base image made by debootstrap: no registry is asked. The base is made once and kept; the image
is built anew when the wheel or the recipe changed. Skipped, with the reason, where that cannot be done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from build_image import RECIPE, build_command, gather
from PIL import Image
from tests.endtoend.machine import SUITE
from tests.support.conditions import wait_until
from tests.support.photos import encoded
from tests.support.wheels import built_wheel
from wheels import NoWheelsError

ARCH = "amd64" if os.uname().machine == "x86_64" else "arm64"
BASE = "localhost/cutoutd-test-base:bookworm"
DEPENDENCIES = "localhost/cutoutd-test-dependencies:bookworm"
PUID, PGID = 4242, 4343
CUTOUT_S = 90.0
MOST_BYTES = 450 * 10**6
# Without them runc asks for more than a small machine allows.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def why_not() -> str:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "building and running an image here needs Linux and root"
    for program in ("podman", "runc", "debootstrap"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


REASON = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(REASON), reason=REASON or "can run"),
    pytest.mark.xdist_group("container"),
]


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["podman", "--runtime", "runc", *arguments], capture_output=True, text=True, check=False, timeout=600
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"podman {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def make_base(scratch: Path) -> None:
    """Debian with Python, as small as its slim image; made once."""
    if podman("image", "exists", BASE, check=False).returncode == 0:
        return
    root = scratch / "base"
    packages = "python3,python3-venv"
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(
            f"debootstrap could not make a base: {(done.stdout + done.stderr).strip().splitlines()[-1:]}"
        )
    for folder in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ):
        shutil.rmtree(root / folder, ignore_errors=True)
    archive = scratch / "base.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
    podman("import", str(archive), BASE)
    shutil.rmtree(root)
    archive.unlink()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the tree as it is now; kept for the next run."""
    recipe = b"".join(path.read_bytes() for path in sorted(RECIPE.iterdir()))
    key = hashlib.blake2b(recipe + str(built_wheel()).encode(), digest_size=6).hexdigest()
    name = f"localhost/cutoutd-test:{key}"
    if podman("image", "exists", name, check=False).returncode == 0:
        return name
    scratch = tmp_path_factory.mktemp("image")
    make_base(scratch)
    context = scratch / "context"
    context.mkdir()
    try:
        gather(context, [ARCH])
    except NoWheelsError as error:
        pytest.skip(f"the wheels for the image cannot be had: {error}")
    # Under a name of its own the larger part outlives the pruning below, and is not made again for another wheel.
    for tag, stage in ((DEPENDENCIES, "dependencies"), (name, "")):
        command = build_command("podman", context, ARCH, BASE, [tag], stage=stage)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for old in podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split():
        if old.startswith("localhost/cutoutd-test:") and old != name:
            podman("rmi", "--force", old, check=False)
    podman("image", "prune", "--force", check=False)
    return name


@dataclass
class Container:
    root: Path
    image: str
    name: str

    def start(
        self, *options: str, user: tuple[str, ...] = ("-e", f"PUID={PUID}", "-e", f"PGID={PGID}")
    ) -> None:
        for folder in ("inbox", "outbox", "state"):
            (self.root / folder).mkdir(exist_ok=True)
            os.chown(self.root / folder, PUID, PGID)
        volumes = [
            part for name in ("inbox", "outbox", "state") for part in ("-v", f"{self.root / name}:/{name}")
        ]
        podman(
            "run", "--detach", "--name", self.name, *LIMITS, "--network", "none", "--read-only", "--tmpfs", "/tmp",  # noqa: S108 - inside
            "--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "CHOWN",
            "--security-opt", "no-new-privileges", *user, *options, *volumes, self.image,
        )  # fmt: skip

    def logs(self) -> str:
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return podman("exec", self.name, "cutoutd", *command, check=False)

    def healthy(self) -> bool:
        return self.ask("status", "--healthy").returncode == 0

    def drop(self, name: str) -> None:
        part = self.root / "inbox" / f".{name}.part"
        part.write_bytes(encoded())
        os.chown(part, PUID, PGID)
        part.rename(self.root / "inbox" / name)

    def cutout(self, name: str) -> Path:
        path = self.root / "outbox" / name
        wait_until(path.exists, f"{name}\n{self.logs()}", CUTOUT_S)
        return path


@pytest.fixture
def container(tmp_path: Path, image: str) -> Iterator[Container]:
    one = Container(tmp_path, image, f"cutoutd-test-{os.getpid()}-{tmp_path.name[-12:].replace('_', '-')}")
    yield one
    podman("rm", "--force", "--time", "0", one.name, check=False)


def test_it_is_small_and_says_how_its_health_is_asked(image: str) -> None:
    assert int(podman("image", "inspect", "--format", "{{.Size}}", image).stdout) <= MOST_BYTES
    shown = podman(
        "image", "inspect", "--format", "{{.HealthCheck}} {{.Config.StopSignal}}", image, check=False
    ).stdout
    if shown:
        assert "status --healthy" in shown


def test_a_photo_in_a_cutout_out_with_its_owner_and_nothing_else_allowed(container: Container) -> None:
    container.start("-e", "UMASK=027", "-e", "TZ=Asia/Tokyo")
    wait_until(lambda: "ready" in container.logs(), "the daemon to be ready", CUTOUT_S)  # cheaper to ask for
    wait_until(container.healthy, f"the daemon to be healthy\n{container.logs()}", CUTOUT_S)
    container.drop("a.jpg")
    facts = container.cutout("a.png").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (PUID, PGID, 0o640)
    with Image.open(container.root / "outbox" / "a.png") as cutout:
        assert cutout.mode == "RGBA"
        assert cutout.getchannel("A").getextrema() == (0, 255)
    assert sorted(os.listdir(container.root / "inbox")) == ["a.jpg"]
    owners = {path.stat().st_uid for path in (container.root / "state").rglob("*")}
    assert owners == {PUID}
    status = podman("exec", container.name, "cat", "/proc/1/status").stdout
    assert f"Uid:\t{PUID}\t{PUID}\t{PUID}\t{PUID}" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    assert podman("exec", container.name, "touch", "/opt/x", check=False).returncode != 0
    assert "UTC" not in podman("exec", container.name, "date").stdout


@pytest.mark.thorough  # the daemon is killed everywhere; the image as such shows in the test above
def test_killed_and_restarted_it_does_what_is_owed_once(container: Container) -> None:
    container.start()
    wait_until(container.healthy, f"the daemon to be healthy\n{container.logs()}", CUTOUT_S)
    names = [
        f"IMG_{number}" for number in range(10, 40)
    ]  # seconds of work: some are left when the kill arrives
    for name in names:
        container.drop(f"{name}.jpg")
    container.cutout(f"{names[0]}.png")
    podman("kill", "--signal", "KILL", container.name)
    assert len(list((container.root / "outbox").glob("*.png"))) < len(names)
    wait_until(lambda: not container.healthy(), "the container to be down")
    podman("start", container.name)
    for name in names:
        container.cutout(f"{name}.png")
    assert sorted(os.listdir(container.root / "outbox")) == [f"{name}.png" for name in names]
    podman("stop", "--time", "45", container.name)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", container.name).stdout.strip() == "0"
    assert "Stopping" in container.logs()


@pytest.mark.thorough
def test_one_that_was_started_as_a_user_stays_that_user(container: Container) -> None:
    container.start(user=("--user", f"{PUID}:{PGID}"))
    wait_until(container.healthy, f"the daemon to be healthy\n{container.logs()}", CUTOUT_S)
    container.drop("a.jpg")
    assert container.cutout("a.png").stat().st_uid == PUID


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("PUID=ann", "PUID='ann' is not a number"),
        pytest.param("UMASK=9", "UMASK='9' is not a number", marks=pytest.mark.thorough),
    ],
)
def test_a_mistake_in_a_variable_is_a_sentence(image: str, variable: str, words: str) -> None:
    done = podman(
        "run", "--rm", *LIMITS, "--network", "none", "-e", variable, image, "--version", check=False
    )
    assert done.returncode == 1
    assert words in done.stderr
