"""What `cutoutd once` says: progress, one line per trouble, a closing summary, or JSON; it cuts out nothing."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from msgspec import Struct, field
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cutoutd.config.errors import ExitCode, Reason, json_line, printable
from cutoutd.daemon.batch import Batch, Ended, Outcome
from cutoutd.daemon.sources import Gathered
from cutoutd.daemon.workers.engines import Loaded
from cutoutd.models.decoding import formats
from cutoutd.service.text import counted, said, tell

# More names than this are counted, not listed.
NAMES = 5
# Of so many photos, what was said of the first has left the screen when the last is done.
ONE_SCREEN = 20


class Report(Struct):
    """How a run went, and how it is told.

    Attributes:
        as_json: one object per photo on standard output, nothing for people.
        quiet: only failures are said; nothing where all went well.
        stream: standard output carries the cutout itself.
    """

    gathered: Gathered
    as_json: bool = False
    quiet: bool = False
    timings: bool = False
    stream: bool = False
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    stopped_by: int = 0
    _began: float = field(default_factory=time.monotonic)

    def follow(self, batch: Batch) -> None:
        """Runs the batch to its end, or until Ctrl-C or SIGTERM; then says how it went, whatever ended it."""
        photos = self.gathered.photos
        console = Console(stderr=True, highlight=False)
        silent = self.as_json or self.quiet or not console.is_terminal
        try:
            with (
                Progress(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    TimeRemainingColumn(compact=True),
                    console=console,
                    disable=silent,
                ) as progress,
                self._stoppable(batch),
                closing(batch.run(photos)) as outcomes,
            ):
                task = progress.add_task("Cutting out", total=len(photos))
                for outcome in outcomes:
                    self.outcomes.append(outcome)
                    progress.advance(task)
                    self._tell(outcome, progress.console)
        finally:
            if not self.as_json and not self.quiet:
                self._close(batch)

    @contextmanager
    def _stoppable(self, batch: Batch) -> Generator[None]:
        """Ctrl-C and SIGTERM end the run after what is being published; a second one ends it at once.

        A terminal may go.
        """

        def stop(number: int, _frame: Any) -> None:
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_DFL)
            self.stopped_by = number
            batch.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def exit_code(self) -> int:
        """0 when everything is cut out, now or before; 3 when something is not; 130 or 143 when stopped."""
        if self.stopped_by:
            return 128 + self.stopped_by
        sound = all(one.state is Ended.DONE or one.reason == Reason.EXISTS for one in self.outcomes)
        return (
            ExitCode.OK if sound and len(self.outcomes) == len(self.gathered.photos) else ExitCode.SOME_FAILED
        )

    def _tell(self, outcome: Outcome, console: Console) -> None:
        name = printable(outcome.source.path)
        if self.as_json:
            sys.stdout.write(json_line(as_dict(outcome)) + "\n")
            sys.stdout.flush()
        elif outcome.reason == Reason.EXISTS:
            return
        elif outcome.state is not Ended.DONE:
            tell(console, f"✗ {name}: {outcome.reason}. {outcome.detail}", "red", whole=[name])
        elif outcome.detail and not self.quiet:
            tell(console, f"• {name}: {outcome.detail}", "yellow", whole=[name])

    def _close(self, batch: Batch) -> None:
        """The summary: on standard output when somebody looks at it, else beside it."""
        out = sys.stdout if sys.stdout.isatty() and not self.stream else sys.stderr
        console = Console(file=out, highlight=False)
        for line in summary(self, batch.models):
            console.print(line, soft_wrap=True)
        if self.timings:
            console.print(timings_table(self.outcomes))

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """One photo's outcome for scripts, which get each name as it is."""
    return {
        "source": os.fsdecode(outcome.source.name),
        "state": outcome.state,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "outputs": [os.fsdecode(path) for path in outcome.outputs],
        "seconds": round(outcome.seconds, 3),
        "timings": {stage: round(seconds, 4) for stage, seconds in outcome.timings.items()},
        "confidence": None if outcome.confidence is None else round(outcome.confidence, 3),
        "needs_review": [str(reason) for reason in outcome.needs_review],
    }


def _worth_a_look(looks: int, done: int) -> str:
    if looks < done:
        return f"{looks} of them worth a look"
    return "worth a look" if done == 1 else "all of them worth a look"


def summary(report: Report, models: Mapping[str, Loaded]) -> Iterator[Text]:
    """How many are done, what was left, and where the first one lies."""
    total = len(report.gathered.photos)
    done = [one for one in report.outcomes if one.state is Ended.DONE]
    before = sum(one.reason == Reason.EXISTS for one in report.outcomes)
    bad = [one for one in report.outcomes if one.state is not Ended.DONE and one.reason != Reason.EXISTS]
    looks = [one for one in done if one.needs_review]
    if not total:
        *most, last = formats.PHOTO_FORMATS
        yield said(f"No photos there: {', '.join(most)} and {last} are taken up.")
        yield from _left_alone(report.gathered)
        return
    besides = [_worth_a_look(len(looks), len(done))] if looks else []
    besides += [f"{before} done before"] if before else []
    besides += [f"{len(bad)} without a cutout"] if bad else []
    running = [f"{name} on {one.provider}" for name, one in models.items()]
    cut_short = report.stopped_by or len(report.outcomes) < total
    style = "bold yellow" if bad or cut_short else "bold green"
    if cut_short:
        yield said(", ".join([f"Stopped: {len(done)} of {total} done", *besides]), style=style)
        yield said("The same command with --skip-existing goes on where this one stopped.")
    else:
        counts = ", ".join([f"{len(done)} done", *besides])
        yield said(" · ".join([counts, *running, f"{report.seconds:.1f} s"]), style=style)
    if done and not report.stream:
        yield said(f"First: {printable(done[0].outputs[0])}", style="dim")
    if len(report.outcomes) > ONE_SCREEN:
        yield from _listed("Without a cutout", [one.source.name for one in bad], "photo")
        yield from _listed("Worth a look", [one.source.name for one in looks], "photo")
    yield from _left_alone(report.gathered)


def _left_alone(gathered: Gathered) -> Iterator[Text]:
    """Files that nobody cut out, so that none is missed in silence."""
    for paths, what in (
        (gathered.others, "no photo by its name"),
        (gathered.again, "there under another name already"),
    ):
        yield from _listed(f"Left alone, {what}", paths, "file")


def _listed(what: str, paths: Sequence[bytes], noun: str) -> Iterator[Text]:
    """A line that names the first of them and counts the rest; none for none."""
    if paths:
        names = ", ".join(printable(os.path.basename(path)) for path in paths[:NAMES])  # noqa: PTH119 - bytes
        more = f" and {len(paths) - NAMES} more" if len(paths) > NAMES else ""
        yield said(f"{what}: {counted(len(paths), noun)} ({names}{more})", style="dim")


def timings_table(outcomes: list[Outcome]) -> Table:
    """Median milliseconds per stage over all finished photos."""
    table = Table("stage", "median ms", title="Where the time goes")
    done = [one for one in outcomes if one.state is Ended.DONE]
    stages = dict.fromkeys(stage for one in done for stage in one.timings)
    for stage in stages:
        values = [one.timings[stage] * 1000 for one in done if stage in one.timings]
        table.add_row(stage, f"{statistics.median(values):.0f}")
    if done:
        table.add_row("whole photo", f"{statistics.median(one.seconds * 1000 for one in done):.0f}")
    return table
