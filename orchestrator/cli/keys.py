"""`orchestrator keys`: the keys that encrypt what is kept."""

import typer

from orchestrator.cli.parts import Config, Json, examples, needs_command, print_json

keys = typer.Typer(help="The keys that encrypt what is kept.", invoke_without_command=True)
keys.callback()(needs_command)


@keys.command(
    "rotate", epilog=examples("orchestrator keys rotate --config /etc/orchestrator/orchestrator.toml")
)
def rotate_keys(config: Config = None, is_json: Json = False) -> None:
    """Make a new key and encrypt sign-ins and passwords anew with it. The daemon must not be running."""
    from orchestrator.log import configure
    from orchestrator.rotation import rotate
    from orchestrator.settings import LogSettings, Settings

    settings = Settings.load(config)
    configure(LogSettings(level="warning"), secrets=settings.secrets())
    said = rotate(settings)
    if is_json:
        print_json({"message": said})
    else:
        typer.echo(said)
