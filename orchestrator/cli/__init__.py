"""The command `orchestrator`: run the daemon, show it as a demo, check settings, talk to a daemon.

What a command needs is imported when it runs, so that `--help` and `ctl` are quick. Exit codes are
`parts.Exit`; whatever goes wrong is a line on standard error, with its traceback after `--debug`.
"""

import gc
import os
import sys
import traceback
from typing import Annotated

import typer

import orchestrator
from orchestrator.cli import accounts, alerts, completion, ctl, daemon, keys, orders, posts, service, views
from orchestrator.cli.parts import Exit, examples, needs_command
from orchestrator.errors import (
    DatabaseReplacedError,
    DatabaseUnfitError,
    NoDaemonError,
    OrchestratorError,
    SettingsError,
)

DEBUG = "--debug"

cli = typer.Typer(
    name="orchestrator",
    help="A daemon that runs a browser-driven publishing pipeline on one small machine.",
    epilog=examples(
        "orchestrator demo                               # see it at work",
        "orchestrator check --config orchestrator.toml   # are my settings right?",
        "orchestrator run --config orchestrator.toml     # the daemon",
        "orchestrator ctl status                         # what it does now",
        "orchestrator ctl --help                         # ask it, tell it",
    )
    + "\n\nExit codes: 0 done; 1 it could not be done; 2 wrong usage or settings; 3 no daemon is listening.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (views.commands, posts.commands, orders.commands):
    ctl.ctl.add_typer(part)
ctl.ctl.add_typer(posts.post, name="post")
ctl.ctl.add_typer(posts.reply, name="reply")
ctl.ctl.add_typer(accounts.accounts, name="accounts")
cli.add_typer(daemon.commands)
cli.add_typer(completion.commands)
cli.add_typer(ctl.ctl, name="ctl")
cli.add_typer(service.service, name="service")
cli.add_typer(alerts.outside, name="alerts")
cli.add_typer(keys.keys, name="keys")


def main() -> None:
    """Run the command line; errors end as one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # An odd locale must cost a character, not the whole answer.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    # The collector would go through all that is being imported again and again: a quarter of the start.
    # A command that stays has it turned on again, as `start.run` does.
    gc.disable()
    completion.prepare(os.environ)
    arguments, is_debug = without_debug(sys.argv[1:])
    try:
        sys.exit(cli(arguments, prog_name="orchestrator", standalone_mode=False) or 0)
    except typer.TyperException as error:
        sys.exit(_tell_usage(error))
    except (OrchestratorError, BaseExceptionGroup) as error:
        if is_debug:
            traceback.print_exception(error)
        sys.exit(tell(error) if isinstance(error, OrchestratorError) else _tell_group(error))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


def without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, which may stand anywhere before a `--`; and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours = [argument for argument in arguments[:end] if argument != DEBUG]
    return ours + arguments[end:], len(ours) < end


def tell(error: OrchestratorError) -> int:
    """Say what went wrong, one line for each thing; returns the exit code."""
    for line in error.line().splitlines():
        print(f"error: {line}", file=sys.stderr)
    if isinstance(error, SettingsError | DatabaseReplacedError | DatabaseUnfitError):
        return Exit.WRONG  # nothing that another start would mend
    return Exit.NO_DAEMON if isinstance(error, NoDaemonError) else Exit.FAILED


def _tell_usage(error: typer.TyperException) -> int:
    """Say what is wrong with the command line, and where its right form stands."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "orchestrator"
    said = error.format_message().replace("Value error, ", "")  # the words of the library that parses
    end = "" if said.endswith(("?", ".")) else "."
    print(f"error: {said}{end} See: {command} --help", file=sys.stderr)
    return Exit.WRONG


def _tell_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Tell the errors that nurseries have wrapped. A group with a bug in it keeps its traceback."""
    known, unknown = group.split((OrchestratorError, KeyboardInterrupt))
    if unknown is not None or known is None:
        raise group
    errors = [error for error in _leaves(known) if isinstance(error, OrchestratorError)]
    return max((tell(error) for error in errors), default=Exit.INTERRUPTED)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"orchestrator {orchestrator.__version__}")
        raise typer.Exit


@cli.callback()
def _cli(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    _debug: Annotated[
        bool, typer.Option(DEBUG, help="Show an error's traceback too; may stand anywhere.")
    ] = False,
) -> None:
    needs_command(context)
