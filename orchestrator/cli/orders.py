"""`orchestrator ctl`, orders: pause, resume, run, breakers, settings, the end."""

from typing import Annotated, Literal

import typer

from orchestrator.cli.completion import AnyJob, Job
from orchestrator.cli.parts import Json, address, examples, message, show

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "orchestrator ctl breaker site:blog open    # leave the site alone",
        "orchestrator ctl breaker site:blog auto    # let the breaker decide again",
    )
)
def breaker(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="BREAKER", help="Its name; `ctl breakers` lists them.")],
    order: Annotated[Literal["open", "close", "auto"], typer.Argument(metavar="open|close|auto")],
    is_json: Json = False,
) -> None:
    """Force a breaker open (its party is left alone) or closed (it is asked in any case); auto ends that."""
    show(context.obj, "breaker", message, is_json, breaker=name, order=order)


@commands.command(
    epilog=examples(
        "orchestrator ctl pause posting   # no new posts",
        "orchestrator ctl pause           # nothing new at all",
    )
)
def pause(context: typer.Context, job: AnyJob = None, is_json: Json = False) -> None:
    """Start no more runs of a job, or of any; what runs may end."""
    show(context.obj, "pause", message, is_json, job=job)


@commands.command(
    epilog=examples(
        "orchestrator ctl resume posting",
        "orchestrator ctl resume",
    )
)
def resume(context: typer.Context, job: AnyJob = None, is_json: Json = False) -> None:
    """End a pause. A job that missed runs runs once."""
    show(context.obj, "resume", message, is_json, job=job)


@commands.command("run", epilog=examples("orchestrator ctl run plan"))
def run_job(context: typer.Context, job: Job, is_json: Json = False) -> None:
    """Run a job now; a job that failed for good is started again."""
    show(context.obj, "run", message, is_json, job=job)


@commands.command(epilog=examples("orchestrator ctl reload"))
def reload(context: typer.Context, is_json: Json = False) -> None:
    """Read the settings again: what can change at once does, the rest is named and waits for a restart."""
    show(context.obj, "reload", message, is_json)


@commands.command(epilog=examples("orchestrator ctl page"))
def page(context: typer.Context, is_json: Json = False) -> None:
    """Print the live page's address, with the token that it needs: open it in a browser."""
    show(context.obj, "page", address, is_json)


@commands.command(epilog=examples("orchestrator ctl drain"))
def drain(context: typer.Context, is_json: Json = False) -> None:
    """Stop the daemon: running jobs may end, nothing new starts, then it exits."""
    show(context.obj, "drain", message, is_json)
