"""`orchestrator ctl`, what only looks: status, jobs, queue, why, and what each part of the house says."""

import gc
from typing import Annotated

import typer

from orchestrator.cli.completion import Job
from orchestrator.cli.parts import Json, examples, show

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "orchestrator ctl status",
        "orchestrator ctl status --json",
    )
)
def status(context: typer.Context, is_json: Json = False) -> None:
    """What runs, what waits, why, and what is wrong, in one screen."""
    from orchestrator.terminal import render_status

    show(context.obj, "status", render_status, is_json)


@commands.command(
    epilog=examples(
        "orchestrator ctl watch          # until Ctrl-C",
        "orchestrator ctl watch --json   # for programs",
    )
)
def watch(context: typer.Context, is_json: Json = False) -> None:
    """The daemon as it changes, until Ctrl-C: contexts, queue, jobs. In a pipe: what happens, line by line.

    With --json a line for each change: the whole document, as docs/page.md describes it.
    """
    from orchestrator.cli.watch import watch

    gc.enable()
    watch(context.obj, is_json=is_json or context.obj.is_json)


@commands.command(
    epilog=examples(
        "orchestrator ctl jobs",
        "orchestrator ctl jobs --json",
    )
)
def jobs(context: typer.Context, is_json: Json = False) -> None:
    """Every job: its state, how its last run ended, when it runs next, and why."""
    from orchestrator.terminal import render_jobs

    show(context.obj, "jobs", render_jobs, is_json)


@commands.command(epilog=examples("orchestrator ctl queue"))
def queue(context: typer.Context, is_json: Json = False) -> None:
    """Who holds the browser contexts, and who waits for one."""
    from orchestrator.terminal import render_queue

    show(context.obj, "queue", render_queue, is_json)


@commands.command(epilog=examples("orchestrator ctl why posting"))
def why(context: typer.Context, job: Job, is_json: Json = False) -> None:
    """Why a job does what it does now: what it waits for, who holds that, and for how long."""
    from orchestrator.terminal import render_why

    show(context.obj, "why", render_why, is_json, job=job)


@commands.command(epilog=examples("orchestrator ctl opportunities --limit 5"))
def opportunities(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option(min=1, max=300, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """Posts of others that a reply of yours would suit: the best first, each with its score and why."""
    from orchestrator.terminal.opportunities import render_opportunities

    show(context.obj, "opportunities", render_opportunities, is_json, limit=limit)


@commands.command(epilog=examples("orchestrator ctl insights --account ada"))
def insights(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="With what holds for it.")] = None,
    is_json: Json = False,
) -> None:
    """What works: which formats, openings, lengths, hours and topics do better, and by how much."""
    from orchestrator.terminal.insights import render_insights

    show(context.obj, "insights", render_insights, is_json, account=account)


@commands.command(epilog=examples("orchestrator ctl models"))
def models(context: typer.Context, is_json: Json = False) -> None:
    """What predicts posts' outcomes: each version, what it was learned from, what became of it and why."""
    from orchestrator.terminal.models import render_models

    show(context.obj, "models", render_models, is_json)


@commands.command(epilog=examples("orchestrator ctl alerts"))
def alerts(context: typer.Context, is_json: Json = False) -> None:
    """What people outside are told of: since when, and whether each destination knows."""
    from orchestrator.terminal.alerts import render_alerts

    show(context.obj, "alerts", render_alerts, is_json)


@commands.command(epilog=examples("orchestrator ctl budget"))
def budget(context: typer.Context, is_json: Json = False) -> None:
    """What is left to spend on the language model, what was spent on what, and when its failures came."""
    from orchestrator.terminal.budget import render_budget

    show(context.obj, "budget", render_budget, is_json)


@commands.command(epilog=examples("orchestrator ctl breakers"))
def breakers(context: typer.Context, is_json: Json = False) -> None:
    """Every breaker: whether its party may be asked now, why not, and when it is asked again."""
    from orchestrator.terminal import render_breakers

    show(context.obj, "breakers", render_breakers, is_json)


@commands.command(epilog=examples("orchestrator ctl cache"))
def cache(context: typer.Context, is_json: Json = False) -> None:
    """What is cached, where, and how often it was found."""
    from orchestrator.terminal.cache import render_cache

    show(context.obj, "cache", render_cache, is_json)
