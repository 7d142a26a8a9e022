"""What the commands have in common: options, examples, how they ask the daemon and show what it says."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

UNWRAPPED = 10_000
"""Columns of output that goes to a file or a pipe: no line is broken for a screen that is not there."""

Json = Annotated[bool, typer.Option("--json", help="The answer as JSON.")]
# readable=False: whether we may read a file is for us to find out, and to say in one line.
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", readable=False, help="TOML file with settings; else $ORCHESTRATOR_CONFIG."
    ),
]


class Exit(IntEnum):
    """How the program may end; `docs/cli.md` shows this table."""

    DONE = 0
    """Done. `ctl status` ends so whatever the daemon says of itself: scripts ask `/readyz`."""
    FAILED = 1
    """It could not be done, or the daemon refuses it; `doctor`: something is not well."""
    WRONG = 2
    """Wrong usage or settings, or a database that was replaced: nothing that another try would mend."""
    NO_DAEMON = 3
    """No daemon is listening."""
    INTERRUPTED = 130
    """Interrupted with Ctrl-C."""


def examples(*lines: str) -> str:
    """The end of a command's help: lines as one would type them, with what they are for behind a `#`."""
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def needs_command(context: typer.Context) -> None:
    """Without a command there is nothing to do but help."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(Exit.WRONG)


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon that `ctl` talks to."""

    socket: Path | None
    config: Path | None
    is_json: bool
    """Whether `--json` stood before the verb."""

    def ask(self, verb: str, **args: Any) -> Any:
        from orchestrator.control import client
        from orchestrator.control.find import find_socket, running

        path = self.socket or find_socket(os.environ, self.config, others=running)
        return client.request(path, verb, {name: value for name, value in args.items() if value is not None})


def show(
    daemon: Daemon,
    verb: str,
    render: "Callable[[Any], RenderableType]",
    is_json: bool,
    **args: str | int | None,
) -> None:
    """The daemon's answer as JSON, or as `render` makes it."""
    answer = daemon.ask(verb, **args)
    if daemon.is_json or is_json:
        print_json(answer)
    else:
        print_out(render(answer if isinstance(answer, dict) else {}))


def print_json(document: Any) -> None:
    """For programs."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def address(answer: Any) -> "RenderableType":
    """What an answer's address is."""
    from rich.text import Text

    from orchestrator.terminal.words import text

    return Text(text(answer, "url", "not there yet"))


def message(answer: Any) -> "RenderableType":
    """What an order's answer says."""
    from rich.text import Text

    from orchestrator.terminal.words import text

    return Text(text(answer, "message", "done"))


def print_out(renderable: "RenderableType") -> None:
    a_console().print(renderable)


def a_console() -> "Console":
    """Standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    return console
