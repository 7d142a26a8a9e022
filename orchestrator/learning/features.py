"""What a text is made of, beside its topic and format: how it opens and how long it is."""

import re

QUESTION = "question"
NUMBER = "number"
LABEL = "label"
EXCLAMATION = "exclamation"
FIRST_PERSON = "first person"
ADDRESS = "address"
STATEMENT = "statement"
OPENINGS = (QUESTION, NUMBER, LABEL, EXCLAMATION, FIRST_PERSON, ADDRESS, STATEMENT)

LENGTHS = ("under 80", "80 to 139", "140 to 199", "200 and more")
"""Characters."""
_LENGTH_BOUNDS = (80, 140, 200)

BAND_H = 3
"""Hours that are judged together: so they have enough posts three times as soon, and people's habits are
hardly finer than that."""

_FIRST_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]?")
_FIGURE_FIRST = re.compile(r"[€£$#]?\d")
_LABEL_FIRST = re.compile(r"\w[\w ]{0,24}:\s")
_FIRST_PERSON = re.compile(r"(i|i'm|i've|my|we|we're|our)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"(you|you're|your)\b", re.IGNORECASE)


def opening(text: str) -> str:
    """The hook of a text, one of `OPENINGS`: what its first sentence begins or ends with."""
    body = text.lstrip("-*•> \t\n")
    sentence = _FIRST_SENTENCE.match(body)
    ending = sentence.group().rstrip()[-1:] if sentence else ""
    if ending == "?":
        return QUESTION
    if _FIGURE_FIRST.match(body):
        return NUMBER
    if _LABEL_FIRST.match(body):
        return LABEL
    if ending == "!":
        return EXCLAMATION
    if _FIRST_PERSON.match(body):
        return FIRST_PERSON
    return ADDRESS if _ADDRESS.match(body) else STATEMENT


def length(text: str) -> str:
    """One of `LENGTHS`."""
    return LENGTHS[sum(len(text) >= bound for bound in _LENGTH_BOUNDS)]


def band(hour: int) -> str:
    """The band of three hours that an hour of day lies in, such as "06–09"."""
    start = hour // BAND_H * BAND_H
    return f"{start:02}–{start + BAND_H:02}"


def hours_of(name: str) -> range:
    """The hours of day of a band. Raises ValueError for a text that is no band."""
    start = int(name[:2])
    return range(start, start + BAND_H)
