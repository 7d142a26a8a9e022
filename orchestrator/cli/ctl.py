"""`orchestrator ctl`: the group of all that talks to the running daemon."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.parts import Config, Daemon, Json, examples, needs_command


class _Ctl(TyperGroup):
    """A group whose own options may also stand behind the verb, where people write them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own: list[str] = []
        rest = list(args)
        for at in range(len(args) - 1, -1, -1):
            name, _, value = args[at].partition("=")
            if name in ("--socket", "--config") and (value or at + 1 < len(args)):
                end = at + 1 if value else at + 2
                own = [*args[at:end], *own]
                del rest[at:end]
        return super().parse_args(ctx, [*own, *rest])


ctl = typer.Typer(
    cls=_Ctl,
    help="Talk to the running daemon.",
    epilog=examples(
        "orchestrator ctl status                    # the first line says whether all is well",
        "orchestrator ctl why posting               # why a job does not run now",
        "orchestrator ctl posts --state ambiguous   # what waits for a decision",
        "orchestrator ctl --socket state/control.sock status",
    ),
    invoke_without_command=True,
)


@ctl.callback()
def _ctl(
    context: typer.Context,
    socket: Annotated[
        Path | None,
        typer.Option(metavar="PATH", readable=False, help="Control socket; else the settings name it."),
    ] = None,
    config: Config = None,
    is_json: Json = False,
) -> None:
    needs_command(context)
    context.obj = Daemon(socket, config, is_json)
