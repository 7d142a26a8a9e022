"""`orchestrator service`: the daemon as a service of systemd."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.parts import Json, examples, needs_command, print_json

if TYPE_CHECKING:
    from orchestrator.service.install import Step

service = typer.Typer(help="The daemon as a service of systemd.", invoke_without_command=True)
service.callback()(needs_command)

ServiceUser = Annotated[str, typer.Option(metavar="NAME", help="The user that the service runs as.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@service.command(
    "install",
    epilog=examples(
        "orchestrator service install --dry-run   # what would be done?",
        "orchestrator service install --user publisher --config /etc/publisher/orchestrator.toml",
    ),
)
def install_service(
    user: ServiceUser = "orchestrator",
    config: Annotated[
        Path, typer.Option(metavar="FILE", readable=False, help="The service's settings; made if missing.")
    ] = Path("/etc/orchestrator/orchestrator.toml"),
    is_dry: DryRun = False,
    is_json: Json = False,
) -> None:
    """Make this installation a service: user, directories, units. After an upgrade: what has changed."""
    from orchestrator.service.install import Machine, install
    from orchestrator.service.units import place_of_this_program

    machine = Machine()
    if not is_dry:
        machine.check()
    steps = install(place_of_this_program(config, user), machine)
    then = f"Then: write {config}; systemctl restart orchestrator; systemctl status orchestrator"
    _carry_out(steps, then if steps and not is_dry else None, is_dry=is_dry, is_json=is_json)


@service.command(
    "uninstall",
    epilog=examples(
        "orchestrator service uninstall --dry-run",
        "orchestrator service uninstall",
    ),
)
def uninstall_service(
    user: ServiceUser = "orchestrator", is_dry: DryRun = False, is_json: Json = False
) -> None:
    """Stop the service and remove its units; settings, secrets and state stay."""
    from orchestrator.service.install import Machine, kept, uninstall

    machine = Machine()
    if not is_dry:
        machine.check()
    _carry_out(uninstall(machine), kept(machine, user), is_dry=is_dry, is_json=is_json)


def _carry_out(steps: "Sequence[Step]", last: str | None, *, is_dry: bool, is_json: bool) -> None:
    """Do the steps, or show what they would do; `last` is said at the end."""
    for step in steps:
        if not is_json:
            typer.echo(f"would {step.what}" if is_dry else step.what)
        if not is_dry:
            step.do()
        elif not is_json and step.detail:
            typer.echo("\n".join(f"    {line}" for line in step.detail.splitlines()))
    if is_json:
        listed = [{"what": step.what, "detail": step.detail} for step in steps]
        print_json({"is_dry": is_dry, "steps": listed, "message": last})
        return
    if not steps:
        typer.echo("nothing to do")
    if last:
        typer.echo(last)
