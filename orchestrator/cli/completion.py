"""`orchestrator completion`: names of commands, options and jobs at the press of Tab."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from orchestrator.cli.parts import Daemon, examples
from orchestrator.errors import OrchestratorError

VARIABLE = "_ORCHESTRATOR_COMPLETE"
"""In which the shell's script says that it wants words completed."""

commands = typer.Typer()


def jobs(context: typer.Context, incomplete: str) -> list[str]:
    """The running daemon's jobs that begin so; none when no daemon answers."""
    given = context.parent.params if context.parent is not None else {}
    try:
        answer: Any = Daemon(given.get("socket"), given.get("config"), True).ask("jobs")
    except OrchestratorError:
        return []  # somebody is in the middle of typing: there is nobody to tell
    return [job["name"] for job in answer["jobs"] if job["name"].startswith(incomplete)]


Job = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's name; `ctl jobs` lists them.", autocompletion=jobs)
]
AnyJob = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]", help="A job's name; without one, every job.", show_default=False, autocompletion=jobs
    ),
]


def prepare(environ: Mapping[str, str]) -> None:
    """Make what completes words known to the parser, when it is words that are asked for."""
    if VARIABLE in environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # it is not said to be public

        completion_init()


@commands.command(
    epilog=examples(
        'eval "$(orchestrator completion bash)"     # in ~/.bashrc',
        'eval "$(orchestrator completion zsh)"      # in ~/.zshrc, after compinit',
        "orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish",
    )
)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish")],
) -> None:
    """Print what makes a shell complete commands, options and, of the running daemon, jobs."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name="orchestrator", complete_var=VARIABLE, shell=shell)
    typer.echo(script)
