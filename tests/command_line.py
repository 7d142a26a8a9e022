"""Commands as they stand in help and documents: taken apart as a shell does, parsed as the program does."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from orchestrator import cli

COMMENT = re.compile(r"(^|\s)#\s.*")
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
OPERATORS = {"|", "||", "&", "&&", ";", "(", ")", "\n"}


def commands_in(script: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell script; without assignments and redirections."""
    for inner in SUBSTITUTION.findall(script):
        yield from commands_in(inner)
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(COMMENT.sub("", line), posix=True, punctuation_chars="|&;()<>")
        lexer.commenters, lexer.whitespace_split = "", True
        words: list[str] = []
        for word in (*lexer, "\n"):
            if word in OPERATORS:
                if found := _plain(words):
                    yield found
                words = []
            else:
                words.append(word)


def _plain(words: list[str]) -> list[str]:
    kept: list[str] = []
    is_target = False
    for word in words:
        if is_target:
            is_target = False
        elif set(word) <= {"<", ">", "&"}:
            is_target = True
        elif kept or not ASSIGNMENT.match(word):
            kept.append(word)
    return kept


def parse(words: list[str]) -> None:
    """Parse the arguments of `orchestrator`; nothing is carried out. Raises typer.TyperException."""
    arguments, _is_debug = cli.without_debug(words)
    command: Any = _program()
    context = command.make_context("orchestrator", arguments)
    while isinstance(command, TyperGroup) and (rest := [*context._protected_args, *context.args]):
        name, found, arguments = command.resolve_command(context, rest)
        command = found
        with suppress(typer.Exit):  # of --help
            context = command.make_context(name, arguments, parent=context)
            continue
        return


@cache
def _program() -> Any:
    return typer.main.get_command(cli.cli)


def leaves() -> dict[str, Any]:
    """Every command that does something, by its full name."""
    return dict(_leaves(_program(), "orchestrator"))


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for inner, found in command.commands.items():
        yield from _leaves(found, f"{name} {inner}")
