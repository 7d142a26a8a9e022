"""The commands that need no running daemon: `run`, `demo`, `check`, `doctor`, `jobs`, `simulate`."""

import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.parts import Config, Exit, Json, examples, print_json, print_out
from orchestrator.control.find import demo_state_dir
from orchestrator.errors import SettingsError

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "orchestrator run --config /etc/orchestrator/orchestrator.toml",
        "ORCHESTRATOR_LOG__LEVEL=debug orchestrator run --config orchestrator.toml",
    )
)
def run(config: Config = None) -> None:
    """Run the daemon in the foreground. SIGTERM or SIGINT drains and ends it; a second one hurries it.

    SIGHUP has it read its settings again; in a terminal, which says so when it is closed, that ends it too.
    """
    from orchestrator import start, wiring
    from orchestrator.settings import Settings

    settings = Settings.load(config)
    wiring.check_jobs(settings)  # before anything is there
    # A copy: while the browser's driver starts, our variables are not in the environment.
    read = partial(Settings.load, config, environ=dict(os.environ))
    start.run(settings, read=read)


@commands.command(
    epilog=examples(
        "orchestrator demo                             # Ctrl-C ends it, the same command goes on",
        "orchestrator demo --plain --state-dir state   # lines, and a directory of its own",
        "orchestrator demo --load 3 --speed 60         # contexts get scarce; a day takes 24 minutes",
    )
)
def demo(  # noqa: PLR0913, PLR0917 - as many as it has options
    state_dir: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="Where everything is kept; by default in the user's state directory."
        ),
    ] = None,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="/readyz and /metrics; 0: any.")] = 8700,
    site_port: Annotated[int, typer.Option(min=0, max=65535, help="The bundled site; 0: any.")] = 8701,
    speed: Annotated[
        float, typer.Option(min=1, max=10_000, help="How many times as fast as real the clock runs.")
    ] = 240,
    accounts: Annotated[int, typer.Option(min=1, max=64, help="Accounts that the daemon posts for.")] = 2,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False,
    load: Annotated[
        int, typer.Option(min=0, max=9, help="So many more jobs read the site, to make contexts scarce.")
    ] = 0,
) -> None:
    """Run the daemon with the bundled site, its own database and a fast clock, and watch it work."""
    from orchestrator.showcase import DemoOptions, run_demo

    state_dir = state_dir or demo_state_dir(os.environ)
    run_demo(DemoOptions(state_dir, http_port, site_port, speed, accounts, plain, load))


@commands.command(
    epilog=examples(
        "orchestrator check --config orchestrator.toml",
        "orchestrator check --json",
    )
)
def check(config: Config = None, is_json: Json = False) -> None:
    """Check the settings, and show each one, its value and where it came from."""
    import trio

    from orchestrator import wiring
    from orchestrator.alerts.sender import check_destinations
    from orchestrator.settings import Settings, describe
    from orchestrator.terminal import render_settings

    settings = Settings.load(config)
    wiring.make_accounts(settings, wiring.make_profiles(settings))  # reads the profiles and the passwords
    wiring.check_jobs(settings)
    trio.run(check_destinations, settings.alerts)
    rows = describe(settings)
    if is_json:
        print_json(
            {"settings": [{"name": row.name, "value": row.value, "source": row.source} for row in rows]}
        )
    else:
        print_out(render_settings([(row.name, row.value, row.source) for row in rows]))


@commands.command(
    epilog=examples(
        "orchestrator doctor --config /etc/orchestrator/orchestrator.toml",
        "orchestrator doctor --json",
    )
)
def doctor(config: Config = None, is_json: Json = False) -> None:
    """Look at everything that the daemon needs, and say what to do about what is not well.

    Asks the daemon if one runs. Exit code 0: all is well; 1: something is not; 2: wrong settings.
    """
    import trio

    from orchestrator import doctor
    from orchestrator.log import configure, unconfigure
    from orchestrator.settings import Settings
    from orchestrator.terminal.doctor import render_report

    code = Exit.DONE
    report = doctor.ask_daemon(config)
    if report is None:
        try:
            settings = Settings.load(config)
            with Path(os.devnull).open("w") as nowhere:  # what is wrong comes in the answer
                configure(settings.log.model_copy(update={"file": None}), nowhere)
                report = trio.run(doctor.examine, settings)
                unconfigure()
        except SettingsError as error:
            report, code = doctor.wrong_settings(error), Exit.WRONG
    if is_json:
        print_json(report.document())
    else:
        print_out(render_report(report.document()))
    raise typer.Exit(code or (Exit.DONE if report.is_well else Exit.FAILED))


@commands.command(
    "jobs",
    epilog=examples(
        "orchestrator jobs --config orchestrator.toml",
        "orchestrator jobs --graph",
        "orchestrator jobs --json",
    ),
)
def declared(
    config: Config = None,
    graph: Annotated[bool, typer.Option("--graph", help="Draw which job wakes which.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="The same for Graphviz.")] = False,
    is_json: Json = False,
) -> None:
    """Every job that the settings leave on: its priority, when it runs, after which, what it needs."""
    from orchestrator import jobs
    from orchestrator.actors.graph import as_dot, drawn
    from orchestrator.settings import Settings
    from orchestrator.terminal.declared import document, render_declared

    settings = Settings.load(config)
    listed = jobs.declared(settings.jobs, without=jobs.idle(settings))
    if graph or dot:
        typer.echo(as_dot(listed) if dot else drawn(listed))
        return
    if is_json:
        print_json({"jobs": [document(job) for job in listed]})
    else:
        print_out(render_declared(listed))


@commands.command(
    epilog=examples(
        "orchestrator simulate --days 2 --contexts 4            # this daemon's jobs",
        "orchestrator simulate --jobs system-a --policy fifo    # a bundled load",
        "orchestrator simulate --days 1 --html waits.html       # with pictures",
    )
)
def simulate(  # noqa: PLR0913, PLR0917 - each is an option
    days: Annotated[float, typer.Option(min=0.01, max=366, help="Days of virtual time.")] = 7,
    contexts: Annotated[
        int | None, typer.Option(min=1, max=64, help="Browser contexts; by default those of the settings.")
    ] = None,
    load: Annotated[
        str | None,
        typer.Option(
            "--jobs",
            metavar="FILE",
            help="TOML file with jobs, or system-a, or ours; by default this daemon's own.",
        ),
    ] = None,
    policy: Annotated[
        Literal["priority", "fifo"], typer.Option(help="This allocator, or first come, first served.")
    ] = "priority",
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with pictures.")] = None,
    is_json: Json = False,
    config: Config = None,
) -> None:
    """Run the schedule and the allocator in virtual time: who would wait how long for a context?"""
    from rich.console import Console

    from orchestrator import wiring
    from orchestrator.simulate.command import Record, Wish, run_simulation
    from orchestrator.simulate.engine import Policy
    from orchestrator.simulate.screen import render_figures

    gc.enable()
    wish = Wish(days, contexts, load, Policy(policy), seed, html)
    with Console(stderr=True).status(f"{days:g} days in virtual time …"):
        figures = run_simulation(wish, config, Record(wiring.open_storage, wiring.clock_of_record))
    if figures.refusal is not None:
        print(f"warning: the daemon refuses this: {figures.refusal}", file=sys.stderr)
    if is_json:
        print_json(figures.document())
    else:
        print_out(render_figures(figures))
