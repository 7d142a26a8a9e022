"""Reads what a page shows in one step, and turns its texts into numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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

UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
COUNT = re.compile(r"(?P<number>\d+(?:[.,'\u2019\s]\d+)*)\s*(?P<unit>[KkMmBb](?![A-Za-z]))?")
THOUSANDS = re.compile(r"\d{1,3}(?:[.,'\u2019\s]\d{3})+")


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
    """Read `1234`, `1,234`, `1 234`, `1.2K` or `3M likes`; None when there is no number."""
    match = COUNT.search(text)
    if match is None:
        return None
    number, unit = match["number"], (match["unit"] or "").lower()
    if THOUSANDS.fullmatch(number) and not unit:
        return int(re.sub(r"\D", "", number))
    if number.isdecimal():
        return int(number) * UNITS[unit]
    return _parse_short(number, unit)


def _parse_short(number: str, unit: str) -> int | None:
    """A number with a decimal sign, which only makes sense for a count with a unit: `1.2K`."""
    whole, _, decimals = number.replace(",", ".").partition(".")
    if not unit or not whole.isdecimal() or not decimals.isdecimal():
        return None
    return round(float(f"{whole}.{decimals}") * UNITS[unit])
