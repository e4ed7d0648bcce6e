"""What a process may still do after giving things up: asked of this kernel, in child processes."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cutoutd.daemon.sandbox import guard, seccomp

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and /proc are Linux")


def in_a_child(script: str, *arguments: str, **options: Any) -> Any:
    """Runs a script in a fresh interpreter; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TRY = "import json; from cutoutd.daemon.sandbox import guard; "


@linux
def test_the_attempts_themselves_work_without_a_sandbox() -> None:
    answers = in_a_child(TRY + "print(json.dumps(guard.try_network()))")
    assert answers["unix"] == "open"
    assert answers["ipv4"] == answers["udp"] == "open"


@linux
def test_the_supervisor_keeps_local_sockets_and_nothing_else() -> None:
    state, answers = in_a_child(
        TRY + "s = guard.guard_supervisor(); print(json.dumps([s.as_dict(), guard.try_network()]))"
    )
    assert answers == {
        "ipv4": "EACCES",
        "ipv6": "EACCES",
        "udp": "EACCES",
        "unix": "open",
        "io_uring": "EPERM",
    }
    assert state["network_refused"]
    assert not state["files_confined"]
    assert state["core_dumps_off"]


@linux
def test_a_worker_keeps_no_socket(tmp_path: Path) -> None:
    state, answers = in_a_child(
        TRY + "s = guard.guard_worker([], []); print(json.dumps([s.as_dict(), guard.try_network()]))"
    )
    assert set(answers.values()) == {"EACCES", "EPERM"}
    assert state["network_refused"]


@linux
def test_threads_that_run_already_lose_the_network_too() -> None:
    script = TRY + (
        "import threading; go = threading.Event(); answers = {}\n"
        "t = threading.Thread(target=lambda: (go.wait(), answers.update(guard.try_network())))\n"
        "t.start(); state = guard.guard_worker([], []); go.set(); t.join()\n"
        "print(json.dumps([answers, state.as_dict()]))"
    )
    answers, state = in_a_child(script)
    assert set(answers.values()) == {"EACCES", "EPERM"}
    if "Landlock" in state["files"]:
        # Landlock does not reach back to them, and the sandbox says so.
        assert not state["files_confined"]
        assert "1 threads ran already" in state["files"]


@linux
def test_children_inherit_the_refusal() -> None:
    script = TRY + (
        "import subprocess, sys; guard.guard_supervisor()\n"
        "code = 'import json; from cutoutd.daemon.sandbox import guard; print(json.dumps(guard.try_network()))'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip())"
    )
    assert in_a_child(script)["ipv4"] == "EACCES"


@linux
def test_an_unprivileged_user_can_confine_itself() -> None:
    if os.geteuid() != 0:
        pytest.skip("already unprivileged: every other test here shows it")
    script = TRY + (
        "import os, sys, socket; from pathlib import Path; from cutoutd.daemon.sandbox import landlock, seccomp\n"
        "os.setgroups([]); os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3)\n"
        "state = guard.guard_worker([], [Path(sys.argv[1])])\n"
        "(Path(sys.argv[1]) / 'a.part').write_text('x')\n"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status'))\n"
        "print(json.dumps([state.as_dict(), guard.try_network(), status['Uid'].split(), "
        "status['NoNewPrivs'].strip(), status['Seccomp'].strip()]))"
    )
    # Not tmp_path: pytest keeps its parents to their owner.
    with tempfile.TemporaryDirectory() as outbox:
        os.chown(outbox, 65534, 65534)
        state, answers, uids, no_new_privileges, mode = in_a_child(script, outbox)
    assert set(uids) == {"65534"}
    assert state["network_refused"]
    assert set(answers.values()) == {"EACCES", "EPERM"}
    assert (no_new_privileges, mode) == ("1", "2")


@linux
def test_a_refused_call_is_an_error_and_no_death() -> None:
    """Each call that is on no list, and each that is refused, made for real.

    Not uretprobe and uprobe (335, 336 on x86_64): the kernel answers both itself, past all filters, and ends by SIGILL
    whoever calls them without having been told to.
    """
    script = TRY + (
        "import ctypes, errno, os\n"
        "from cutoutd.daemon.sandbox import calls, seccomp\n"
        "column = seccomp.ARCHITECTURES[os.uname().machine].column\n"
        "looked_at = ('clone', 'mmap', 'mprotect', 'kill', 'tgkill', 'prlimit64', 'fcntl', 'prctl', 'ioctl')\n"
        "known = {calls.NUMBERS[name][column] for name in (*calls.ALLOWED, *looked_at)}\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "guard.guard_worker([], [])\n"
        "said = {}\n"
        "for number in sorted(set(range(600)) - known - {335, 336}):\n"
        "    ctypes.set_errno(0)\n"
        "    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)\n"
        "    said[number] = errno.errorcode.get(ctypes.get_errno(), '') if answer == -1 else 'done'\n"
        "print(json.dumps(said))"
    )
    said = in_a_child(script)
    assert len(said) > 400
    # EINVAL is what links are said to be: no links.
    assert set(said.values()) == {"EPERM", "EACCES", "ENOSYS", "EINVAL"}
    assert len([name for name in said.values() if name == "EINVAL"]) <= 2


@linux
def test_a_folder_that_cannot_even_be_looked_at_leaves_the_others_closed() -> None:
    """An interpreter in a folder that may no longer be passed, or an inbox on a share that is gone."""
    script = TRY + (
        "import os, sys; from pathlib import Path\n"
        "folder, given = Path(sys.argv[1]), Path(sys.argv[1]) / ('x' * 300)\n"
        "(folder / 'closed').mkdir(); (folder / 'closed').chmod(0)\n"
        "sys.path.append(str(folder / 'closed' / 'packages'))\n"
        "if os.geteuid() == 0:\n"
        "    os.chown(folder, 65534, 65534); os.setgroups([]); os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3)\n"
        "state = guard.guard_worker([folder / 'closed' / 'inbox', given], [])\n"
        "try:\n"
        "    found = os.listdir(folder)\n"
        "except OSError as error:\n"
        "    found = error.strerror\n"
        "print(json.dumps([state.as_dict(), found]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        state, found = in_a_child(script, folder)
    if "no Landlock" in state["files"]:
        pytest.skip(state["files"])
    assert state["files_confined"], state["files"]
    assert "closed/inbox" in state["files"]
    assert found == os.strerror(errno.EACCES)


@linux
def test_an_accelerators_devices_can_be_opened_and_controlled(tmp_path: Path) -> None:
    # /dev/full stands in for a graphics card: a device file that anybody may open, and no worker otherwise.
    script = TRY + (
        "import fcntl, sys; from pathlib import Path\n"
        "given = [Path(name) for name in sys.argv[1:]]\n"
        "state = guard.guard_worker([], [], devices=given)\n"
        "said = []\n"
        "try:\n"
        "    fcntl.ioctl(open('/dev/full', 'r+b', 0), 0x5401, bytes(64))\n"
        "except OSError as error:\n"
        "    said.append(error.strerror)\n"
        "print(json.dumps([state.as_dict(), said]))"
    )
    with_it, said = in_a_child(script, "/dev/full")
    if not with_it["files_confined"]:
        pytest.skip(f"this kernel does not confine files: {with_it['files']}")
    assert said == [os.strerror(errno.ENOTTY)]  # the device's own answer
    assert "open for the accelerator: /dev/full" in with_it["files"]
    without, said = in_a_child(script)
    assert said == [os.strerror(errno.EACCES)]
    assert "accelerator" not in without["files"]


@linux
def test_files_left_alone_are_said_with_the_reason_and_the_network_is_refused_all_the_same() -> None:
    state, answers = in_a_child(
        TRY + "s = guard.guard_worker([], [], unconfined='a driver'); open('/etc/passwd').close()\n"
        "print(json.dumps([s.as_dict(), guard.try_network()]))"
    )
    assert state["files"] == "not confined (a driver)"
    assert not state["files_confined"]
    assert set(answers.values()) == {"EACCES", "EPERM"}


@linux
def test_no_core_dump_and_nobody_looks_inside() -> None:
    script = TRY + (
        "import ctypes, resource; sentence = guard.no_core_dumps()\n"
        "print(json.dumps([sentence, resource.getrlimit(resource.RLIMIT_CORE), "
        "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)]))"
    )
    sentence, limits, dumpable = in_a_child(script)
    assert sentence == ["off, and no other program may trace the process", True]
    assert limits == [0, 0]
    assert dumpable == 0


@linux
def test_new_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    script = (
        "import os, sys; from cutoutd.daemon.sandbox import guard; guard.guard_supervisor()\n"
        "open(sys.argv[1], 'w').close(); print(oct(os.stat(sys.argv[1]).st_mode & 0o777).replace('0o', ''))"
    )
    assert in_a_child(script, str(tmp_path / "file")) == 600


def test_where_nothing_can_be_enforced_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.sys, "platform", "freebsd14")
    network, refused = guard.give_up_network(seccomp.SUPERVISOR)
    files, confined = guard.confine_files([], [])
    assert not refused
    assert not confined
    assert "not enforced here" in network
    assert "not enforced here" in files


@linux
def test_a_processor_without_a_filter_is_said_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*real[:4], "riscv64")))
    assert guard.give_up_network(seccomp.WORKER) == (
        "not enforced here (the kernel refused the seccomp filter: no filter for riscv64)",
        False,
    )


def test_the_summary_names_all_three() -> None:
    state = guard.SandboxState(
        network="N",
        network_refused=True,
        files="F",
        files_confined=False,
        core_dumps="C",
        core_dumps_off=True,
    )
    assert state.summary() == "network: N; files: F; core dumps: C"
    whole = guard.SandboxState(
        network="N",
        network_refused=True,
        files="F",
        files_confined=False,
        core_dumps="C",
        core_dumps_off=True,
        calls="S",
        calls_listed=True,
        capabilities="P",
        capabilities_none=True,
    )
    assert whole.summary() == "network: N; files: F; system calls: S; capabilities: P; core dumps: C"


def test_the_switched_off_sandbox_is_visible() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    script = TRY + "print(json.dumps(guard.unguarded().as_dict()))"
    state = in_a_child(script)
    assert not state["network_refused"]
    assert "engine.sandbox is off" in state["network"]
    assert resource.getrlimit(resource.RLIMIT_CORE) == before


def test_runtime_paths_hold_the_program_and_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "relative", *sys.path, "/"])
    paths = guard.runtime_paths()
    assert Path(sys.prefix) in paths
    assert Path(guard.__file__).resolve().parents[2] in paths
    assert not {Path("/"), Path(), Path.home(), Path("/etc"), Path("/home")} & set(paths)
    assert all(path.is_absolute() and path.exists() for path in paths)
