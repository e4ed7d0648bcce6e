"""The command line's table of contents: which module holds which command, loaded only when it is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from cutoutd.config.errors import CutoutError, ExitCode
from cutoutd.config.version import VERSION

# command → (module, attribute, one line of help); loading all of them would cost a second at every call.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("cutoutd.service.run_cli", "run", "Watch the inboxes in the foreground until stopped."),
    "once": ("cutoutd.service.once_cli", "once", "Cut out files and folders, once."),
    "init": ("cutoutd.service.config_cli", "init", "Write a commented config and make the folders."),
    "config": ("cutoutd.service.config_cli", "config", "Check and show the configuration."),
    "status": ("cutoutd.service.control_cli", "status", "What is owed, in hand, done and failed."),
    "failures": ("cutoutd.service.control_cli", "failures", "Failed photos, why, and what to do."),
    "retry": ("cutoutd.service.control_cli", "retry", "Try failed photos again."),
    "redo": ("cutoutd.service.control_cli", "redo", "Make finished cutouts again, with other options."),
    "pause": ("cutoutd.service.control_cli", "pause", "Start no new photo until `resume`."),
    "resume": ("cutoutd.service.control_cli", "resume", "Go on after `pause`."),
    "rescan": ("cutoutd.service.control_cli", "rescan", "Look through all inboxes now."),
    "forget": ("cutoutd.service.control_cli", "forget", "Remove names of finished photos from the ledger."),
    "models": ("cutoutd.service.models_cli", "models_group", "List, pull, add and compare networks."),
    "presets": ("cutoutd.service.presets_cli", "presets", "Ready sets of output options."),
    "service": ("cutoutd.service.service_cli", "service", "Install and steer the background service."),
    "doctor": ("cutoutd.service.doctor_cli", "doctor", "Check everything and say what to mend."),
    "verify": ("cutoutd.service.verify_cli", "verify", "Prove that nothing leaves this machine."),
    "gallery": ("cutoutd.service.gallery_cli", "gallery", "Before and after, as one page for a browser."),
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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a hint at the nearest command for a mistyped one."""
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(VERSION, "-V", "--version", message="cutoutd %(version)s")
def cutoutd() -> None:
    """Save a photo into a folder; seconds later a clean cutout lies in another. Nothing leaves the machine."""


def run(arguments: list[str]) -> int:
    """Runs one command line. Returns its exit code; errors of ours become one sentence on standard error."""
    try:
        answer = cutoutd.main(args=arguments, prog_name="cutoutd", standalone_mode=False)
    except CutoutError as error:
        sys.stderr.write(f"cutoutd: {error}\n")
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE) if isinstance(error, click.UsageError) else error.exit_code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("cutoutd: stopped.\n")
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`cutoutd status | head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return answer if isinstance(answer, int) else 0
