"""`orchestrator alerts`: what tells people outside."""

from typing import Annotated

import typer

from orchestrator.cli.parts import Config, Json, examples, needs_command, print_json

outside = typer.Typer(help="Alerts to people outside.", invoke_without_command=True)
outside.callback()(needs_command)


@outside.command(
    "test",
    epilog=examples(
        "orchestrator alerts test --config orchestrator.toml         # to all destinations",
        "orchestrator alerts test ops --config orchestrator.toml",
    ),
)
def send_test_message(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A destination; without one, all of them.", show_default=False),
    ] = None,
    config: Config = None,
    is_json: Json = False,
) -> None:
    """Send a test message to a destination of alerts, or to all; no daemon is needed."""
    import trio

    from orchestrator.alerts.sender import send_test
    from orchestrator.settings import Settings

    lines = trio.run(send_test, Settings.load(config).alerts, name)
    if is_json:
        print_json({"messages": lines})
    else:
        typer.echo("\n".join(lines))
