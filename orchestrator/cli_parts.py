"""What the commands that talk to the daemon have in common: how they ask, and how they show the answer."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

UNWRAPPED = 10_000
"""Columns of output that goes to a file or a pipe: no line is broken for a screen that is not there."""

Json = Annotated[bool, typer.Option("--json", help="The answer as JSON.")]


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon that `ctl` talks to."""

    socket: Path | None
    config: Path | None
    is_json: bool
    """Whether `--json` stood before the verb."""

    def ask(self, verb: str, **args: Any) -> Any:
        from orchestrator.control import client
        from orchestrator.control.find import find_socket

        path = self.socket or find_socket(os.environ, self.config)
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
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print_out(render(answer if isinstance(answer, dict) else {}))


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
