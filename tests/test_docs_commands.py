"""Every command of the documents can be parsed, and no block is left out without a reason."""

import re
import subprocess
from contextlib import suppress

import pytest
from typer._click.exceptions import MissingParameter

from tests.command_line import commands_in, parse
from tests.shell_blocks import NOT_RUN, PAGES, ROOT, Block, fences, shell_blocks

PROGRAMS = re.compile(r"^ *(\$ )?(\.venv/bin/|make |orchestrator |curl |pip )", re.MULTILINE)
INDENTED = re.compile(r"^    .*$", re.MULTILINE)
INLINE = re.compile(r"`(?:\.venv/bin/)?(orchestrator (?!\[)[^`\n]*|ctl [a-z][^`\n]*)`")
PLACEHOLDERS = {"ID": "1", "N": "1"}


@pytest.mark.parametrize("block", shell_blocks(), ids=str)
def test_every_command_of_a_block_can_be_parsed(block: Block) -> None:
    for words in commands_in(block.text):
        if words[0].endswith("orchestrator"):
            parse(words[1:])
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_within_a_sentence_can_be_parsed(page: str) -> None:
    text = (ROOT / page).read_text("utf-8").partition("## Not built yet")[0]
    for found in INLINE.findall(text):
        found = re.sub(r"(--\S+) …", r"\1 x", found).replace("…", "")
        for words in commands_in(found):
            given = [PLACEHOLDERS.get(word, word) for word in words]
            with suppress(MissingParameter):  # a sentence may name a command and no more
                if given[0] in ("orchestrator", "ctl"):
                    parse(given[1:] if given[0] == "orchestrator" else given)


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_that_say_they_are_of_a_shell(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for language, block in fences(page):
        text = text.replace(block.text, "")
        assert language == "sh" or not PROGRAMS.search(block.text), block
    assert not [line for line in INDENTED.findall(text) if PROGRAMS.search(line) and "[" not in line]


def test_each_exception_is_one() -> None:
    texts = [block.text for block in shell_blocks()]
    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in texts)] == []
