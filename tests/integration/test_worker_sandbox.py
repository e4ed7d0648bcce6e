"""The real work inside the real sandbox: decoders, network and encoder in a worker that can reach nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from cutoutd.config.limits import Limits
from cutoutd.config.matte import Matte
from cutoutd.config.output import Deliverable
from cutoutd.daemon.sandbox import guard, landlock
from cutoutd.daemon.workers import engines, protocol
from cutoutd.daemon.workers import job as jobs
from cutoutd.daemon.workers.ipc import Task
from cutoutd.daemon.workers.pool import Event, Failed, Finished, SlotReady, Workers, WorkerSetup
from cutoutd.models.networks.catalog import STANDARD, find_model
from cutoutd.service.verify import probes

sys.path.insert(0, str(Path(__file__).parent))
import acts_for_workers as acts

PATIENCE_S = 60.0
# In nanoseconds more than 63 bits; where the file system knows no such time it sets its latest.
AFTER_2262_S = 11_160_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="what the kernel enforces is Linux's")
needs_landlock = pytest.mark.skipif(
    sys.platform != "linux" or landlock.abi() == 0, reason="this kernel has no Landlock"
)


class House:
    """Folders, and one worker with the bundled network."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox, self.outbox, self.state = root / "inbox", root / "outbox", root / "state"
        for folder in (self.inbox, self.outbox, self.state):
            folder.mkdir()
        (self.state / "ledger.sqlite").write_bytes(b"ledger")
        spec = find_model(STANDARD, root / "models")
        assert spec.path is not None
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.lock = self.state / "workers.lock"
        setup = WorkerSetup(
            lock_path=self.lock,
            read_paths=(self.inbox, Path(spec.path).parent),
            write_paths=(self.outbox,),
            memory_limit_bytes=3_000_000_000,
            warm_up=engines.WARM_UP,
            context=engines.Engines((spec,), ("cpu",), 1, None),
            nice=3,
        )
        self.model = spec.name
        self.workers = Workers([setup], post=self.events.put)
        self.workers.start()
        ready = self.events.get(timeout=PATIENCE_S)
        assert isinstance(ready, SlotReady), ready
        self.ready = ready

    def do(self, task: Task[Any, Any], job: Any) -> Event:
        self.workers.submit(1, task, job, limit_s=PATIENCE_S)
        return self.events.get(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.workers.stop(now=True)


def test_a_photo_becomes_a_cutout_inside(house: House) -> None:
    from skimage import data

    Image.fromarray(cast("Any", data).chelsea()).save(house.inbox / "cat.jpg")
    os.utime(house.inbox / "cat.jpg", (AFTER_2262_S, AFTER_2262_S))  # a camera whose clock is far off
    part = house.outbox / "day 1" / ".cat.part"
    order = Deliverable()
    event = house.do(
        jobs.RUN_JOB,
        protocol.Job(
            photo=1,
            path=os.fsencode(house.inbox / "cat.jpg"),
            name="cat.jpg",
            model=house.model,
            deliverables=(order,),
            outboxes=(os.fsencode(house.outbox),),
            temporaries=(os.fsencode(part),),
            matte=Matte(),
            limits=Limits(),
            allowance_mp=400.0,
        ),
    )
    assert isinstance(event, Finished), event
    assert isinstance(event.result, protocol.Finished), event.result
    with Image.open(part) as cutout:
        assert cutout.mode == "RGBA"
        assert cutout.size == (event.result.width, event.result.height)
    assert part.stat().st_mode & 0o777 == 0o600


@linux
def test_the_worker_says_what_holds(house: House) -> None:
    state = house.ready.sandbox
    assert isinstance(state, guard.SandboxState)
    assert state.network_refused, state.network
    assert state.core_dumps_off
    if landlock.abi():
        assert state.files_confined, state.files
        # Every folder it was given could be bound, and no thread existed before the sandbox.
        assert "not there" not in state.files


@linux
def test_the_kernel_knows_it_too(house: House) -> None:
    pid = house.ready.pid
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, 0) == 3
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]
    for limit in ("Max data", "Max file"):
        assert [line.split()[3] for line in limits.splitlines() if line.startswith(f"{limit} size")] == [
            "3000000000"
        ]


@linux
def test_every_thread_of_the_worker_is_filtered(house: House) -> None:
    threads = list(Path(f"/proc/{house.ready.pid}/task").iterdir())
    assert threads
    for thread in threads:
        assert "Seccomp:\t2" in (thread / "status").read_text()


@linux
def test_no_network_from_a_worker(house: House) -> None:
    event = house.do(acts.TRY_NETWORK, None)
    assert isinstance(event, Finished), event
    assert set(event.result) == {"ipv4", "ipv6", "udp", "unix", "io_uring"}
    assert set(event.result.values()) == {"EACCES", "EPERM"}, event.result


@linux
def test_a_worker_cannot_reach_a_server_that_we_can(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = acts.Address(*server.getsockname())
        assert acts.connect(address) == "connected"
        event = house.do(acts.CONNECT, address)
    assert isinstance(event, Finished), event
    assert event.result == "EACCES"


@needs_landlock
def test_a_worker_reaches_no_other_file(house: House) -> None:
    outside = house.root / "outside"
    outside.write_bytes(b"private")
    there = house.outbox / "there.png"
    there.write_bytes(b"cutout")
    photo = house.inbox / "photo.jpg"
    photo.write_bytes(b"photo")
    refused = [
        acts.Act("read", outside),
        acts.Act("read", house.state / "ledger.sqlite"),
        acts.Act("read", house.lock),
        acts.Act("read", Path("/etc/passwd")),
        acts.Act("read", Path(f"/proc/{os.getpid()}/environ")),
        acts.Act("list", house.root),
        acts.Act("list", Path.home()),
        acts.Act("touch", house.root / "new"),
        acts.Act("touch", house.inbox / "new"),
        acts.Act("touch", house.state / "new"),
        acts.Act("unlink", there),
        acts.Act("unlink", photo),
        acts.Act("rename", there, house.outbox / "other.png"),
        acts.Act("rename", photo, house.outbox / "photo.jpg"),
        acts.Act("run", Path("/bin/true")),
    ]
    for act in refused:
        event = house.do(acts.DO, act)
        assert isinstance(event, Failed), act
        assert "ermission" in str(event.error) or "not permitted" in str(event.error), event.error
    assert there.read_bytes() == b"cutout"
    assert house.do(acts.DO, acts.Act("read", photo)) == Finished(1, b"photo")


# What a sandbox of an earlier version was found to leave open. `verify` shows one row for each; sockets, the contents
# of other files and inherited descriptors have rows of their own.
TAKEN_OVER = {
    "list another folder",
    "change an original's permissions",
    "change an original's times",
    "set an extended attribute",
    "learn where a link leads",
    "watch a folder for new names",
    "read shared memory of other programs (System V)",
    "send messages to other programs (POSIX)",
    "share memory with other programs (System V)",
    "set the daemon's limits",
    "change the daemon's priority",
    "pin the daemon to a processor",
    "send the daemon a signal",
    "enter a namespace of its own",
    "make memory that it can write one to run",
    "start a program",
    "start a process",
    "make a program in memory",
    "remove a file of the outbox",
    "rename a file of the outbox",
    "link an original into the outbox",
    "make a link in the outbox",
    "read the daemon's environment",
    "list the processes",
}


@linux
def test_nothing_that_a_worker_which_was_taken_over_would_try_is_possible(house: House) -> None:
    original, cutout = house.inbox / "original.jpg", house.outbox / "cutout.png"
    for path in (original, cutout):
        path.write_bytes(b"there")
    before = original.stat()
    event = house.do(probes.ABILITY, probes.Tries(photo=original, cutout=cutout))
    assert isinstance(event, Finished), event
    answers = event.result["reach"]
    assert answers.keys() >= TAKEN_OVER
    possible = {tried for tried, answer in answers.items() if answer == "allowed"}
    by_landlock = {"list the processes", "list another folder", "read the daemon's environment"}
    assert possible - (set() if landlock.abi() else by_landlock) == set()
    assert event.result["capabilities"] == 0
    after = original.stat()
    assert (before.st_mtime_ns, before.st_mode, before.st_ctime_ns) == (
        after.st_mtime_ns, after.st_mode, after.st_ctime_ns,
    )  # fmt: skip


@linux
def test_the_same_acts_are_possible_without_a_sandbox(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    original, cutout = tmp_path / "original.jpg", tmp_path / "cutout.png"
    for path in (original, cutout):
        path.write_bytes(b"there")
    code = (
        "import json, sys; from pathlib import Path; from cutoutd.service.verify.probes import Tries, reach\n"
        "print(json.dumps(reach(Tries(photo=Path(sys.argv[1]), cutout=Path(sys.argv[2])))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, original, cutout], capture_output=True, text=True, check=True
    )
    refused = {tried for tried, answer in json.loads(done.stdout).items() if answer != "allowed"}
    # A container may refuse some of its own accord.
    assert refused <= {
        "enter a namespace of its own", "use the kernel's keyring", "pin the daemon to a processor",
        "set an extended attribute", "change the daemon's priority", "read the daemon's environment",
    }  # fmt: skip


@linux
def test_a_worker_holds_two_pipes_and_its_lock(house: House) -> None:
    held = {int(entry.name): os.readlink(entry) for entry in Path(f"/proc/{house.ready.pid}/fd").iterdir()}
    assert [held.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
    pipes = [fd for fd, target in held.items() if target.startswith("pipe:")]
    assert len(pipes) == 2
    others = {target for fd, target in held.items() if fd not in pipes}
    assert others <= {str(house.lock), "/dev/urandom"}


@needs_landlock
def test_a_worker_signals_nobody_outside(house: House) -> None:
    if landlock.abi() < 6:
        pytest.skip("Landlock confines signals from ABI 6 on")
    event = house.do(acts.SIGNAL_PARENT, None)
    assert event == Finished(1, "EPERM")


def test_the_engine_keeps_no_usage_data_anywhere(house: House, tmp_path: Path) -> None:
    assert house.do(acts.VARIABLE, "ORT_DISABLE_TELEMETRY") == Finished(1, "1")
    # Outside a worker nothing would stop it from writing: not a file may appear below a fresh home folder.
    load = (
        "from pathlib import Path; from cutoutd.models.networks.catalog import STANDARD, find_model\n"
        "from cutoutd.models.onnx_runtime import runtime\n"
        "runtime().InferenceSession(str(find_model(STANDARD, Path('absent')).path), "
        "providers=['CPUExecutionProvider'])"
    )
    subprocess.run(
        [sys.executable, "-c", load], check=True, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    )
    assert list(tmp_path.rglob("*")) == []


def test_the_worker_lock_is_shared_as_long_as_it_lives(house: House) -> None:
    with house.lock.open("rb") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


# A program as users embed it: without a main guard, noisy when imported, and heavy.
SUPERVISOR = """
import os, queue, signal, sys, time
from pathlib import Path
with open(sys.argv[1] + "/imports", "a") as counter:
    counter.write("x")
from cutoutd.daemon.workers.pool import Finished, SlotReady, Workers, WorkerSetup
sys.path.insert(0, sys.argv[2])
import acts_for_workers as acts
root = Path(sys.argv[1])
setup = WorkerSetup(root / "lock", (), (root,), 2_000_000_000, acts.NOTHING)
events = queue.SimpleQueue()
workers = Workers([setup] * 2, post=events.put)
workers.start()
ready = [events.get(timeout=60) for _ in range(2)]
assert all(isinstance(event, SlotReady) for event in ready), ready
heavy = [name for name in ("numpy", "PIL", "onnxruntime") if name in sys.modules]
print("ready", *[event.pid for event in ready], *heavy, flush=True)
workers.submit(1, acts.SLEEP, 600.0, limit_s=900)
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
print("busy", flush=True)
for line in sys.stdin:
    print(workers.busy(), workers.free(), flush=True)
"""


@contextlib.contextmanager
def supervisor(root: Path) -> Generator[tuple[subprocess.Popen[str], list[int]]]:
    """A real supervisor process with two workers, one of them busy, in a group of its own."""
    script = root / "main.py"
    script.write_text(SUPERVISOR)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(script), str(root), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            ready = process.stdout.readline().split()
            assert ready[:1] == ["ready"]
            assert len(ready) == 3, "the supervisor has loaded what only workers may"
            assert process.stdout.readline() == "busy\n"
            yield process, [int(pid) for pid in ready[1:]]
        finally:
            process.kill()
            process.wait()


def gone(pid: int) -> bool:
    """Ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@linux
def test_workers_die_with_their_supervisor_whatever_they_do(tmp_path: Path) -> None:
    with supervisor(tmp_path) as (process, pids):
        assert not any(gone(pid) for pid in pids)
        process.send_signal(signal.SIGKILL)
        until = time.monotonic() + PATIENCE_S
        while not all(gone(pid) for pid in pids):
            assert time.monotonic() < until
            time.sleep(0.01)
    # Their share of the lock is free: a next daemon may recover.
    with (tmp_path / "lock").open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@linux
def test_ctrl_c_on_the_terminal_kills_no_worker(tmp_path: Path) -> None:
    with supervisor(tmp_path) as (process, pids):
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "interrupted\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1 1\n"
        assert not any(gone(pid) for pid in pids)


def test_workers_do_not_run_the_main_program_again(tmp_path: Path) -> None:
    with supervisor(tmp_path):
        assert (tmp_path / "imports").read_text() == "x"
