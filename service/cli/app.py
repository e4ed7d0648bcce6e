"""The command line's table of contents: which module holds which command, loaded only when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING, TypeGuard

import click
from click.shell_completion import CompletionItem

from cutoutd.config.errors import (
    ConfigError,
    CutoutError,
    ExitCode,
    LedgerError,
    mistake,
    printable,
    printable_lines,
)
from cutoutd.config.version import VERSION
from cutoutd.service.cli.examples import EXAMPLES, with_examples

if TYPE_CHECKING:
    import sqlite3

# command → (module, attribute, one line of help); loading all of them would cost a second at every call.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("cutoutd.service.cli.run", "run", "Watch the inboxes in the foreground until stopped."),
    "once": ("cutoutd.service.cli.once", "once", "Cut out files and folders, once."),
    "init": ("cutoutd.service.cli.config", "init", "Write a commented config and make the folders."),
    "config": ("cutoutd.service.cli.config", "config", "Check and show the configuration."),
    "status": ("cutoutd.service.cli.status", "status", "What is waiting, in hand, done and failed."),
    "failures": ("cutoutd.service.cli.status", "failures", "Failed photos, why, and what to do."),
    "review": (
        "cutoutd.service.cli.review",
        "review",
        "Cutouts that need a look; choices made on the gallery.",
    ),
    "retry": ("cutoutd.service.cli.control", "retry", "Try failed photos again."),
    "redo": ("cutoutd.service.cli.control", "redo", "Make finished cutouts again, with other options."),
    "pause": ("cutoutd.service.cli.control", "pause", "Start no new photo until `resume`."),
    "resume": ("cutoutd.service.cli.control", "resume", "Go on after `pause`."),
    "rescan": ("cutoutd.service.cli.control", "rescan", "Look through all inboxes now."),
    "forget": ("cutoutd.service.cli.control", "forget", "Remove names of finished photos from the ledger."),
    "events": ("cutoutd.service.cli.events", "events", "What happened to photos, line by line, for scripts."),
    "hooks": ("cutoutd.service.cli.events", "hooks", "Run your own commands after cutouts."),
    "fleet": ("cutoutd.service.cli.fleet", "fleet", "Let other machines work too."),
    "models": ("cutoutd.service.cli.models", "models_group", "List, pull, add and compare networks."),
    "presets": ("cutoutd.service.cli.presets", "presets", "Ready sets of output options."),
    "service": ("cutoutd.service.cli.service", "service", "Install and steer the background service."),
    "doctor": ("cutoutd.service.cli.doctor", "doctor", "Check everything and say what to fix."),
    "verify": ("cutoutd.service.cli.verify", "verify", "Prove that nothing leaves this machine."),
    "gallery": ("cutoutd.service.cli.gallery", "gallery", "Before and after, as a page for a browser."),
    "desktop": (
        "cutoutd.service.cli.desktop",
        "desktop",
        "Right click in the file manager: remove background.",
    ),
    "completion": ("cutoutd.service.cli.completion", "completion", "Commands and values by the tab key."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command with this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        gc.freeze()  # what was imported is never garbage
        gc.enable()
        return with_examples(command, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names for a tab, without importing any command."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=line)
            for name, (_, _, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a hint at the nearest command for a mistyped one."""
        import difflib
        import shlex

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            if os.path.exists(args[0]):  # noqa: PTH110 - pathlib would be loaded for this alone
                hint = f"\nTo cut it out: cutoutd once {shlex.quote(args[0])} -o cutouts/"
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    epilog="\b\nExamples:\n"
    + "\n".join(f"  cutoutd {typed}\n      {about}" for about, typed in EXAMPLES[""]),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, "-V", "--version", message="cutoutd %(version)s")
def cutoutd() -> None:
    """Save a photo into a folder; seconds later a clean cutout lies in another. Nothing leaves the machine."""


def run(arguments: list[str]) -> int:
    """Runs one command line. Returns its exit code; errors of ours become one sentence on standard error."""
    output = sys.stdout
    colour = False if os.environ.get("NO_COLOR") else None
    try:
        answer = cutoutd.main(args=arguments, prog_name="cutoutd", standalone_mode=False, color=colour)
    except CutoutError as error:
        sys.stderr.write(_sentence(error))
        return int(error.exit_code)
    except click.ClickException as error:
        # It quotes what was typed; click declares it final.
        vars(error)["message"] = printable_lines(error.message)
        error.show()
        return int(ExitCode.USAGE) if isinstance(error, click.UsageError) else error.exit_code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("cutoutd: stopped.\n")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as leave:
        # click and rich end the program themselves when the reader goes; click puts another stdout in place.
        if isinstance(leave.__context__, BrokenPipeError) or sys.stdout is not output:
            return _reader_gone()
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except Exception as error:
        if os.environ.get("CUTOUTD_TRACEBACK"):
            raise
        if _is_sqlites(error):
            sys.stderr.write(_sentence(_of_the_ledger(error)))
            return int(ExitCode.LEDGER)
        if not (isinstance(error, OSError) and _output_fails()):  # which the entry point says
            sys.stderr.write(f"cutoutd: {_unforeseen(error)}\n")
        return int(ExitCode.INTERNAL)
    return answer if isinstance(answer, int) else 0


def _output_fails() -> bool:
    """Whether standard output holds what its disk does not take."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _sentence(error: CutoutError) -> str:
    """What is said about an error; mistakes in a configuration start their line, as compilers write them."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    if len(problems) > 1:
        return _fitted(f"cutoutd: {len(problems)} mistakes in the configuration:\n{error}\n", error)
    return _fitted(f"cutoutd: {error}\n", error)


def _fitted(text: str, error: CutoutError) -> str:
    """Lines that end between words where somebody reads them on a terminal."""
    if not sys.stderr.isatty():
        return text
    import shutil

    from cutoutd.service.text import folded

    columns = shutil.get_terminal_size().columns
    whole = [] if error.path is None else [printable(error.path)]
    lines = text.rstrip("\n").split("\n")
    hang = 2 if len(lines) > 1 else None  # where each mistake begins is seen
    return "\n".join(folded(line, columns, hang=hang, whole=whole) for line in lines) + "\n"


def _is_sqlites(error: Exception) -> TypeGuard[sqlite3.DatabaseError]:
    import sqlite3  # most commands do without

    return isinstance(error, sqlite3.DatabaseError)


def _of_the_ledger(error: sqlite3.DatabaseError) -> CutoutError:
    """What is said when the ledger gives way in the middle of a command."""
    from cutoutd.config.places import state_dir
    from cutoutd.daemon.ledger.database import LEDGER_NAME
    from cutoutd.daemon.ledger.troubles import LedgerCorruptError, is_busy, is_damage

    if is_damage(error):
        fix = "The daemon moves it aside and rebuilds it, at its next start at the latest. No photo is lost."
        return LedgerCorruptError("The ledger is damaged", state_dir() / LEDGER_NAME, fix)
    if is_busy(error):
        return LedgerError(
            "Another program holds the ledger", state_dir() / LEDGER_NAME, "Try again in a moment."
        )
    fix = "Check the state folder's disk and permissions."
    return LedgerError(f"The ledger cannot be read ({error})", state_dir() / LEDGER_NAME, fix)


def _unforeseen(error: Exception) -> str:
    """A sentence for what no command foresaw: the system's own words where it is the system's trouble."""
    if isinstance(error, MemoryError):
        return (
            f"{str(error) or 'There is not enough memory'}. Close other programs, or choose a smaller model."
        )
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_working_folder():
        return "The folder that this was started in is gone. Change to another one, and try again."
    if isinstance(error, OSError) and error.strerror:
        where = f"{printable(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        whose = (
            " Try it as the user whose it is, or with sudo."
            if isinstance(error, PermissionError) and where
            else ""
        )
        return f"{where}{error.strerror}.{whose}"
    return (
        f"Something unforeseen went wrong ({mistake(error)}). Please report it, with what "
        "CUTOUTD_TRACEBACK=1 in front of the same command shows."
    )


def _has_working_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib would be loaded for this alone
    except OSError:
        return False
    return True


def _reader_gone() -> int:
    """The reader of our output went away (`cutoutd status | head`): nothing is wrong."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
