"""The formats a text can have, and how one is recognised by its shape."""

import re

TIP = "tip"
QUESTION = "question"
LIST = "list"
STORY = "story"
NUMBER = "number"
FORMATS = (TIP, QUESTION, LIST, STORY, NUMBER)

_CLOSING_HASHTAGS = re.compile(r"(?:\s*#\w+)+\s*$")
_ITEM = re.compile(r"^(?:- |\d+\. )", re.MULTILINE)
_FIGURE_FIRST = re.compile(r"[€£$]?\d")


def recognise(text: str) -> str:
    """The format that a text looks like: tip, question, list or number, in this order, else story.

    A tip starts with "Tip:"; a question has a question mark in its last line, hashtags aside; a
    list has two lines or more that start with "- " or "1. "; a number starts with a figure.
    """
    body = _CLOSING_HASHTAGS.sub("", text).strip()
    if body.startswith("Tip:"):
        return TIP
    if "?" in body.rpartition("\n")[2]:
        return QUESTION
    if len(_ITEM.findall(body)) >= 2:
        return LIST
    return NUMBER if _FIGURE_FIRST.match(body) else STORY
