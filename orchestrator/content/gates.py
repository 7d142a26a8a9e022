"""The gates that every text passes before it may be queued, and what they refuse it for.

A gate is a function of a text and its context that returns None or a refusal. All comparisons of
words ignore case and diacritics: "Café" and "CAFE" are the same word.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.model import fingerprint
from orchestrator.settings import ContentSettings

# Two texts that share so much of their runs of three words are the same to a reader.
NEAR_DUPLICATE = 0.8
_SHINGLE_WORDS = 3

_MIN_WORDS = 3

# Letters of scripts that put no spaces between words count as a word each.
_SPACELESS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")
NO_PROSE = re.compile(r"[#@]\w+|https?://\S+")
"""Hashtags, mentions and links."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which gate refused a text, and why."""

    gate: str
    reason: str
    source: str = ""
    """Where the text came from, if the caller knows."""


@dataclass(frozen=True, slots=True)
class RecentText:
    """An earlier text as the duplicates gate compares it."""

    text: str
    fingerprint: str
    shingles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Context:
    """What texts are held against; `make_context` makes one, once for many texts."""

    min_chars: int
    max_chars: int
    """Counted as browsers count, in UTF-16 units: most emoji are 2."""
    banned_words: tuple[str, ...]
    recent: tuple[RecentText, ...]
    used: Collection[str] = ()
    """Fingerprints of texts that are not to be written again; there may be far more than are compared."""


Gate = Callable[[str, Context], Refusal | None]


def make_context(
    settings: ContentSettings,
    recent_texts: Iterable[str],
    *,
    used: Collection[str] = (),
    site_max_chars: int | None = None,
) -> Context:
    """The context for one account: its latest texts, the fingerprints of all, and what its site allows.

    `site_max_chars` is the site profile's limit; the smaller of it and the settings' counts.
    """
    limits = [settings.max_chars] if site_max_chars is None else [settings.max_chars, site_max_chars]
    return Context(
        min_chars=settings.min_chars,
        max_chars=min(limits),
        banned_words=tuple(settings.banned_words),
        recent=tuple(RecentText(text, fingerprint(text), shingles(text)) for text in recent_texts),
        used=used,
    )


# ── the gates ───────────────────────────────────────────────────────────────────────────────────


def substance(text: str, context: Context) -> Refusal | None:
    """Refuses what says nothing: too short without hashtags, mentions and links, or too few words."""
    refuse = partial(Refusal, "substance")
    if any(char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return refuse("has control characters, which no page can show")
    prose = " ".join(NO_PROSE.sub(" ", text).split())
    if not prose:
        return refuse("has nothing but hashtags, mentions and links" if text.strip() else "is empty")
    if len(prose) < context.min_chars:
        return refuse(
            f"has {len(prose)} characters besides hashtags and links; {context.min_chars} are needed"
        )
    distinct = {word for word in words(prose) if not word.isdigit()}
    if len(distinct) < _MIN_WORDS:
        return refuse(f"has {len(distinct)} different words; {_MIN_WORDS} are needed")
    return None


def length(text: str, context: Context) -> Refusal | None:
    """Refuses what is longer than the settings or the site allow."""
    count = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if count > context.max_chars:
        return Refusal("length", f"has {count} characters; {context.max_chars} are allowed")
    return None


def banned_words(text: str, context: Context) -> Refusal | None:
    """Refuses whole banned words and phrases, also as hashtags; "ass" does not ban "class".

    An entry without letters or digits, such as an emoji, is looked for as it stands.
    """
    spoken = f" {' '.join(words(text))} "
    for entry in context.banned_words:
        phrase = " ".join(words(entry))
        is_there = f" {phrase} " in spoken if phrase else bool(entry.strip()) and entry.strip() in text
        if is_there:
            return Refusal("banned_words", f"says {entry.strip()!r}, which is banned")
    return None


def duplicates(text: str, context: Context) -> Refusal | None:
    """Refuses what is the same, or nearly the same, as a recent text."""
    own_fingerprint, own_shingles = fingerprint(text), shingles(text)
    for recent in context.recent:
        if recent.fingerprint == own_fingerprint:
            return Refusal("duplicates", f"is the same as the recent text {_beginning(recent.text)}")
        likeness = _jaccard(own_shingles, recent.shingles)
        if likeness >= NEAR_DUPLICATE:
            reason = f"is {likeness:.0%} the same as the recent text {_beginning(recent.text)}"
            return Refusal("duplicates", reason)
    return None


GATES: tuple[Gate, ...] = (substance, length, banned_words, duplicates)


def check(text: str, context: Context, gates: Sequence[Gate] = GATES) -> Refusal | None:
    """The first refusal along the chain, or None when the text passes."""
    return next((refusal for gate in gates if (refusal := gate(text, context)) is not None), None)


# ── words ───────────────────────────────────────────────────────────────────────────────────────


def words(text: str) -> list[str]:
    """The words of a text, case-folded and without diacritics and invisible characters."""
    if text.isascii():  # most texts, and ten times as quick
        return _WORD.findall(text.lower())
    letters = unicodedata.normalize("NFKD", text).casefold()
    # Mn: combining marks. Cf: soft hyphens, zero-width spaces and joiners.
    return _WORD.findall("".join(char for char in letters if unicodedata.category(char) not in ("Mn", "Cf")))


def shingles(text: str) -> frozenset[str]:
    """Each run of three words; a shorter text is one run. Hashtags aside, if there is more."""
    spoken = words(NO_PROSE.sub(" ", text)) or words(text)
    runs = max(1, len(spoken) - _SHINGLE_WORDS + 1)
    return frozenset(" ".join(spoken[at : at + _SHINGLE_WORDS]) for at in range(runs))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= 40 else f'"{line[:40].rstrip()}…"'
