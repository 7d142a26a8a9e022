"""The site of the documentation: it can be built, has every page, and loads nothing from elsewhere."""

import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tools import site

LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
FROM_ELSEWHERE = re.compile(r"""url\(['"]?(?:https?:)?//|@import""")


def listed(nav: Any) -> Iterator[str]:
    """The pages of the navigation, in order."""
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav if isinstance(nav, list) else nav.values():
            yield from listed(entry)


def test_each_page_stands_once_in_the_navigation_and_in_the_index() -> None:
    nav = tomllib.loads((site.ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(listed(nav)) == sorted(site.pages().values())
    index = (site.ROOT / "docs" / "README.md").read_text()
    linked = re.findall(r"^\| \[([\w./-]+)\]\(\1\)", index, re.MULTILINE)
    rest = {"docs/README.md", "README.md"}
    names = {str(path.relative_to(site.ROOT)) for path in site.pages()} - rest
    assert sorted((site.ROOT / "docs" / name).resolve() for name in linked) == sorted(
        site.ROOT / name for name in names
    )


def test_links_lead_to_pages_of_the_site_or_are_left_as_their_text() -> None:
    page, names = site.ROOT / "docs" / "page.md", site.pages()
    text = "[a](api.md#x) [b](../README.md) [c](../Makefile) [d](https://example.org/d) ![e](images/e.svg)"
    assert site.rewritten(text, page, names) == (
        "[a](api.md#x) [b](project.md) c [d](https://example.org/d) ![e](images/e.svg)"
    )


class Loads(HTMLParser):
    """What a page makes the browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in ("canonical", "prev", "next", "edit"):
            return
        self.found += [value or "" for name, value in attrs if (tag, name) in LOADS]


@pytest.fixture(scope="module")
def built() -> Path:
    assert site.main() == 0, "run `make site`"
    return site.SITE


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(built: Path) -> None:
    pages = {path.name: path.read_text("utf-8") for path in built.glob("*.html")}
    assert {name.replace(".md", ".html") for name in site.pages().values()} <= pages.keys()
    for name, text in pages.items():
        loads = Loads()
        loads.feed(text)
        assert [address for address in loads.found if "//" in address.partition("?")[0]] == [], name
    for style in built.rglob("*.css"):
        assert not FROM_ELSEWHERE.search(style.read_text("utf-8")), style
