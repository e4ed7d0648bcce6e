"""The privacy self-test's look at what is installed: models as shipped, one's own state folder, the daemon at work.

What the run of its own shows is judged in `judge.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cutoutd.config.errors import CutoutError, printable
from cutoutd.config.settings import Settings
from cutoutd.models.networks.catalog import ModelSpec, resolve
from cutoutd.models.networks.store import digest_file, mismatch
from cutoutd.service.verify.judge import Check, Verdict, check, private
from cutoutd.service.verify.probes import seccomp_filters


def installation(settings: Settings, models_dir: Path, state_dir: Path, pid: int | None) -> Iterator[Check]:
    """What is installed here: models as shipped, the user's own state folder, the daemon that runs now.

    Args:
        settings: the user's.
        models_dir: where pulled and added models lie.
        state_dir: the daemon's; it need not exist.
        pid: of the daemon that is at work, or None.
    """
    seen: set[str] = set()
    for inbox in settings.inbox:
        for wanted in ("fast", "standard", inbox.model or inbox.quality):
            try:
                spec = resolve(wanted, models_dir, settings.engine.effort)
            except CutoutError as error:
                yield check("model", f"the model {wanted}", str(error), holds=False)
                continue
            if spec.name not in seen:
                seen.add(spec.name)
                yield _model(spec)
    if (state_dir / "ledger.sqlite").exists():
        yield private("modes", f"your state folder {printable(state_dir)}", state_dir)
    if pid and sys.platform == "linux":
        yield _running(pid)


def _model(spec: ModelSpec) -> Check:
    tried = f"digest of the model {spec.name}"
    try:
        found = digest_file(spec.path) if spec.path is not None else None
    except OSError as error:
        return check("model", tried, f"it cannot be read ({error.strerror})", holds=False)
    if found is None:
        return check("model", tried, "not installed", holds=False)
    wrong = mismatch(found, spec)
    return check("model", tried, wrong or f"as shipped ({found.sha256[:16]}…)", holds=not wrong)


def _running(pid: int) -> Check:
    """The kernel's word on the daemon at work and its children; readable for everybody."""
    tried = f"the daemon at work now (process {pid})"
    processes = [pid, *_children(pid)]
    filters = [seccomp_filters(one) for one in processes]
    if filters[0] is None:
        return Check("network", tried, "the kernel does not say", Verdict.NOT_ENFORCED, required=False)
    # A child may be between its start and its first acts, or Python's helper that owns no photo: it inherited.
    bare = [process for process, count in zip(processes, filters, strict=True) if count == 0]
    answer = (
        f"without a filter: {bare}"
        if bare
        else f"a filter is in force in it and its {len(processes) - 1} children"
    )
    return check("network", tried, answer, holds=not bare)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
