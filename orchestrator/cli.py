"""The command `orchestrator`: run the daemon, show it as a demo, check settings, talk to a daemon.

What a command needs is imported when it runs, so that `--help` and `ctl` are quick.

Exit codes: 0 done; 1 it could not be done, or the daemon refuses it; 2 wrong usage or settings; 3 no
daemon is listening; 130 interrupted. Whatever goes wrong is a line on standard error. `ctl status` exits
with 0 whatever the daemon says of itself: `/readyz` is for machines.
"""

import gc
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import orchestrator
from orchestrator.cli_accounts import accounts
from orchestrator.cli_parts import Daemon, Json, address, message, print_out, show
from orchestrator.control.find import demo_state_dir
from orchestrator.errors import (
    DatabaseReplacedError,
    DatabaseUnfitError,
    NoDaemonError,
    OrchestratorError,
    SettingsError,
)

if TYPE_CHECKING:
    from orchestrator.service.install import Step

FAILED, WRONG, NO_DAEMON, INTERRUPTED = 1, 2, 3, 130

cli = typer.Typer(
    name="orchestrator",
    help="A daemon that runs a browser-driven publishing pipeline on one small machine.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


ctl = typer.Typer(cls=_Ctl, help="Talk to the running daemon.", invoke_without_command=True)
cli.add_typer(ctl, name="ctl")
one_post = typer.Typer(help="Look at one post, or decide of it.", invoke_without_command=True)
ctl.add_typer(one_post, name="post")
one_reply = typer.Typer(help="Write a reply, or decide of one.", invoke_without_command=True)
ctl.add_typer(one_reply, name="reply")
ctl.add_typer(accounts, name="accounts")
service = typer.Typer(help="The daemon as a service of systemd.", invoke_without_command=True)
cli.add_typer(service, name="service")
outside = typer.Typer(help="Alerts to people outside.", invoke_without_command=True)
cli.add_typer(outside, name="alerts")
keys = typer.Typer(help="The keys that encrypt what is kept.", invoke_without_command=True)
cli.add_typer(keys, name="keys")

# readable=False: whether we may read a file is for us to find out, and to say in one line.
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", readable=False, help="TOML file with settings; else $ORCHESTRATOR_CONFIG."
    ),
]
ServiceUser = Annotated[str, typer.Option(metavar="NAME", help="The user that the service runs as.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's name; `ctl jobs` lists them.")]
PostId = Annotated[int, typer.Argument(metavar="ID", help="A post's number; `ctl posts` lists them.")]
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
        sys.exit(cli(prog_name="orchestrator", standalone_mode=False) or 0)
    except typer.TyperException as error:
        sys.exit(_tell_usage(error))
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
    if isinstance(error, SettingsError | DatabaseReplacedError | DatabaseUnfitError):
        return WRONG  # nothing that another start would mend
    return NO_DAEMON if isinstance(error, NoDaemonError) else FAILED


def _tell_usage(error: typer.TyperException) -> int:
    """Say what is wrong with the command line, and where its right form stands."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "orchestrator"
    said = error.format_message().replace("Value error, ", "")  # the words of the library that parses
    end = "" if said.endswith(("?", ".")) else "."
    print(f"error: {said}{end} See: {command} --help", file=sys.stderr)
    return WRONG


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


@keys.callback()
@outside.callback()
@service.callback()
@one_post.callback()
@one_reply.callback()
def _check_command(context: typer.Context) -> None:
    """Without a command there is nothing to do but help."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(WRONG)


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
) -> None:
    _check_command(context)


# ── the daemon ──────────────────────────────────────────────────────────────────────────────────


@cli.command()
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


@cli.command()
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


@cli.command()
def check(config: Config = None) -> None:
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
    print_out(render_settings([(row.name, row.value, row.source) for row in rows]))


@cli.command()
def doctor(config: Config = None, is_json: Json = False) -> None:
    """Look at everything that the daemon needs, and say what to do about what is not well.

    Asks the daemon if one runs. Exit code 0: all is well; 1: something is not; 2: wrong settings.
    """
    import trio

    from orchestrator import doctor
    from orchestrator.log import configure, unconfigure
    from orchestrator.settings import Settings
    from orchestrator.terminal.doctor import render_report

    code = 0
    report = doctor.ask_daemon(config)
    if report is None:
        try:
            settings = Settings.load(config)
            with Path(os.devnull).open("w") as nowhere:  # what is wrong comes in the answer
                configure(settings.log.model_copy(update={"file": None}), nowhere)
                report = trio.run(doctor.examine, settings)
                unconfigure()
        except SettingsError as error:
            report, code = doctor.wrong_settings(error), WRONG
    if is_json:
        typer.echo(json.dumps(report.document(), indent=2, ensure_ascii=False))
    else:
        print_out(render_report(report.document()))
    raise typer.Exit(code or (0 if report.is_well else FAILED))


@outside.command("test")
def send_test_message(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A destination; without one, all of them.", show_default=False),
    ] = None,
    config: Config = None,
) -> None:
    """Send a test message to a destination of alerts, or to all; no daemon is needed."""
    import trio

    from orchestrator.alerts.sender import send_test
    from orchestrator.settings import Settings

    for line in trio.run(send_test, Settings.load(config).alerts, name):
        typer.echo(line)


@service.command("install")
def install_service(
    user: ServiceUser = "orchestrator",
    config: Annotated[
        Path, typer.Option(metavar="FILE", readable=False, help="The service's settings; made if missing.")
    ] = Path("/etc/orchestrator/orchestrator.toml"),
    is_dry: DryRun = False,
) -> None:
    """Make this installation a service: user, directories, units. After an upgrade: what has changed."""
    from orchestrator.service.install import Machine, install
    from orchestrator.service.units import place_of_this_program

    machine = Machine()
    if not is_dry:
        machine.check()
    if _carry_out(install(place_of_this_program(config, user), machine), is_dry=is_dry) and not is_dry:
        typer.echo(f"Then: write {config}; systemctl restart orchestrator; systemctl status orchestrator")


@service.command("uninstall")
def uninstall_service(user: ServiceUser = "orchestrator", is_dry: DryRun = False) -> None:
    """Stop the service and remove its units; settings, secrets and state stay."""
    from orchestrator.service.install import Machine, kept, uninstall

    machine = Machine()
    if not is_dry:
        machine.check()
    _carry_out(uninstall(machine), is_dry=is_dry)
    if left := kept(machine, user):
        typer.echo(left)


def _carry_out(steps: "Sequence[Step]", *, is_dry: bool) -> int:
    """Do the steps, or show what they would do; how many there are."""
    for step in steps:
        typer.echo(f"would {step.what}" if is_dry else step.what)
        if not is_dry:
            step.do()
        elif step.detail:
            typer.echo("\n".join(f"    {line}" for line in step.detail.splitlines()))
    if not steps:
        typer.echo("nothing to do")
    return len(steps)


@keys.command("rotate")
def rotate_keys(config: Config = None) -> None:
    """Make a new key and encrypt sign-ins and passwords anew with it. The daemon must not be running."""
    from orchestrator.log import configure
    from orchestrator.rotation import rotate
    from orchestrator.settings import LogSettings, Settings

    settings = Settings.load(config)
    configure(LogSettings(level="warning"), secrets=settings.secrets())
    typer.echo(rotate(settings))


@cli.command("jobs")
def declared(
    config: Config = None,
    graph: Annotated[bool, typer.Option("--graph", help="Draw which job wakes which.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="The same for Graphviz.")] = False,
) -> None:
    """Every job that the settings leave on: its priority, when it runs, after which, what it needs."""
    from orchestrator import jobs
    from orchestrator.actors.graph import as_dot, drawn
    from orchestrator.settings import Settings
    from orchestrator.terminal.declared import render_declared

    settings = Settings.load(config)
    listed = jobs.declared(settings.jobs, without=jobs.idle(settings))
    if graph or dot:
        typer.echo(as_dot(listed) if dot else drawn(listed))
        return
    print_out(render_declared(listed))


@cli.command()
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
        typer.echo(json.dumps(figures.document(), indent=2, ensure_ascii=False))
    else:
        print_out(render_figures(figures))


# ── ctl ─────────────────────────────────────────────────────────────────────────────────────────


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
    _check_command(context)
    context.obj = Daemon(socket, config, is_json)


@ctl.command()
def status(context: typer.Context, is_json: Json = False) -> None:
    """What runs, what waits, why, and what is wrong, in one screen."""
    from orchestrator.terminal import render_status

    show(context.obj, "status", render_status, is_json)


@ctl.command()
def jobs(context: typer.Context, is_json: Json = False) -> None:
    """Every job: its state, how its last run ended, when it runs next, and why."""
    from orchestrator.terminal import render_jobs

    show(context.obj, "jobs", render_jobs, is_json)


@ctl.command()
def queue(context: typer.Context, is_json: Json = False) -> None:
    """Who holds the browser contexts, and who waits for one."""
    from orchestrator.terminal import render_queue

    show(context.obj, "queue", render_queue, is_json)


@ctl.command()
def why(context: typer.Context, job: Job, is_json: Json = False) -> None:
    """Why a job does what it does now: what it waits for, who holds that, and for how long."""
    from orchestrator.terminal import render_why

    show(context.obj, "why", render_why, is_json, job=job)


@ctl.command()
def posts(
    context: typer.Context,
    post: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="All of one post.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state, such as queued, published, ambiguous.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=500, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """The posts that changed last, or one of them with all that is known of it and what becomes of it."""
    if post is not None:
        show_post(context, post, is_json)
        return
    from orchestrator.terminal.posts import render_posts

    show(context.obj, "posts", render_posts, is_json, state=state, account=account, limit=limit)


@ctl.command()
def replies(
    context: typer.Context,
    reply: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="All of one reply.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state, such as draft, queued, published.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=500, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """The replies that changed last, or one of them; `--state draft` are those that wait for you."""
    if reply is not None:
        show_post(context, reply, is_json)
        return
    from orchestrator.terminal.posts import render_posts

    show(context.obj, "replies", render_posts, is_json, state=state, account=account, limit=limit)


@ctl.command()
def opportunities(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option(min=1, max=300, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """Posts of others that a reply of yours would suit: the best first, each with its score and why."""
    from orchestrator.terminal.opportunities import render_opportunities

    show(context.obj, "opportunities", render_opportunities, is_json, limit=limit)


@one_reply.command()
def draft(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it says.")],
    account: Annotated[str, typer.Option(metavar="NAME", help="Who replies.")],
    to: Annotated[str, typer.Option(metavar="REFERENCE", help="The site's own name of the post to answer.")],
    is_json: Json = False,
) -> None:
    """Write a reply. It goes out when somebody has approved it."""
    show(context.obj, "draft", message, is_json, account=account, to=to, text=text)


@one_reply.command()
def edit(
    context: typer.Context,
    reply: PostId,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is to say.")] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="When it goes out: 2026-06-01T18:30:00+00:00."),
    ] = None,
    is_json: Json = False,
) -> None:
    """Give a draft another text, or another moment to go out."""
    show(context.obj, "edit", message, is_json, post=reply, text=text, due_at=at)


@one_reply.command()
def approve(context: typer.Context, reply: PostId, is_json: Json = False) -> None:
    """Let a draft go out."""
    show(context.obj, "approve", message, is_json, post=reply)


@one_reply.command()
def reject(context: typer.Context, reply: PostId, is_json: Json = False) -> None:
    """Drop a draft; the post can be answered otherwise."""
    show(context.obj, "reject", message, is_json, post=reply)


@one_post.command("show")
def show_post(context: typer.Context, post: PostId, is_json: Json = False) -> None:
    """All that is known of a post, and what becomes of it."""
    from orchestrator.terminal.posts import render_post

    show(context.obj, "post", render_post, is_json, post=post)


@one_post.command()
def resolve(
    context: typer.Context,
    post: PostId,
    decision: Annotated[
        Literal["published", "requeue", "drop"], typer.Argument(metavar="published|requeue|drop")
    ],
    reference: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="The site's own name of a published post.")
    ] = None,
    is_json: Json = False,
) -> None:
    """Decide of an ambiguous post: the site has it; or it has not: try it again, or drop it."""
    show(context.obj, "resolve", message, is_json, post=post, decision=decision, reference=reference)


@ctl.command()
def insights(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="With what holds for it.")] = None,
    is_json: Json = False,
) -> None:
    """What works: which formats, openings, lengths, hours and topics do better, and by how much."""
    from orchestrator.terminal.insights import render_insights

    show(context.obj, "insights", render_insights, is_json, account=account)


@ctl.command()
def models(context: typer.Context, is_json: Json = False) -> None:
    """What predicts posts' outcomes: each version, what it was learned from, what became of it and why."""
    from orchestrator.terminal.models import render_models

    show(context.obj, "models", render_models, is_json)


@ctl.command()
def alerts(context: typer.Context, is_json: Json = False) -> None:
    """What people outside are told of: since when, and whether each destination knows."""
    from orchestrator.terminal.alerts import render_alerts

    show(context.obj, "alerts", render_alerts, is_json)


@ctl.command()
def budget(context: typer.Context, is_json: Json = False) -> None:
    """What is left to spend on the language model, what was spent on what, and when its failures came."""
    from orchestrator.terminal.budget import render_budget

    show(context.obj, "budget", render_budget, is_json)


@ctl.command()
def breakers(context: typer.Context, is_json: Json = False) -> None:
    """Every breaker: whether its party may be asked now, why not, and when it is asked again."""
    from orchestrator.terminal import render_breakers

    show(context.obj, "breakers", render_breakers, is_json)


@ctl.command()
def cache(context: typer.Context, is_json: Json = False) -> None:
    """What is cached, where, and how often it was found."""
    from orchestrator.terminal.cache import render_cache

    show(context.obj, "cache", render_cache, is_json)


@ctl.command()
def breaker(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="BREAKER", help="Its name; `ctl breakers` lists them.")],
    order: Annotated[Literal["open", "close", "auto"], typer.Argument(metavar="open|close|auto")],
    is_json: Json = False,
) -> None:
    """Force a breaker open (its party is left alone) or closed (it is asked in any case); auto ends that."""
    show(context.obj, "breaker", message, is_json, breaker=name, order=order)


@ctl.command()
def pause(context: typer.Context, job: AnyJob = None, is_json: Json = False) -> None:
    """Start no more runs of a job, or of any; what runs may end."""
    show(context.obj, "pause", message, is_json, job=job)


@ctl.command()
def resume(context: typer.Context, job: AnyJob = None, is_json: Json = False) -> None:
    """End a pause. A job that missed runs runs once."""
    show(context.obj, "resume", message, is_json, job=job)


@ctl.command("run")
def run_job(context: typer.Context, job: Job, is_json: Json = False) -> None:
    """Run a job now; a job that failed for good is started again."""
    show(context.obj, "run", message, is_json, job=job)


@ctl.command()
def reload(context: typer.Context, is_json: Json = False) -> None:
    """Read the settings again: what can change at once does, the rest is named and waits for a restart."""
    show(context.obj, "reload", message, is_json)


@ctl.command()
def page(context: typer.Context, is_json: Json = False) -> None:
    """Print the live page's address, with the token that it needs: open it in a browser."""
    show(context.obj, "page", address, is_json)


@ctl.command()
def drain(context: typer.Context, is_json: Json = False) -> None:
    """Stop the daemon: running jobs may end, nothing new starts, then it exits."""
    show(context.obj, "drain", message, is_json)
