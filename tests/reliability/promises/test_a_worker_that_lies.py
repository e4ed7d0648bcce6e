"""A worker that a photo has taken over, after its sandbox stands: what it can make the real daemon do. Nothing.

The daemon and its workers are real. A `sitecustomize` on the import path waits, in the worker alone, for the module
with the function that works on photos and replaces it: what is called inside the sandbox is our code, where a decoder's
would be that a hostile file had taken over. It writes to the pipe what it likes, or does what
it likes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.daemon_process import Daemon
from tests.support.photos import encoded

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's"),
    pytest.mark.timeout(900),
]

TAKE_OVER = """
import sys
if any("cutoutd.daemon.workers.process" in part for part in sys.orig_argv):
    import importlib.abc, importlib.util
    # The second is loaded by the first call with a photo, and must be there before; a worker that was started ahead
    # loads it first of all.
    WAITED_FOR = ["cutoutd.daemon.workers.engines", "cutoutd.daemon.workers.job"]
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name not in WAITED_FOR:
                return None
            WAITED_FOR.remove(name)
            spec = importlib.util.find_spec(name)
            honest = spec.loader.exec_module
            def exec_module(module):
                honest(module)
                import cutoutd.daemon.workers.job as jobs  # where it is what loads the other, it is not whole yet
                if module is jobs:
                    import evil
                    evil.take_over(jobs)
            spec.loader.exec_module = exec_module
            return spec
    sys.meta_path.insert(0, Finder())
"""

# Photos whose name begins with "evil" are worked on by this, others honestly.
EVIL = '''
import fcntl, functools, json, os, stat, time

def pipe():
    """The end that answers go into."""
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & 3 == os.O_WRONLY:
                return fd
        except OSError:
            pass

def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(pipe(), view):]

def framed(body):
    return len(body).to_bytes(4, "big") + body

def answer(number, **changes):
    message = {"call": number, "rss_bytes": 1, "result": None, "fault": None, **changes}
    send(framed(json.dumps(message).encode()))
    time.sleep(600)

def report(job, facts, **changes):
    written = {"is": "Written", "out_digest": "11" * 24, "out_size": 12, "width": 1, "height": 1, "sha256": ""}
    return {"is": "Report", "confidence": 0.9, "doubts": [],
            "digest": "00" * 32, "size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino,
            "width": 1, "height": 1, "coverage": 0.5, "written": [written], "timings": {}, "notes": [], **changes}

def reached(job):
    """What native code in a worker would try next, from here: what is possible, and what is held open."""
    from pathlib import Path
    from cutoutd.service.verify.probes import Tries, reach
    photo, outbox = Path(os.fsdecode(job.path)), Path(os.fsdecode(job.outboxes[0]))
    allowed = [act for act, said in reach(Tries(photo=photo, cutout=outbox / "good.png")).items() if said == "allowed"]
    for fd in range(256):
        try:
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
        except OSError:
            continue
        if kind == stat.S_IFSOCK or (fd < 3 and kind != stat.S_IFCHR):
            allowed.append(f"descriptor {fd}")
    for path in (os.environ["EVIL_CACHE"], os.environ["EVIL_KEY"]):
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC):
            try:
                os.close(os.open(path, flags))
            except OSError:
                continue
            if path == os.environ["EVIL_KEY"] or flags != os.O_RDONLY:
                allowed.append(f"open {os.path.basename(path)} with {flags}")
    import sys
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None and tracker._resource_tracker._fd is not None:
        allowed.append("multiprocessing's tracker")
    return "; ".join(allowed) or "nothing"

def take_over(jobs):
    honest = jobs.run_job
    from cutoutd.daemon.workers import process, protocol
    calls = []
    answered = process._answered
    def watching(body, watch):
        calls.append(json.loads(body)["call"])
        return answered(body, watch)
    process._answered = watching

    @functools.wraps(honest)  # the annotations too: they say what a job is
    def run_job(job):
        if not job.name.startswith("evil"):
            return honest(job)
        n, facts, kind = calls[-1], os.stat(job.path), job.name[5:-4]
        key, planted = os.environ["EVIL_KEY"], "/../../home/.config/autostart/evil.desktop"
        w = report(job, facts)["written"][0]
        match kind:
            case "delete": answer(n, result=report(job, facts, written=[{**w, "temporary": key.encode().hex()}]))
            case "steal": answer(n, result=report(job, facts, temporaries=[key.encode().hex()]))
            case "plant": answer(n, result=report(job, facts, written=[{**w, "extension": planted}]))
            case "objects":
                return protocol.Finished(digest="00" * 32, size=1, mtime_ns=1, inode=1, width=1, height=1, coverage=0.5,
                    files=(protocol.FinishedFile(label="cutout", temporary=key.encode(), out_digest="11" * 24,
                    out_size=12, width=1, height=1, extension=planted),), timings={})
            case "five": answer(n, result=5)
            case "nothing": answer(n)
            case "surrogate": answer(n, result={"is": "Refused", "reason": "unreadable", "detail": "\\udc80"})
            case "escape": answer(n, result={"is": "Refused", "reason": "unreadable", "detail": "\\x1b[2J"})
            case "reason": answer(n, result={"is": "Refused", "reason": "raw-pair", "detail": ""})
            case "known": answer(n, result={"is": "Known", "digest": "22" * 32})
            case "small": answer(n, result={"is": "OverBudget", "megapixels": 0.1})
            case "mtime": answer(n, result=report(job, facts, mtime_ns=10**40))
            case "inode": answer(n, result=report(job, facts, inode=-1))
            case "nan": answer(n, result=report(job, facts, coverage=float("nan")))
            case "huge": answer(n, result=report(job, facts, width=10**4000))
            case "many": answer(n, result=report(job, facts, written=[w] * 3))
            case "timings": answer(n, result=report(job, facts, timings={"x" * 1000: 1.0}))
            case "doubt": answer(n, result=report(job, facts, confidence=0.5, doubts=["<b>"]))
            case "doubts": answer(n, result=report(job, facts, confidence=0.5, doubts=["touches the frame"] * 2))
            case "unsure": answer(n, result=report(job, facts, confidence=None, doubts=["touches the frame"]))
            case "sure": answer(n, result=report(job, facts, confidence=1.5, doubts=[]))
            case "rss": answer(n, rss_bytes=-(10**30), result={"is": "Changed"})
            case "number": answer(n + 1, result={"is": "Changed"})
            case "fault": answer(n, fault={"is": "SystemExit", "kind": "other"})
            case "pickle":
                send(framed(b"\\x80\\x04cos\\nsystem\\n(Vtouch " + key.encode() + b"2\\ntR."))
                time.sleep(600)
            case "nested": send(framed(b"[" * 200_000)); time.sleep(600)
            case "oversized": send(b"\\xff\\xff\\xff\\xff" + bytes(1000)); time.sleep(600)
            case "endless":
                send((250_000).to_bytes(4, "big"))
                while True: send(b" " * 65536)
            case "half": send((1000).to_bytes(4, "big") + b"{"); os._exit(0)
            case "slow": send((1000).to_bytes(4, "big") + b"{"); time.sleep(600)
            case "closed": os.close(pipe()); time.sleep(600)
            case "reach": return protocol.Refused("unreadable", reached(job))
            case "truth": return protocol.Refused("unreadable", "taken over")
    jobs.run_job = run_job
'''
# Each forgery is the end of its worker; "slow" and "closed" are told by the time limit, or by the pipe's end.
FORGERIES = (
    "delete", "steal", "plant", "objects", "five", "nothing", "surrogate", "escape", "reason", "known", "small",
    "mtime", "inode", "nan", "huge", "many", "timings",
    "doubt", "doubts", "unsure", "sure", "rss", "number", "fault", "pickle", "nested", "oversized",
    "endless", "half", "slow",
)  # fmt: skip
# Each costs a worker, whose successor takes a second and a half of a core; of every kind one, and all of them with
# CUTOUTD_EVERY_POINT=1. What the reader of answers refuses is tried without a process in test_codec.py.
OF_EACH_KIND = ("delete", "plant", "objects", "inode", "number", "pickle", "oversized", "half", "slow")
TRIED = FORGERIES if os.environ.get("CUTOUTD_EVERY_POINT") == "1" else OF_EACH_KIND


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Daemons whose workers are taken over; a key lies in the home folder."""
    made: list[Daemon] = []

    def one(**options: str) -> Daemon:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(TAKE_OVER)
        (site / "evil.py").write_text(EVIL)
        root = tmp_path / "daemon"
        ours = root / "home" / ".ssh"
        ours.mkdir(parents=True, mode=0o700)
        (root / "home" / ".config" / "autostart").mkdir(parents=True)
        key = ours / "id_rsa"
        key.write_text("PRIVATE KEY\n")
        key.chmod(0o600)
        environment = {
            "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "EVIL_KEY": str(key),
            "EVIL_CACHE": str(root / "cache" / "old.onnx"),
        }
        made.append(Daemon(root, environment=environment, **options))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()


def test_every_forged_answer_costs_its_photo_and_nothing_else(taken: Callable[..., Daemon]) -> None:
    tables = '[limits]\ntime_per_photo = "4s"\nattempts_after_death = 1\n[engine]\nworkers = 2'
    one = taken(tables=tables).start()
    plain = encoded("chelsea", size=(160, 120))
    for number, kind in enumerate((*TRIED, "truth")):
        (one.inbox / f"evil-{kind}.jpg").write_bytes(plain + b"%d" % number)
    (one.inbox / "good.jpg").write_bytes(plain)
    one.wait(
        lambda: len(one.rows("state = 'failed' AND live")) == len(TRIED) + 1, "every forgery's failure", 600
    )
    one.wait(lambda: one.outputs() == ["good.png"], "the honest photo", 60)
    failed = {os.fsdecode(row["path"])[5:-4]: row for row in one.rows("state = 'failed' AND live")}
    # The trick works at all: an answer within the schema arrives as it was forged.
    assert failed["truth"]["detail"] == "taken over"
    for kind in TRIED:
        expected = {"too-slow"} if kind == "slow" else {"crashed"}
        assert failed[kind]["reason"] in expected, (kind, failed[kind]["reason"], failed[kind]["detail"])
    # What was refused is the forgery itself, and no answer that came under a wrong number.
    refused = {
        kind: failed[kind]["detail"] for kind in TRIED if "answer was refused" in failed[kind]["detail"]
    }
    assert set(TRIED) - refused.keys() == {"half", "slow"}
    assert [kind for kind, detail in refused.items() if "to another call" in detail] == ["number"]
    # Nothing of anybody's was touched.
    key = one.root / "home" / ".ssh" / "id_rsa"
    assert key.read_text() == "PRIVATE KEY\n"
    assert key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in key.parent.iterdir()) == ["id_rsa"]
    assert not list((one.root / "home" / ".config" / "autostart").iterdir())
    assert (one.inbox / "evil-delete.jpg").exists()
    assert one.stop() == 0
    assert one.outputs() == ["good.png"]
    assert not one.said("Traceback")


def test_what_a_worker_reaches_from_inside_a_running_daemon_is_nothing(taken: Callable[..., Daemon]) -> None:
    """Its standard error is a socket, as under systemd; the engine's cache holds a prepared network."""
    one = taken(tables="[limits]\nattempts_after_death = 1\n[engine]\nworkers = 1")
    (one.root / "cache").mkdir()
    (one.root / "cache" / "old.onnx").write_bytes(b"prepared")
    one.start()
    plain = encoded("chelsea", size=(160, 120))
    (one.inbox / "good.jpg").write_bytes(plain)
    one.wait(lambda: one.outputs() == ["good.png"], "a first cutout", 60)
    (one.inbox / "evil-reach.jpg").write_bytes(plain + b"reach")
    one.wait(lambda: one.state_of("evil-reach.jpg") == "failed", "its answer", 60)
    row = one.row("evil-reach.jpg")
    assert row is not None
    assert row["detail"] == "nothing", row["detail"]
    assert (one.root / "cache" / "old.onnx").read_bytes() == b"prepared"
    assert one.stop() == 0
