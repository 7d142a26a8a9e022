"""Reads what a page shows in one step, and turns its texts into numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from orchestrator.errors import PageUnexpectedError, ProfileError
from orchestrator.sites.sections import Value

READ = """want => {
  const read = (root, value) => {
    const element = root && (value.selector ? root.querySelector(value.selector) : root);
    if (!element || !value.attribute) return element ? element.textContent : null;
    return value.attribute === 'href' ? element.href : element.getAttribute(value.attribute);
  };
  const readAll = (root, values) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, read(root, value)]));
  const root = want.root ? document.querySelector(want.root) : document;
  const has = selector => !!document.querySelector(selector);
  const marks = Object.entries(want.marks).map(([name, selector]) => [name, has(selector)]);
  const items = want.item ? [...document.querySelectorAll(want.item)] : [];
  return {
    url: location.href,
    marks: Object.fromEntries(marks),
    values: readAll(root, want.values),
    items: items.map(item => readAll(item, want.itemValues)),
  };
}"""

UNITS = {
    "": 1,
    "k": 1_000,
    "m": 1_000_000,
    "b": 1_000_000_000,
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "万": 10_000,
    "萬": 10_000,
    "亿": 100_000_000,
    "億": 100_000_000,
}
UNCLEAR_UNIT = re.compile(
    "crores?|cr|lakhs?|thousands|mil(a|l|lones|lions?)?|mi|mio|mln|mia|mld|mrd|md|bi|bio|bn|billions|trillions?|"
    "tn?|tsd|tys|тыс|млн|млрд|千|천|만|억"
)
"""Words for large numbers that mean one thing here and another there, or that nobody has listed above."""
SPACE = r"[ \u00a0\u2009\u202f]"
COUNT = re.compile(rf"\d+(?:(?:[.,'\u2019]|{SPACE})\d+)*")
UNIT = re.compile(r"(?:\s*([^\W\d_]+))?")
GOES_ON = re.compile(r"[^\s\d]?\d|_")
"""Behind a number or its unit: then it is a time, a date, a fraction, a power of ten …"""
THOUSANDS = re.compile(rf"\d{{1,3}}(?:(?:[.,'\u2019]|{SPACE})\d{{3}})+")
SIGNS = ("-", "\u2212", "\u2013", ".", ",")
MAX_LENGTH, MAX_COUNT = 30, 10**15
"""What is longer, or larger, is no count."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read: `values` below `root` (the document when None), `item_values` below each `item`."""

    marks: Mapping[str, str]
    values: Mapping[str, Value]
    root: str | None = None
    item: str | None = None
    item_values: Mapping[str, Value] | None = None

    def as_argument(self) -> dict[str, Any]:
        return {
            "marks": dict(self.marks),
            "values": _plain(self.values),
            "root": self.root,
            "item": self.item,
            "itemValues": _plain(self.item_values or {}),
        }


def _plain(values: Mapping[str, Value]) -> dict[str, dict[str, str | None]]:
    return {
        name: {"selector": value.selector, "attribute": value.attribute} for name, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page showed; None for what it lacks, texts already cut by their patterns."""

    url: str
    marks: dict[str, bool]
    values: dict[str, str | None]
    items: list[dict[str, str | None]]

    def text(self, name: str) -> str:
        """Raises PageUnexpectedError when the page lacks it."""
        value = self.values[name]
        if value is None:
            raise PageUnexpectedError(f"{self.url} lacks {name}")
        return value

    def count(self, name: str) -> int:
        """Raises PageUnexpectedError when the page lacks it or shows no number there."""
        text = self.text(name)
        number = parse_count(text)
        if number is None:
            raise PageUnexpectedError(f"{self.url} shows {text.strip()[:40]!r} for {name}: no number")
        return number


async def read_page(page: Page, wanted: Wanted) -> Seen:
    """Read all in one call of the page. Raises ProfileError for a selector that the browser refuses."""
    try:
        found = await page.evaluate(READ, wanted.as_argument())
    except PlaywrightError as error:
        if "is not a valid selector" in error.message:
            raise ProfileError(f"the browser refuses a selector: {error.message.splitlines()[0]}") from error
        raise
    item_values = wanted.item_values or {}
    return Seen(
        url=found["url"],
        marks=found["marks"],
        values=_cut(wanted.values, found["values"]),
        items=[_cut(item_values, item) for item in found["items"]],
    )


def _cut(wanted: Mapping[str, Value], found: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: value.cut(found[name]) for name, value in wanted.items()}


def parse_count(text: str) -> int | None:
    """Read `1234`, `1,234`, `1 234`, `1.2K`, `3万` or `3M likes`; None when it is not sure what is meant.

    Whoever learns from counts is better off without one than with a wrong one.
    """
    match = COUNT.search(text)
    if match is None or text[: match.start()].endswith(SIGNS):
        return None
    number, rest = match[0], text[match.end() :]
    word = UNIT.match(rest)
    assert word is not None  # it may be empty
    unit = _unit(word[1] or "")
    if unit is None or GOES_ON.match(rest, word.end()) or len(number) > MAX_LENGTH:
        return None
    count = _value(number, unit)
    return count if count is not None and count < MAX_COUNT else None


def _value(number: str, unit: int) -> int | None:
    if THOUSANDS.fullmatch(number) and unit == 1:
        return int(re.sub(r"\D", "", number))
    if number.isdecimal():
        return int(number) * unit
    return _parse_short(number, unit)


def _unit(word: str) -> int | None:
    """What the word behind a number multiplies it by: 1 for `likes`, None when nobody can be sure."""
    word = word.casefold()
    return UNITS.get(word) or (None if UNCLEAR_UNIT.fullmatch(word) else 1)


def _parse_short(number: str, unit: int) -> int | None:
    """A number with a decimal sign, which only makes sense for a count with a unit: `1.2K`."""
    whole, _, decimals = number.replace(",", ".").partition(".")
    if unit == 1 or not whole.isdecimal() or not decimals.isdecimal():
        return None
    return round(Decimal(f"{whole}.{decimals}") * unit)
