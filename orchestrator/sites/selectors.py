"""A check of CSS selectors that needs no browser: it catches slips, and names them.

It knows the grammar of CSS Selectors Level 4 as far as profiles use it: compounds of type, #id, .class,
[attribute] and :pseudo-class parts, joined by combinators and commas.
"""

import re

NAME = r"-?(?:[A-Za-z_]|[^\x00-\x7f]|\\[^\n])(?:[\w-]|[^\x00-\x7f]|\\[^\n])*"
STRING = r"\"[^\"\n]*\"|'[^'\n]*'"
PART = re.compile(
    rf"""
      \*
    | [.#]?{NAME}
    | \[\s*{NAME}\s*(?:[~|^$*]?=\s*(?:{STRING}|{NAME}|\d+)\s*(?:[iIsS]\s*)?)?\]
    | :(?P<pseudo>[a-z-]+)(?P<open>\()?
    """,
    re.VERBOSE,
)
COMBINATOR = re.compile(r"\s*[>+~]\s*|\s+")
COMMA = re.compile(r"\s*,\s*")
NTH = re.compile(r"\s*(?:odd|even|[+-]?\d*n?\s*(?:[+-]\s*\d+)?)\s*\)")
SELECTOR_PSEUDOS = frozenset({"is", "not", "where", "has"})
TYPE_PART = re.compile(rf"\*|{NAME}")


class SelectorError(ValueError):
    """The selector can't be one; the message says where it goes wrong."""


def check_selector(text: str) -> str:
    """Return `text` when it reads as a CSS selector list. Raises SelectorError."""
    stripped = text.strip()
    if not stripped:
        raise SelectorError("the selector is empty")
    end = _list(stripped, 0)
    if end != len(stripped):
        raise _unexpected(stripped, end)
    return stripped


def _list(text: str, at: int, *, is_relative: bool = False) -> int:
    """Read selectors separated by commas; returns where they end."""
    while True:
        at = _complex(text, at, is_relative=is_relative)
        comma = COMMA.match(text, at)
        if comma is None:
            return at
        at = comma.end()


def _complex(text: str, at: int, *, is_relative: bool) -> int:
    lead = COMBINATOR.match(text, at)
    if is_relative and lead is not None:
        at = lead.end()
    at = _compound(text, at)
    while (joint := COMBINATOR.match(text, at)) is not None and joint.end() < len(text):
        if text[joint.end()] in ",)":
            break
        at = _compound(text, joint.end())
    return at


def _compound(text: str, at: int) -> int:
    start = at
    while (part := PART.match(text, at)) is not None:
        if at > start and TYPE_PART.fullmatch(part[0]):
            raise _unexpected(text, at)
        at = part.end()
        if part["open"]:
            at = _arguments(text, at, part["pseudo"])
    if at == start:
        raise _unexpected(text, at)
    return at


def _arguments(text: str, at: int, pseudo: str) -> int:
    if pseudo in SELECTOR_PSEUDOS:
        at = _list(text, at + len(text[at:]) - len(text[at:].lstrip()), is_relative=pseudo == "has")
        end = re.compile(r"\s*\)").match(text, at)
    elif pseudo.startswith("nth-"):
        end = NTH.match(text, at)
    else:
        end = re.compile(rf"\s*(?:{NAME}|{STRING})\s*\)").match(text, at)
    if end is None:
        raise _unexpected(text, at)
    return end.end()


def _unexpected(text: str, at: int) -> SelectorError:
    if at >= len(text):
        return SelectorError(f"the selector {text!r} ends too early")
    return SelectorError(f"the selector {text!r} is no CSS from {text[at : at + 20]!r} on")
