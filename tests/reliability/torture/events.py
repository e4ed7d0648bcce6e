"""What is thrown at the daemon: each event is a function of the world, chosen and timed by the run's seed."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tests.reliability.torture.mounts import Disk
from tests.reliability.torture.world import Content, World, frame

from cutoutd.daemon.files.filesystem import RealFileSystem

Event = Callable[[World], None]
FS = RealFileSystem(b"/")


def nap(world: World, longest_s: float) -> None:
    """A random moment; short ones are likelier, since a photo is in hand for a fifth of a second."""
    time.sleep(longest_s * world.rng.random() ** 2)


# --- what cameras and people do -----------------------------------------------------------------------------------


def _put(world: World, name: str, content: Content) -> None:
    """Lays a frame down in one of the ways of cameras; when this returns, it is complete."""
    target = world.path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    way = world.rng.randrange(4)
    if way == 0:
        target.write_bytes(content.data)
    elif way == 1:
        with target.open("wb") as file:
            for part in (content.data[:900], content.data[900:]):
                file.write(part)
                file.flush()
                time.sleep(world.rng.uniform(0, 0.3))
    elif way == 2:
        part = target.parent / f"{world.number}.part"
        part.write_bytes(content.data)
        part.rename(target)
    else:
        outside = world.daemon.root / "outside.jpg"
        outside.unlink(missing_ok=True)
        outside.write_bytes(content.data)
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        os.link(outside, target)
        outside.unlink()
    world.frames.setdefault(name, []).append(content)


def add(world: World) -> None:
    _put(world, world.fresh_name(), frame(world.rng))


def burst(world: World) -> None:
    for _ in range(world.rng.randrange(3, 9)):
        add(world)


def _old(world: World) -> str | None:
    names = [name for name in world.photos() if name not in world.frozen]
    return world.rng.choice(names) if names else None


def rewrite(world: World) -> None:
    name = _old(world)
    if name is not None:
        for _ in range(world.rng.choice((1, 1, 3))):
            _put(world, name, frame(world.rng))
            nap(world, 0.4)


def touch(world: World) -> None:
    name = _old(world)
    if name is not None:
        with contextlib.suppress(FileNotFoundError):
            when = world.rng.randrange(10**9)
            os.utime(world.path(name), (when, when))


def rename(world: World) -> None:
    name = _old(world)
    if name is None or not world.path(name).exists():
        return
    new = world.fresh_name()
    if world.path(new).exists():
        return
    world.path(new).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # archived at this very moment
        world.path(name).rename(world.path(new))
        world.frames.setdefault(new, []).append(world.frames[name][-1])
        world.left.add(name)


def remove(world: World) -> None:
    name = _old(world)
    if name is not None:
        world.path(name).unlink(missing_ok=True)
        world.left.add(name)


def hostile(world: World) -> None:
    """Things that are no photos: they must neither become a cutout nor hold up one."""
    world.number += 1
    root, n = world.daemon.inbox, world.number
    kind = world.rng.randrange(6)
    if kind == 0:
        os.mkfifo(root / f"pipe{n}.jpg")
    elif kind == 1:
        (root / f"loop{n}").symlink_to(".")
    elif kind == 2:
        (root / f"link{n}.jpg").symlink_to("/etc/hostname")
    elif kind == 3:
        (root / f"notes{n}.txt").write_text("not a photo")
    elif kind == 4:
        _put_junk(world, f"half{n}.jpg", frame(world.rng).data[:1500])
    else:
        _put_junk(world, f"noise{n}.jpg", world.rng.randbytes(2000))


def _put_junk(world: World, name: str, data: bytes) -> None:
    (world.daemon.inbox / name).write_bytes(data)
    world.junk[name] = data


def stall(world: World) -> None:
    """A writer that stands still for longer than a file has to rest, growing or in space that it reserved."""
    name, content = world.fresh_name(), frame(world.rng)
    target = world.path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = world.rng.randrange(len(content.data))
    with target.open("wb", buffering=0) as file:
        if world.rng.random() < 0.5:
            file.truncate(len(content.data))
        file.write(content.data[:half])
        time.sleep(world.rng.uniform(2.5, 6))  # the standstill itself
        if world.rng.random() < 0.3:
            world.daemon.murder()
            world.daemon.ensure()
        file.write(content.data[half:])
    world.frames.setdefault(name, []).append(content)


def resend(world: World) -> None:
    """The camera sends its frame again while the first one is on its way to the archive."""
    name = world.fresh_name()
    _put(world, name, frame(world.rng))
    until = time.monotonic() + 8
    while time.monotonic() < until and not world.hidden() and world.path(name).exists():
        time.sleep(0.002)
    _put(world, name, frame(world.rng))


def swap(world: World) -> None:
    """A neighbour: folders, temporaries and free names become links and pipes for a moment.

    What the links lead to is watched: nothing there may be read into a cutout, changed or removed.
    """
    world.lay_out_elsewhere()
    world.rng.choice((_swap_folder, _swap_temporaries, _take_names, _swap_photo))(world)


def _lay(world: World, path: Path) -> None:
    with contextlib.suppress(OSError):
        if world.rng.random() < 0.5:
            path.symlink_to(world.rng.choice(world.elsewhere_files()))
        else:
            os.mkfifo(path)


def _swap_folder(world: World) -> None:
    roots = (world.daemon.inbox, world.daemon.outbox, world.daemon.archive)
    root = world.rng.choice([root for root in roots if root.exists()])
    folders = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
    if not folders:
        return
    folder = world.rng.choice(folders)
    aside = root / f".{folder.name} aside"
    for _ in range(world.rng.randrange(1, 12)):
        aside.symlink_to(world.elsewhere)
        FS.exchange(os.fsencode(aside), os.fsencode(folder))
        nap(world, 0.2)
        FS.exchange(os.fsencode(aside), os.fsencode(folder))
        aside.unlink()
        nap(world, 0.1)


def _swap_temporaries(world: World) -> None:
    add(world)
    until = time.monotonic() + world.rng.uniform(0.5, 3)
    while time.monotonic() < until:
        for part in world.daemon.outbox.glob(".cutoutd-*.part"):
            with contextlib.suppress(OSError):
                part.unlink()
                _lay(world, part)
        time.sleep(0.002)


def _take_names(world: World) -> None:
    """The names that the next photo's cutout and original would have."""
    world.number += 1
    stem = f"DSC_{world.number:04d}"
    names = (world.daemon.outbox / f"{stem}.png", world.daemon.archive / f"{stem}.jpg")
    for path in names:
        _lay(world, path)
    _put(world, f"{stem}.jpg", frame(world.rng))
    nap(world, 3)
    for path in names:
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(path.lstat().st_mode):
                path.unlink()


def _swap_photo(world: World) -> None:
    """While it settles, most of the time."""
    world.number += 1
    name = f"swapped{world.number}.jpg"
    _put(world, name, frame(world.rng))
    world.left.add(name)
    nap(world, 0.6)
    world.path(name).unlink(missing_ok=True)
    _lay(world, world.path(name))


# --- processes ----------------------------------------------------------------------------------------------------


def kill(world: World) -> None:
    nap(world, 2.0)
    world.daemon.murder()
    if world.rng.random() < 0.3:
        add(world)
    world.daemon.ensure()


def kill_while_starting(world: World) -> None:
    for _ in range(world.rng.randrange(1, 4)):
        world.daemon.murder()
        world.daemon.ensure()
        nap(world, 3.0)


def kill_in_the_act(world: World) -> None:
    """SIGKILL in the moment a new name shows in the outbox: around a rename and the commit that follows it."""
    world.daemon.ensure(ready=True)
    burst(world)
    seen = set(world.daemon.outputs())
    until = time.monotonic() + 6
    while time.monotonic() < until and world.daemon.alive() and not set(world.daemon.outputs()) - seen:
        time.sleep(world.rng.uniform(0, 0.004))
    world.daemon.murder()
    world.daemon.ensure()


def kill_worker(world: World) -> None:
    world.daemon.ensure(ready=True)
    add(world)
    nap(world, 1.5)
    for _ in range(world.rng.choice((1, 1, 2, 3))):
        number = world.rng.choice(
            (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
        )
        if world.daemon.kill_worker(world.rng.randrange(8), number):
            world.count("worker killed" if number == signal.SIGKILL else "worker crashed")
        nap(world, 0.5)


def hang_worker(world: World) -> None:
    """A worker stands still with a photo in hand: for a moment, or until the daemon ends it for its time limit."""
    world.daemon.ensure(ready=True)
    burst(world)
    nap(world, 1.0)
    worker = world.daemon.a_worker(world.rng.randrange(8))
    if worker is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGSTOP)
        if world.daemon.time_limit_s is not None:
            world.count("worker hung past the time limit")
            time.sleep(world.daemon.time_limit_s + 2)
        else:
            nap(world, 3.0)
        os.kill(worker, signal.SIGCONT)


def starve_worker(world: World) -> None:
    """A worker that may have no more memory than it has: photos in its hands fail in whatever call comes next."""
    world.daemon.ensure(ready=True)
    worker = world.daemon.a_worker(world.rng.randrange(8))
    if worker is None:
        return
    with contextlib.suppress(OSError):
        _, hard = resource.prlimit(worker, resource.RLIMIT_DATA)
        resource.prlimit(worker, resource.RLIMIT_DATA, (world.rng.choice((1, 60, 120)) << 20, hard))
    burst(world)


def stop(world: World) -> None:
    world.daemon.ensure()
    nap(world, 2.0)
    world.daemon.ensure()
    world.daemon.end()
    world.daemon.ensure()


def stop_twice(world: World) -> None:
    world.daemon.ensure(ready=True)
    add(world)
    nap(world, 1.0)
    world.daemon.send(signal.SIGTERM)
    nap(world, 0.3)
    with contextlib.suppress(ProcessLookupError):
        world.daemon.send(signal.SIGTERM)
    world.daemon.await_end()
    world.daemon.ensure()


def freeze(world: World) -> None:
    """SIGSTOP of the daemon, and sometimes of its workers too, as a suspended machine does."""
    world.daemon.ensure()
    process = world.daemon.process
    assert process is not None
    group = world.rng.random() < 0.5
    send = os.killpg if group else os.kill
    with contextlib.suppress(ProcessLookupError):
        send(process.pid, signal.SIGSTOP)
        burst(world)
        nap(world, 2.0)
        send(process.pid, signal.SIGCONT)


def suspend(world: World) -> None:
    """Everything stands still for longer than a photo may take, as a notebook whose lid is closed."""
    limit_s, process = world.daemon.time_limit_s, world.daemon.process
    if limit_s is None or process is None:
        return
    world.daemon.ensure(ready=True)
    burst(world)
    nap(world, 0.7)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(limit_s + 3)  # the lid is closed for so long
        os.killpg(process.pid, signal.SIGCONT)


def second(world: World) -> None:
    """A second daemon on the same state folder must be refused and harm nothing."""
    world.daemon.ensure(ready=True)
    answer = world.daemon.cli("run", "-c", str(world.daemon.root / "cutoutd.toml"))
    refused = answer.returncode != 0 and "already at work" in answer.stderr + answer.stdout
    if not refused and world.daemon.alive():
        world.findings.append(f"a second daemon ran: {answer.returncode} {answer.stderr[-300:]}")


def reload(world: World) -> None:
    world.daemon.settle_ms = world.rng.choice((200, 500, 900))
    world.daemon.write_config()
    world.daemon.ensure(ready=True)
    with contextlib.suppress(ProcessLookupError):
        world.daemon.send(signal.SIGHUP)


def order(world: World) -> None:
    verb = world.rng.choice((["rescan"], ["retry", "--all"], ["redo", "--all"], ["pause"], ["resume"]))
    world.daemon.cli(*verb)
    if verb == ["pause"]:
        add(world)
        nap(world, 1.0)
        world.daemon.cli("resume")


def once(world: World) -> None:
    """`cutoutd once` into the same outbox beside the daemon, for a photo that is then left alone."""
    names = [n for n in world.photos() if len(world.frames[n]) == 1 and "/" not in n and n not in world.left]
    if not names or not world.keep:
        return
    name = world.rng.choice(names)
    world.frozen.add(name)
    world.daemon.cli("once", str(world.path(name)), "-o", str(world.daemon.outbox))


# --- folders and disks -----------------------------------------------------------------------------------------------


def outbox_away(world: World) -> None:
    if world.disk.kind != "plain":
        return
    away = world.daemon.root / "outbox-away"
    world.daemon.outbox.rename(away)
    add(world)
    nap(world, 2.5)
    if world.daemon.outbox.exists():
        world.findings.append("an outbox that had gone was made anew")
        shutil.rmtree(world.daemon.outbox)
    away.rename(world.daemon.outbox)


def inbox_away(world: World) -> None:
    away = world.daemon.root / "inbox-away"
    world.daemon.inbox.rename(away)
    nap(world, 2.5)
    if world.daemon.inbox.exists():
        world.findings.append("an inbox that had gone was made anew")
        shutil.rmtree(world.daemon.inbox)
    away.rename(world.daemon.inbox)


def inbox_anew(world: World) -> None:
    """Removed with all its photos, and made again with new ones."""
    if world.hidden():
        return  # an original is on its way to the archive: deleting it would be the harness's doing
    shutil.rmtree(world.daemon.inbox, ignore_errors=True)
    world.left |= set(world.frames)
    world.junk.clear()
    nap(world, 0.5)
    world.daemon.inbox.mkdir(exist_ok=True)
    add(world)


def unmount(world: World) -> None:
    if world.disk.kind != "bind":
        return
    world.disk.unmount()
    burst(world)
    nap(world, 3.0)
    below = [path.name for path in world.daemon.outbox.iterdir()]
    if below:
        world.findings.append(f"written under the mount point: {below}")
    world.disk.mount()


def disk_full(world: World) -> None:
    if world.disk.kind != "tmpfs":
        return
    world.disk.fill()
    burst(world)
    nap(world, 3.0)
    world.disk.free()


def ledger_disk_full(world: World) -> None:
    if world.disk.kind != "state":
        return
    world.disk.fill()
    burst(world)
    nap(world, 4.0)
    world.disk.free()


def outbox_read_only(world: World) -> None:
    world.disk.read_only(yes=True)
    burst(world)
    nap(world, 2.5)
    world.disk.read_only(yes=False)


def permissions(world: World) -> None:
    """The outbox, the inbox or one photo is shut to the daemon, and opened again."""
    name = world.fresh_name()
    content = frame(world.rng)
    which = world.rng.randrange(3)
    if which == 0:
        path, mode = world.daemon.outbox, 0o555
    elif which == 1:
        path, mode = world.daemon.inbox, 0o000
        _put(world, name, content)
    else:
        _put(world, name, content)
        path, mode = world.path(name), 0o000
    try:
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
    except FileNotFoundError:  # it is on its way to the archive
        return
    if which == 0:
        _put(world, name, content)
    nap(world, 9.0)  # sometimes past the last of a photo's attempts: its failure must end with its cause
    with contextlib.suppress(FileNotFoundError):
        path.chmod(before)


def lose_ledger(world: World) -> None:
    if world.rng.random() < 0.5:
        remove_ledger(world)
        return
    world.daemon.murder()
    for path in world.daemon.state.glob("ledger.sqlite*"):
        path.unlink()
    world.lost_ledger = True
    world.daemon.ensure()


def remove_ledger(world: World) -> None:
    """Beneath a daemon at work, which puts it back whole; on a full disk it may have to begin anew."""
    world.daemon.ensure(ready=True)
    add(world)
    path = world.daemon.state / "ledger.sqlite"
    secret = _secret(path)
    if world.rng.random() < 0.3 and not world.daemon.state.is_mount():
        shutil.rmtree(world.daemon.state, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    world.count("ledger removed in use")
    world.daemon.wait(lambda: _secret(path) or not world.daemon.alive(), "the ledger to be back", 60)
    world.lost_ledger |= _secret(path) != secret


def _secret(path: Path) -> bytes:
    """What a ledger has from its first day on; nothing where none is there."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
    ):
        return bytes(db.execute("SELECT value FROM meta WHERE name = 'secret'").fetchone()[0])
    return b""


def damage_ledger(world: World) -> None:
    world.daemon.murder()
    path = world.daemon.state / "ledger.sqlite"
    if path.exists() and path.stat().st_size > 8192:
        with path.open("r+b") as file:
            file.seek(world.rng.randrange(0, path.stat().st_size - 4096))
            file.write(world.rng.randbytes(4096))
        world.lost_ledger = True
    world.daemon.ensure()


# --- the user in the outbox ---------------------------------------------------------------------------------------


def _cutout_of_a_quiet_photo(world: World) -> Path | None:
    quiet = [n for n in world.photos() if len(world.frames[n]) == 1 and n not in world.left]
    names = {str(Path(n).with_suffix(".png")): n for n in quiet}
    found = [name for name in world.daemon.outputs() if name in names and name not in world.theirs]
    if not found:
        return None
    name = world.rng.choice(found)
    world.frozen.add(names[name])
    return world.daemon.outbox / name


def edit(world: World) -> None:
    path = _cutout_of_a_quiet_photo(world)
    if path is None or world.redone:
        return
    data = b"retouched " + world.rng.randbytes(50)
    new = path.with_name(f"edit-{world.number}.tmp")
    new.write_bytes(data)
    new.rename(path)
    world.theirs[str(path.relative_to(world.daemon.outbox))] = data


def delete_cutout(world: World) -> None:
    path = _cutout_of_a_quiet_photo(world)
    if path is not None:
        path.unlink(missing_ok=True)
        world.removed.add(str(path.relative_to(world.daemon.outbox)))


def squat(world: World) -> None:
    """A stranger's file lies where the next cutout would go."""
    name = f"DSC_{world.number + 1:04d}.png"
    path = world.daemon.outbox / name
    if not path.exists():
        data = b"" if world.rng.random() < 0.3 else b"somebody else's " + world.rng.randbytes(20)
        path.write_bytes(data)
        world.theirs[name] = data


def clock(world: World) -> None:
    """The wall clock jumps: seconds, an hour or two months, ahead or back (only where it is faked)."""
    if world.daemon.fake_clock is None:
        return
    jump = world.rng.choice((-86400 * 60, -3600, -5, 5, 3600, 86400 * 60))
    world.daemon.fake_clock.write_text(f"{jump:+d}\n")


# Weight and event. Kills weigh most: a killed daemon costs a second or two of restart and finds most.
EVENTS: dict[str, tuple[int, Event]] = {
    "photo added": (10, add),
    "burst": (6, burst),
    "rewritten under its name": (8, rewrite),
    "writer stalled": (8, stall),
    "sent again during its move": (10, resend),
    "touched": (2, touch),
    "renamed in the inbox": (3, rename),
    "removed by the user": (2, remove),
    "hostile file": (4, hostile),
    "names swapped by a neighbour": (10, swap),
    "daemon killed": (24, kill),
    "daemon killed while starting": (8, kill_while_starting),
    "daemon killed at a publication": (12, kill_in_the_act),
    "worker attacked": (10, kill_worker),
    "worker hung": (3, hang_worker),
    "worker starved": (3, starve_worker),
    "suspended past the time limit": (5, suspend),
    "stopped": (4, stop),
    "stopped twice": (2, stop_twice),
    "frozen": (4, freeze),
    "second daemon": (1, second),
    "config reloaded": (2, reload),
    "command": (3, order),
    "once beside the daemon": (1, once),
    "outbox away and back": (4, outbox_away),
    "inbox away and back": (3, inbox_away),
    "inbox removed and made anew": (1, inbox_anew),
    "outbox unmounted": (8, unmount),
    "outbox disk full": (8, disk_full),
    "outbox read-only": (4, outbox_read_only),
    "permissions flipped": (10, permissions),
    "ledger disk full": (8, ledger_disk_full),
    "ledger deleted": (1, lose_ledger),
    "ledger damaged": (1, damage_ledger),
    "cutout edited": (2, edit),
    "cutout deleted": (2, delete_cutout),
    "name taken by a stranger": (2, squat),
    "clock jumped": (8, clock),
}

KILLS = {
    "daemon killed", "daemon killed while starting", "daemon killed at a publication", "worker attacked",
}  # fmt: skip

# Events that need a certain disk or a faked clock; a run without it leaves them out.
NEEDS = {
    "outbox away and back": ("plain",),
    "outbox unmounted": ("bind",),
    "outbox disk full": ("tmpfs",),
    "outbox read-only": ("bind", "tmpfs"),
    "ledger disk full": ("state",),
}


def possible(world: World) -> dict[str, tuple[int, Event]]:
    """The events that this run's surroundings allow."""
    daemon = world.daemon
    missing = {
        "clock jumped": daemon.fake_clock is None,
        "permissions flipped": not daemon.wrapper,
        "sent again during its move": world.keep,
        "suspended past the time limit": daemon.time_limit_s is None,
    }
    return {
        name: one
        for name, one in EVENTS.items()
        if world.disk.kind in NEEDS.get(name, (world.disk.kind,)) and not missing.get(name, False)
    }


def can_mount() -> bool:
    return os.geteuid() == 0 and Disk.possible()
