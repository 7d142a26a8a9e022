"""Writes a draft for the topic and format that the bandit wishes, from snippets or templates."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from orchestrator.content.gates import GATES, Context, Gate, Refusal, check
from orchestrator.content.sources import Snippet
from orchestrator.content.templates import Templates
from orchestrator.model import Arms, fingerprint

SOURCE = "source"
"""The gate of a topic that has no unused text."""

# So many candidates of each kind are held against the gates before the next kind has its turn.
ATTEMPTS = 20

# Fillings of a template that are already used cost little and are passed over, up to so many.
_FILLINGS = 10 * ATTEMPTS


@dataclass(frozen=True, slots=True)
class Written:
    """A text that passed the gates."""

    text: str
    source: str
    """File and line of a snippet, or "template:" with topic and format."""
    topic: str
    format: str
    """The format that the text really has; another than was wished when that had nothing new."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The topics and formats there are texts for, in alphabetical order: the bandit's candidates."""

    topics: tuple[str, ...]
    formats: tuple[str, ...]


def inventory(snippets: Iterable[Snippet], templates: Templates) -> Inventory:
    """What can be wished for now; it grows when a file with a new topic appears."""
    topics, formats = set(templates.topics), set(templates.formats)
    for snippet in snippets:
        topics.add(snippet.topic)
        formats.add(snippet.format)
    return Inventory(tuple(sorted(topics)), tuple(sorted(formats)))


def write_draft(
    wish: Arms,
    *,
    snippets: Sequence[Snippet],
    templates: Templates,
    context: Context,
    rng: Random,
    gates: Sequence[Gate] = GATES,
) -> Written | list[Refusal]:
    """The first candidate that passes the gates, or why each one was refused (never empty).

    Unused snippets of the wished topic and format come first, then templates, then both again in
    the topic's other formats. `wish.hour` plays no part. Texts that `context` knows as used are no
    candidates; without any candidate the one refusal is by the gate SOURCE.
    """
    used = {*context.used, *(recent.fingerprint for recent in context.recent)}
    refusals: list[Refusal] = []
    for candidate in _candidates(wish, snippets, templates, used, rng):
        refusal = check(candidate.text, context, gates)
        if refusal is None:
            return candidate
        refusals.append(replace(refusal, source=candidate.source))
    return refusals or [Refusal(SOURCE, f"there is no unused text about {wish.topic!r}")]


def _candidates(
    wish: Arms, snippets: Sequence[Snippet], templates: Templates, used: set[str], rng: Random
) -> Iterator[Written]:
    in_topic = [snippet for snippet in snippets if snippet.topic == wish.topic]
    others = sorted(({snippet.format for snippet in in_topic} | set(templates.formats)) - {wish.format})
    for format_name in [wish.format, *rng.sample(others, len(others))]:
        matching = (snippet for snippet in in_topic if snippet.format == format_name)
        yield from islice(_from_snippets(matching, used, rng), ATTEMPTS)
        yield from islice(_from_templates(templates, wish.topic, format_name, used, rng), ATTEMPTS)


def _from_snippets(snippets: Iterable[Snippet], used: set[str], rng: Random) -> Iterator[Written]:
    unused = [snippet for snippet in snippets if fingerprint(snippet.text) not in used]
    for snippet in rng.sample(unused, len(unused)):
        yield Written(snippet.text, snippet.source, snippet.topic, snippet.format)


def _from_templates(
    templates: Templates, topic: str, format_name: str, used: set[str], rng: Random
) -> Iterator[Written]:
    seen = set(used)
    for _ in range(_FILLINGS):
        text = templates.fill(topic, format_name, rng)
        if text is None:
            return
        if fingerprint(text) not in seen:
            seen.add(fingerprint(text))
            yield Written(text, f"template:{topic}/{format_name}", topic, format_name)
