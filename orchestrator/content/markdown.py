"""Plain text from Markdown: no mark-up is left, and the lines that the writer meant stay."""

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the parser takes a while to import, and many a run needs none
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

_SPACES = re.compile(" {2,}")


def plain_text(markdown: str) -> str:
    """The text of a piece of CommonMark.

    Emphasis, links and images keep their words; HTML and comments are dropped; list items become
    lines that start with "- " or "1. ". Blocks stay apart by an empty line if they were.
    """
    from markdown_it.tree import SyntaxTreeNode

    return _blocks(SyntaxTreeNode(_parser().parse(markdown)).children).strip()


@cache
def _parser() -> "MarkdownIt":
    """It holds the rules and nothing of a text, and takes as long to make as a text to read."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _blocks(nodes: Iterable["SyntaxTreeNode"]) -> str:
    text = ""
    previous_end = 0
    for node in nodes:
        block = _block(node)
        if not block:
            continue
        start, end = node.map or (previous_end, previous_end)
        if text:
            text += "\n" if start <= previous_end else "\n\n"
        text += block
        previous_end = end
    return text


def _block(node: "SyntaxTreeNode") -> str:
    match node.type:
        case "paragraph" | "heading":
            return _SPACES.sub(" ", "".join(_inline(child) for child in node.children)).strip()
        case "bullet_list":
            return "\n".join("- " + _blocks(item.children) for item in node.children)
        case "ordered_list":
            first = int(node.attrs.get("start", 1))
            return "\n".join(
                f"{number}. {_blocks(item.children)}" for number, item in enumerate(node.children, first)
            )
        case "code_block" | "fence":
            return node.content.rstrip()
        case "html_block" | "hr":
            return ""
        case _:
            return _blocks(node.children)


def _inline(node: "SyntaxTreeNode") -> str:
    match node.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "html_inline":
            return ""
        case "text" | "code_inline":
            return node.content
        case _:  # emphasis, a link, an image: its words
            return "".join(_inline(child) for child in node.children)
