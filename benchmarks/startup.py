"""Starting and resting: `--version`, readiness, the first cutout, idle processor time and memory, installed size."""

from __future__ import annotations

import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.options import Options
from benchmarks.running import daemon, visible
from tests.support.daemon_process import Daemon

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
IDLE_S = 60.0
_UNLOAD_S = 2


def run(options: Options) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="cutoutd-installed-") as folder:
        program, size = _installed(Path(folder))
        versions = [_version(program) for _ in range(5 if options.quick else 30)]
    ready, first = zip(*(_start(options) for _ in range(1 if options.quick else options.rounds)), strict=True)
    return {
        "version_s": measure.spread(versions),
        "installed_mb": {name: bytes_ / 1e6 for name, bytes_ in size.items()},
        "ready_s": measure.spread(ready),
        "first_cutout_s": measure.spread(first),
        **_rest(options),
    }


def _installed(folder: Path) -> tuple[Path, dict[str, int]]:
    """The product alone in an empty environment, as `make run` installs it: its program, and bytes per package."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    before = set(site.iterdir())
    install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), str(ROOT)]
    subprocess.run(install, check=True)
    sizes: dict[str, int] = {}
    for entry in sorted(set(site.iterdir()) - before):
        sizes[entry.name] = _bytes(entry)
    large = dict(sorted(sizes.items(), key=lambda item: -item[1])[:8])
    return folder / "env" / "bin" / "cutoutd", {"all": sum(sizes.values()), **large}


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_blocks * 512 for one in files)


def _version(program: Path) -> float:
    started = time.perf_counter()
    subprocess.run([str(program), "--version"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _start(options: Options) -> tuple[float, float]:
    """Seconds from the start to `ready`, and to the cutout of a 24-megapixel photo that was waiting."""
    running = daemon(options.fresh("startup"))
    running.inbox.mkdir(parents=True)
    source = options.photos(options.large, 1)[0]
    (running.inbox / "waiting.jpg").write_bytes(source.read_bytes())
    # A file that was there before: its change time is old, so nothing has to settle.
    time.sleep(0 if options.quick else 11)
    started = time.perf_counter()
    running.start(ready=False)
    running.wait(lambda: running.said("ready"), "the daemon to be ready", 60)
    ready = time.perf_counter() - started
    first = visible(running.outbox / "waiting.png") - started
    running.stop()
    return ready, first


def _rest(options: Options) -> dict[str, Any]:
    """Idle: processor share with the model loaded and unloaded, and resident memory."""
    running = daemon(options.fresh("resting"), tables="[engine]\nidle_unload = 0\n").start()
    loaded = _idle(running, options)
    source = options.photos(options.large, 1)[0]
    (running.inbox / "one.jpg").write_bytes(source.read_bytes())
    visible(running.outbox / "one.png")
    time.sleep(2)
    after_photo = _memory(running)
    running.stop()
    tables = f"[engine]\nidle_unload = {_UNLOAD_S}\n"
    running = daemon(options.fresh("resting"), tables=tables).start()
    (running.inbox / "one.jpg").write_bytes(source.read_bytes())
    visible(running.outbox / "one.png")
    running.wait(lambda: not _workers(running), "the workers to be unloaded", 60)
    unloaded = _idle(running, options)
    running.stop()
    return {"idle_loaded": loaded, "after_a_photo": after_photo, "idle_unloaded": unloaded}


def _idle(running: Daemon, options: Options) -> dict[str, float]:
    assert running.process is not None  # noqa: S101 - it runs
    pid, seconds = running.process.pid, 10.0 if options.quick else IDLE_S
    time.sleep(5)  # what follows a start has died down
    before = measure.tree_cpu_s(pid)
    time.sleep(seconds)
    share = (measure.tree_cpu_s(pid) - before) / seconds * 100
    return {"cpu_percent_of_a_core": share, "seconds": seconds, **_memory(running)}


def _memory(running: Daemon) -> dict[str, float]:
    assert running.process is not None  # noqa: S101 - it runs
    pid = running.process.pid
    return {
        "supervisor_resident_mb": measure.resident(pid) / 1e6,
        "tree_resident_mb": sum(measure.resident(one) for one in measure.tree(pid)) / 1e6,
        "tree_pss_mb": measure.tree_pss(pid) / 1e6,
        "processes": len(measure.tree(pid)),
    }


def _workers(running: Daemon) -> list[int]:
    """Worker processes alone: the resource tracker, a few megabytes of standard library, stays."""
    assert running.process is not None  # noqa: S101 - it runs
    found: list[int] = []
    for pid in measure.tree(running.process.pid)[1:]:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            found.append(pid)
    return found
