"""The command `orchestrator`: run the daemon, show it as a demo, check settings, talk to a daemon.

What a command needs is imported when it runs, so that `--help` and `ctl` are quick.

Exit codes: 0 done; 1 it could not be done; 2 wrong usage or settings; 3 no daemon is listening; 130
interrupted. `ctl status` exits with 0 whatever the daemon says of itself: `/readyz` is for machines.
"""

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.control.find import demo_state_dir
from orchestrator.errors import NoDaemonError, OrchestratorError, SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

FAILED, WRONG_SETTINGS, NO_DAEMON, INTERRUPTED = 1, 2, 3, 130

cli = typer.Typer(
    name="orchestrator",
    help="A daemon that runs a browser-driven publishing pipeline on one small machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ctl = typer.Typer(help="Talk to the running daemon.", no_args_is_help=True)
cli.add_typer(ctl, name="ctl")

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file with settings; else $ORCHESTRATOR_CONFIG."),
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's name; `ctl jobs` lists them.")]
AnyJob = Annotated[
    str | None,
    typer.Argument(metavar="[JOB]", help="A job's name; without one, every job.", show_default=False),
]


def main() -> None:
    """Run the command line; errors end as one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # An odd locale must cost a character, not the whole answer.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    # The collector would go through all that is being imported again and again: a quarter of the start.
    # A command that stays has it turned on again, as `start.run` does.
    gc.disable()
    try:
        cli()
    except OrchestratorError as error:
        sys.exit(tell(error))
    except BaseExceptionGroup as group:
        sys.exit(_tell_group(group))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def tell(error: OrchestratorError) -> int:
    """Say what went wrong, one line for each thing; returns the exit code."""
    for line in error.line().splitlines():
        print(f"error: {line}", file=sys.stderr)
    if isinstance(error, SettingsError):
        return WRONG_SETTINGS
    return NO_DAEMON if isinstance(error, NoDaemonError) else FAILED


def _tell_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Tell the errors that nurseries have wrapped. A group with a bug in it keeps its traceback."""
    known, unknown = group.split((OrchestratorError, KeyboardInterrupt))
    if unknown is not None or known is None:
        raise group
    errors = [error for error in _leaves(known) if isinstance(error, OrchestratorError)]
    return max((tell(error) for error in errors), default=INTERRUPTED)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


# ── the daemon ──────────────────────────────────────────────────────────────────────────────────


@cli.command()
def run(config: Config = None) -> None:
    """Run the daemon in the foreground. SIGTERM or SIGINT drains and ends it; a second one hurries it."""
    from orchestrator import start
    from orchestrator.settings import Settings

    start.run(Settings.load(config))


@cli.command()
def demo(
    state_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; by default in the user's state directory.")
    ] = None,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="/readyz and /metrics; 0: any.")] = 8700,
    site_port: Annotated[int, typer.Option(min=0, max=65535, help="The bundled site; 0: any.")] = 8701,
    speed: Annotated[
        float, typer.Option(min=1, max=10_000, help="How many times as fast as real the clock runs.")
    ] = 240,
    accounts: Annotated[int, typer.Option(min=1, max=64, help="Accounts that the daemon posts for.")] = 2,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False,
) -> None:
    """Run the daemon with the bundled site, its own database and a fast clock, and watch it work."""
    from orchestrator.showcase import DemoOptions, run_demo

    state_dir = state_dir or demo_state_dir(os.environ)
    run_demo(DemoOptions(state_dir, http_port, site_port, speed, accounts, plain))


@cli.command()
def check(config: Config = None) -> None:
    """Check the settings, and show each one, its value and where it came from."""
    from orchestrator import jobs, wiring
    from orchestrator.settings import Settings, describe
    from orchestrator.terminal import render_settings

    settings = Settings.load(config)
    wiring.make_accounts(settings)  # reads the profiles and the passwords
    jobs.check_names(settings.jobs)
    rows = describe(settings)
    _print(render_settings([(row.name, row.value, row.source) for row in rows]))


def _print(renderable: "RenderableType") -> None:
    from rich.console import Console

    Console(highlight=False).print(renderable)


# ── ctl ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Daemon:
    """The daemon that `ctl` talks to, and how its answers are shown."""

    socket: Path | None
    config: Path | None
    is_json: bool

    def ask(self, verb: str, **args: Any) -> Any:
        from orchestrator.control import client
        from orchestrator.control.find import find_socket

        path = self.socket or find_socket(os.environ, self.config)
        return client.request(path, verb, {name: value for name, value in args.items() if value is not None})

    def show(self, answer: Any, render: "Callable[[Any], RenderableType]") -> None:
        """The answer as JSON, or as `render` makes it."""
        if self.is_json:
            typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
            return
        _print(render(answer if isinstance(answer, dict) else {}))


@ctl.callback()
def _ctl(
    context: typer.Context,
    socket: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Control socket; else the settings name it.")
    ] = None,
    config: Config = None,
    is_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    context.obj = _Daemon(socket, config, is_json)


@ctl.command()
def status(context: typer.Context) -> None:
    """What runs, what waits, why, and what is wrong, in one screen."""
    from orchestrator.terminal import render_status

    daemon: _Daemon = context.obj
    daemon.show(daemon.ask("status"), render_status)


@ctl.command()
def jobs(context: typer.Context) -> None:
    """Every job: its state, how its last run ended, when it runs next, and why."""
    from orchestrator.terminal import render_jobs

    daemon: _Daemon = context.obj
    daemon.show(daemon.ask("jobs"), render_jobs)


@ctl.command()
def queue(context: typer.Context) -> None:
    """Who holds the browser contexts, and who waits for one."""
    from orchestrator.terminal import render_queue

    daemon: _Daemon = context.obj
    daemon.show(daemon.ask("queue"), render_queue)


@ctl.command()
def why(context: typer.Context, job: Job) -> None:
    """Why a job does what it does now: what it waits for, who holds that, and for how long."""
    from orchestrator.terminal import render_why

    daemon: _Daemon = context.obj
    daemon.show(daemon.ask("why", job=job), render_why)


@ctl.command()
def pause(context: typer.Context, job: AnyJob = None) -> None:
    """Start no more runs of a job, or of any; what runs may end."""
    _order(context.obj, "pause", job=job)


@ctl.command()
def resume(context: typer.Context, job: AnyJob = None) -> None:
    """End a pause. A job that missed runs runs once."""
    _order(context.obj, "resume", job=job)


@ctl.command("run")
def run_job(context: typer.Context, job: Job) -> None:
    """Run a job now; a job that failed for good is started again."""
    _order(context.obj, "run", job=job)


@ctl.command()
def drain(context: typer.Context) -> None:
    """Stop the daemon: running jobs may end, nothing new starts, then it exits."""
    _order(context.obj, "drain")


def _order(daemon: _Daemon, verb: str, **args: Any) -> None:
    from rich.text import Text

    from orchestrator.terminal.words import text

    daemon.show(daemon.ask(verb, **args), lambda answer: Text(text(answer, "message", "done")))
