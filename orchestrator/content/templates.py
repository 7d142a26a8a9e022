"""Texts filled from data: the source that never runs dry, needs no file of the user and no API.

`bundled/templates/formats.toml` has template strings for each format, the other files there one
topic each. A field `{tips}` takes one entry of the topic's list `tips` at random, `{tips_2}` and
`{tips_3}` others of the same list.
"""

import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from random import Random

from orchestrator.errors import ContentError

_FORMATS_FILE = "formats.toml"
_HASHTAG = "hashtag"


@dataclass(frozen=True, slots=True)
class Template:
    """One template string and the lists it takes from: {"tips": 2} means two entries of `tips`."""

    text: str
    needs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's data: lists of texts by name, and the hashtag that ends each of its posts."""

    hashtag: str
    lists: Mapping[str, tuple[str, ...]]


class Templates:
    """All topics and formats for which texts can be made; any topic goes with any format.

    Invariant: each template's lists are in each topic, and long enough.
    """

    def __init__(self, topics: Mapping[str, Topic], formats: Mapping[str, Sequence[Template]]) -> None:
        self._topics = dict(topics)
        self._formats = {name: tuple(templates) for name, templates in formats.items()}

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(self._topics))

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(sorted(self._formats))

    def hashtag(self, topic: str) -> str:
        """The topic's own, without its sign."""
        return self._topics[topic].hashtag

    def entries(self, topic: str, name: str | None = None) -> tuple[str, ...]:
        """The texts of one list of a topic, or of all; none where there is no such topic or list."""
        if topic not in self._topics:
            return ()
        lists = self._topics[topic].lists
        return lists.get(name, ()) if name is not None else tuple(t for of in lists.values() for t in of)

    def fill(self, topic: str, format_name: str, rng: Random) -> str | None:
        """A text made at random; None when the topic or the format is not there."""
        if topic not in self._topics or format_name not in self._formats:
            return None
        data = self._topics[topic]
        template = rng.choice(self._formats[format_name])
        fields = {
            _field(name, at): entry
            for name, count in template.needs.items()
            for at, entry in enumerate(_pick(data.lists[name], count, rng), start=1)
        }
        return f"{template.text.format_map(fields)}\n#{data.hashtag}"

    def longest(self, topic: str, format_name: str) -> int:
        """How many characters the longest text of this topic and format can have."""
        data = self._topics[topic]
        return max(_longest(template, data) for template in self._formats[format_name])


def _field(name: str, at: int) -> str:
    return name if at == 1 else f"{name}_{at}"


def _pick(entries: Sequence[str], count: int, rng: Random) -> list[str]:
    """Entries in the list's own order: the same ones the other way round would say the same twice."""
    return [entries[at] for at in sorted(rng.sample(range(len(entries)), count))]


def _longest(template: Template, data: Topic) -> int:
    fields = {
        _field(name, at): entry
        for name, count in template.needs.items()
        for at, entry in enumerate(sorted(data.lists[name], key=len, reverse=True)[:count], start=1)
    }
    return len(template.text.format_map(fields)) + len(f"\n#{data.hashtag}")


# ── loading ─────────────────────────────────────────────────────────────────────────────────────


def load_templates(folder: Traversable | None = None) -> Templates:
    """The templates of a folder; the bundled ones by default. Raises ContentError for a broken file."""
    folder = folder or files("orchestrator.content").joinpath("bundled", "templates")
    formats = {
        name: [_template(text, name) for text in _texts(entries, name, _FORMATS_FILE)]
        for name, entries in _load(folder.joinpath(_FORMATS_FILE)).items()
    }
    topics = {
        file.name.removesuffix(".toml"): _topic(file, formats)
        for file in folder.iterdir()
        if file.name.endswith(".toml") and file.name != _FORMATS_FILE
    }
    return Templates(topics, formats)


def _load(file: Traversable) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContentError(f"{file.name}: can't be read: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise ContentError(f"{file.name}: {error}") from error


def _texts(entries: object, key: str, file_name: str) -> tuple[str, ...]:
    is_list = isinstance(entries, list) and all(isinstance(entry, str) and entry for entry in entries)
    if not is_list or not entries:
        raise ContentError(f"{file_name}: {key} must be a list of texts, and not empty")
    assert isinstance(entries, list)
    if len(set(entries)) < len(entries):
        raise ContentError(f"{file_name}: {key} has an entry twice")
    return tuple(entries)


def _template(text: str, format_name: str) -> Template:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ContentError(f"{_FORMATS_FILE}: {format_name}: {error} in {text!r}") from error
    needs: dict[str, int] = {}
    for name in names:
        if not name.isidentifier():
            raise ContentError(f"{_FORMATS_FILE}: {format_name}: {{{name}}} is no list's name in {text!r}")
        base, _, number = name.rpartition("_")
        is_numbered = bool(base) and number.isdigit()
        listed = base if is_numbered else name
        needs[listed] = max(needs.get(listed, 0), int(number) if is_numbered else 1)
    return Template(text, needs)


def _topic(file: Traversable, formats: Mapping[str, Sequence[Template]]) -> Topic:
    data = _load(file)
    hashtag = data.pop(_HASHTAG, None)
    if not isinstance(hashtag, str) or not hashtag.isalnum():
        raise ContentError(f"{file.name}: hashtag must be one word, not {hashtag!r}")
    lists = {key: _texts(entries, key, file.name) for key, entries in data.items()}
    for template in (template for templates in formats.values() for template in templates):
        for key, count in template.needs.items():
            if len(lists.get(key, ())) < count:
                raise ContentError(f"{file.name}: {key} needs at least {count} entries")
    return Topic(hashtag, lists)
