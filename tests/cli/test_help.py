"""What the commands say of themselves."""

import re
from typing import Any

import pytest

from orchestrator.cli.parts import Exit
from tests.command_line import commands_in, leaves, parse
from tests.test_cli import Command, daemon, run

__all__ = ["daemon", "run"]

WITHOUT_JSON = {"orchestrator run", "orchestrator demo", "orchestrator completion"}
"""They live, or print something for a shell."""

each = pytest.mark.parametrize("name", leaves())


def options(command: Any) -> set[str]:
    return {word for param in command.params for word in param.opts}


@each
def test_each_command_has_examples_of_itself_that_can_be_parsed(name: str) -> None:
    first, *lines = leaves()[name].epilog.splitlines()
    assert first == "Examples:"
    assert lines
    for line in lines:
        found = [words for words in commands_in(line) if words[0] == "orchestrator"]
        assert found, line
        for words in found:
            parse(words[1:])
            assert f"{' '.join(words)} ".startswith(f"{name.removesuffix(' show')} "), line


def test_the_help_shows_the_examples(run: Command) -> None:
    ended = run("ctl", "why", "--help")
    assert ended.code == 0
    assert re.search(r"Examples:\s+orchestrator ctl why posting *$", ended.out, re.MULTILINE)


@each
def test_whatever_answers_can_answer_in_json(name: str) -> None:
    assert ("--json" in options(leaves()[name])) == (name not in WITHOUT_JSON)


def test_the_first_help_names_the_exit_codes(run: Command) -> None:
    said = " ".join(run("--help").out.split())
    for code in (Exit.DONE, Exit.FAILED, Exit.WRONG, Exit.NO_DAEMON):
        assert re.search(rf"\b{code:d} \w", said.partition("Exit codes:")[2]), code
