"""Writes docs/cli.md from the commands themselves: `make docs`."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from orchestrator.cli import cli
from orchestrator.cli.parts import Exit

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = """\
# The command line

Every command of `orchestrator`. This page is made from the code (`make docs`); a test keeps it up to date.
`--help` behind any command says the same.

**For programs.** `--json` makes an answer JSON; for `ctl` it may stand before the verb or behind it.
Outside a terminal no line is wrapped and nothing is coloured; in a terminal `NO_COLOR=1` switches the
colours off.

**When something is wrong** there is one line on standard error, `error: …`, with what to do. `--debug`,
anywhere on the line, puts the traceback before it. What the errors mean is in [errors.md](errors.md).

**Tab** completes commands, options and, of the running daemon, the names of jobs, once the shell knows how:
[`orchestrator completion`](#orchestrator-completion).

| exit code | meaning |
|---|---|
"""


def reference() -> str:
    """The whole page."""
    codes = "".join(f"| {code:d} | {meaning} |\n" for code, meaning in exit_codes())
    return HEAD + codes + "".join(_command(typer.main.get_command(cli), None, "orchestrator"))


def exit_codes() -> Iterator[tuple[Exit, str]]:
    """Each exit code, with the text below it in the code."""
    source = inspect.getsource(Exit)
    for code in Exit:
        _, _, behind = source.partition(f"    {code.name} = {code.value}\n")
        yield code, behind.split('"""')[1]


def _command(command: Any, parent: Any, name: str) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    path = context.command_path
    if parent is not None:
        yield f"\n## `{path}`\n\n{inspect.cleandoc(command.help)}\n"
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        yield f"\n    {usage}\n"
        yield from _table(command, context)
        if command.epilog:
            lines = [line.strip() for line in command.epilog.splitlines()[1:]]
            yield "\n```sh\n" + "\n".join(lines) + "\n```\n"
    for inner, found in getattr(command, "commands", {}).items():
        yield from _command(found, context, inner)


def _table(command: Any, context: Any) -> Iterator[str]:
    rows = []
    for param in command.params:
        record = param.get_help_record(context)
        if record is None and param.param_type_name == "argument":
            record = (param.make_metavar(context), param.help or "")
        if record is not None:
            cells = (cell.replace("|", r"\|").replace("\n", " ").strip() for cell in record)
            rows.append("| `{}` | {} |\n".format(*cells))
    if rows:
        yield "\n| | |\n|---|---|\n"
        yield from rows


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
    print(f"{TARGET.name} is up to date")
