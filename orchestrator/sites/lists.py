"""How a site lists everybody's posts: read as its profile says, and only as its robots.txt allows.

All functions run on the asyncio side, inside a visit, and raise what those of `sites.driver` do.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from playwright.async_api import Page

from orchestrator.browser.page import open_url
from orchestrator.errors import (
    PageUnexpectedError,
    PersonMissingError,
    RobotsForbidError,
    SiteUnavailableError,
)
from orchestrator.model import Listing, ListKind, SeenPost, storable
from orchestrator.robots import MAX_ROBOTS_BYTES, Robots
from orchestrator.sites.answers import rate_limited
from orchestrator.sites.pages import marks_of, read_whole
from orchestrator.sites.profile import Profile
from orchestrator.sites.reading import Wanted, parse_count
from orchestrator.sites.sections import ListsSection, Value

USERNAME = re.compile(r"@?([^\s@/?#]{1,100})")
"""What a person may be called, with the sign that some sites put before it."""
MISSING = (404, 410)
ROBOTS_TEXT = "most => (document.documentElement.textContent || '').slice(0, most)"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, in the site's order."""

    posts: list[SeenPost]
    next: str | None
    """The address of the page behind it."""


def listing_url(profile: Profile, listing: Listing) -> str:
    """Raises PageUnexpectedError when the profile has no such list."""
    path = profile.lists.path_of(listing.kind) if profile.lists is not None else None
    if path is None:
        raise PageUnexpectedError(f"the profile {profile.site.name} has no list {listing.kind}")
    return profile.url(path, query=listing.what, username=listing.what)


async def read_robots(page: Page, profile: Profile) -> Robots:
    """The site's robots.txt; without one (4xx) all is allowed.

    Raises SiteUnavailableError when the site does not tell (5xx, no answer): nothing is allowed then.
    """
    url = profile.url("/robots.txt")
    answer = await open_url(page, url, profile.rules)
    if answer.status == 429:
        raise rate_limited(answer)
    if answer.status >= 500:
        raise SiteUnavailableError(f"{url} answers {answer.status}: until it tells, nothing may be read")
    # Chromium shows a plain text as a document that holds it.
    return Robots(await page.evaluate(ROBOTS_TEXT, MAX_ROBOTS_BYTES) if answer.status == 200 else "")


async def read_list(page: Page, profile: Profile, robots: Robots, listing: Listing, url: str) -> ListPage:
    """One page of a list: the one at `url`.

    A page that is not surely complete, or of whose items none can be read, raises PageUnexpectedError.
    Single items that lack something, such as advertisements, are passed over.
    Raises RobotsForbidError for an address that robots.txt disallows, without opening it, and
    PersonMissingError when there is no such person.
    """
    section = profile.lists
    if section is None:
        raise PageUnexpectedError(f"the profile {profile.site.name} does not say how to read lists")
    _check_robots(profile, robots, url)
    answer = await open_url(page, url, profile.rules)
    if listing.kind is ListKind.PERSON and answer.status in MISSING:
        raise PersonMissingError(f"{profile.site.name} has no {listing.what} any more")
    _check_robots(profile, robots, answer.url)
    seen = await read_whole(page, profile, answer, _wanted(profile, section))
    if not seen.marks["shown"]:
        raise PageUnexpectedError(f"{seen.url} lists nothing: it lacks {section.shown!r}")
    posts = [post for item in seen.items if (post := _post(profile, section, item)) is not None]
    if seen.items and not posts:
        raise PageUnexpectedError(f"{seen.url} has {len(seen.items)} items, none of which can be read")
    address = seen.values.get("next") or ""
    # Of another host this robots.txt says nothing.
    return ListPage(posts, next=address if address.startswith(f"{profile.site.base_url}/") else None)


def _check_robots(profile: Profile, robots: Robots, url: str) -> None:
    if not robots.allows(url):
        raise RobotsForbidError(f"robots.txt of {profile.site.name} forbids to read {url}")


def _wanted(profile: Profile, section: ListsSection) -> Wanted:
    values = {
        "reference": section.reference,
        "author": section.author,
        "text": section.text,
        "posted_at": section.posted_at,
    }
    counts = {"likes": section.likes, "replies": section.replies, "views": section.views}
    given = {name: value for name, value in counts.items() if value is not None}
    return Wanted(
        {**marks_of(profile), "shown": section.shown},
        {"next": Value(selector=section.next, attribute="href")} if section.next else {},
        item=section.item,
        item_values={**values, **given},
    )


def _post(profile: Profile, section: ListsSection, item: dict[str, str | None]) -> SeenPost | None:
    """The post that an item is; None when it is none, or lacks something that every post has."""
    reference, text = (item["reference"] or "").strip(), item["text"]
    named = item["author"] or ""
    if section.author.attribute == "href":
        named = unquote(named)
    author = USERNAME.fullmatch(storable(named).strip())
    posted_at = _moment(item["posted_at"])
    if text is None or author is None or posted_at is None or not profile.is_reference(reference):
        return None
    return SeenPost(
        reference=reference,
        author=author[1],
        text=" ".join(storable(text).split()),
        posted_at=posted_at,
        likes=_count(item.get("likes")),
        replies=_count(item.get("replies")),
        views=_count(item.get("views")),
    )


def _moment(text: str | None) -> datetime | None:
    """An ISO 8601 date and time with a zone; None for anything else."""
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _count(text: str | None) -> int | None:
    return parse_count(text) if text is not None else None
