"""Other people's posts: which are read from a list, how far, and that robots.txt is obeyed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    PageUnexpectedError,
    PersonMissingError,
    ProfileError,
    RobotsForbidError,
    SiteUnavailableError,
)
from orchestrator.model import Listing, ListKind, SeenPost
from orchestrator.sites import Profile, SiteAccount, load_profile, open_site
from tests.browser.harness import Reply, Site, serve
from tests.sites.conftest import BundledSite
from tests.sites.test_microblog import write_by_hand
from tests.sites.test_profile import TEXT

TOP = "<!doctype html><header><a data-testid=me href=/@ada>ada</a></header><main><h1>Posts</h1>"
END = "</main><footer>end</footer>"
MORE = "<nav class=pages><a rel=next href={}>older</a></nav>"
HOME = Listing(ListKind.HOME)
NO_ROBOTS = Reply(status=404)


def item(
    reference: str = "aaaa1",
    author: str = "willow",
    at: str = "2026-05-04T12:00:00Z",
    counts: str = "<b data-count=likes>1.2K</b><b data-count=replies>3</b><b data-count=views>2,345</b>",
) -> str:
    head = f'<a class=author href="/@{author}">W</a><time datetime="{at}">now</time>'
    text = "<p class=text>Some\n <b>tea</b></p>"
    return f'<article class=post data-ref="{reference}">{head}{text}{counts}</article>'


def page(*body: str) -> Reply:
    return Reply(f"{TOP}{''.join(body)}{END}")


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        site.pages["/robots.txt"] = NO_ROBOTS
        yield site


def ada_at(site: Site) -> SiteAccount:
    profile = load_profile("microblog", f"http://{site.host}")
    return SiteAccount("ada", "ada", SecretStr("secret"), profile)


async def read(pool: ContextPool, site: Site, listing: Listing = HOME, limit: int = 10) -> list[SeenPost]:
    async with open_site(pool, 0, ada_at(site)) as session:
        return await session.read_list(listing, limit)


async def read_refs(pool: ContextPool, site: Site, limit: int = 10) -> list[str]:
    return [post.reference for post in await read(pool, site, limit=limit)]


async def test_all_kinds_of_lists_of_the_bundled_site_are_read(
    pool: ContextPool, bundled_site: BundledSite, ada: SiteAccount
) -> None:
    texts = [f"Crocheting  number {number} #{'odd' if number % 2 else 'even'}" for number in range(22)]
    written = (await write_by_hand(bundled_site, texts))[::-1]
    async with open_site(pool, 0, ada) as session:
        home = await session.read_list(HOME, 21)
        person = await session.read_list(Listing(ListKind.PERSON, "bert"), 50)
        search = await session.read_list(Listing(ListKind.SEARCH, "crocheting #odd"), 5)
        first_page = await session.read_list(HOME, 50, lambda: False)
        with pytest.raises(PersonMissingError):
            await session.read_list(Listing(ListKind.PERSON, "nobody-of-that-name"), 5)
    assert_newest(home, 21, written)
    assert [post.reference for post in person][:22] == written
    assert [post.reference for post in search] == written[:10:2]
    assert_newest(first_page, 20, written)
    newest = next(post for post in home if post.author == "bert")
    assert (newest.author, newest.text) == ("bert", "Crocheting number 21 #odd")
    assert newest.posted_at.tzinfo is not None
    counts = (newest.likes, newest.replies, newest.views)
    assert all(count is not None and count >= 0 for count in counts)


def assert_newest(posts: Sequence[SeenPost], count: int, written: Sequence[str]) -> None:
    """So many, Bert's in their order; others of the site's people may have written since."""
    ours = [post.reference for post in posts if post.author == "bert"]
    assert len(posts) == count
    assert ours
    assert ours == list(written[: len(ours)])


async def test_an_item_is_read_whole_and_one_that_lacks_something_is_passed_over(
    pool: ContextPool, site: Site
) -> None:
    advertisement = "<article class=post><p class=text>Buy this</p></article>"
    no_zone, no_date = item("bbbb1", at="2026-05-04T12:00:00"), item("bbbb2", at="yesterday")
    strange = item("?!"), item("bbbb3", author="a%20b c")
    site.pages["/"] = page(advertisement, item(), no_zone, no_date, *strange, item("aaaa2", "å", counts=""))
    posted_at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert await read(pool, site) == [
        SeenPost("aaaa1", "willow", "Some tea", posted_at, 1200, 3, 2345),
        SeenPost("aaaa2", "å", "Some tea", posted_at, None, None, None),
    ]


async def test_a_list_of_which_nothing_can_be_read_is_no_empty_one(pool: ContextPool, site: Site) -> None:
    site.pages["/"] = page("<p>nothing</p>")
    assert await read(pool, site) == []
    site.pages["/"] = page(item("?!"), item("!?"))
    with pytest.raises(PageUnexpectedError, match="2 items, none of which"):
        await read(pool, site)
    site.pages["/"] = Reply(page(item()).body.removesuffix(END))
    with pytest.raises(PageUnexpectedError, match="not complete"):
        await read(pool, site)
    site.pages["/"] = Reply(page(item()).body.replace("<h1>Posts</h1>", ""))
    with pytest.raises(PageUnexpectedError, match="lists nothing"):
        await read(pool, site)


async def test_pages_are_followed_on_the_site_alone_and_while_they_have_new_posts(
    pool: ContextPool, site: Site
) -> None:
    site.pages["/"] = page(item("aaaa1"), item("aaaa2"), MORE.format("/2"))
    site.pages["/2"] = page(item("aaaa2"), item("aaaa3"), MORE.format("/3"))
    site.pages["/3"] = page(item("aaaa3"), item("aaaa2"), MORE.format("/2"))
    assert await read_refs(pool, site) == ["aaaa1", "aaaa2", "aaaa3"]
    assert await read_refs(pool, site, limit=1) == ["aaaa1"]
    site.pages["/"] = page(item("aaaa1"), MORE.format("http://elsewhere.example/2"))
    assert await read_refs(pool, site) == ["aaaa1"]


async def test_what_robots_txt_disallows_is_not_opened(pool: ContextPool, site: Site) -> None:
    rules = "User-agent: *\nDisallow: /\n\nUser-agent: orchestrator\nDisallow: /search?\nDisallow: /2\n"
    site.pages["/robots.txt"] = Reply(rules, headers={"Content-Type": "text/plain"})
    site.pages["/"] = page(item("aaaa1"), MORE.format("/2"))
    async with open_site(pool, 0, ada_at(site)) as session:
        assert len(await session.read_list(HOME, 1)) == 1
        with pytest.raises(RobotsForbidError, match="forbids to read"):
            await session.read_list(HOME, 2)
        with pytest.raises(RobotsForbidError):
            await session.read_list(Listing(ListKind.SEARCH, "tea"), 1)
    assert site.seen == [("GET", "/robots.txt"), ("GET", "/"), ("GET", "/")]


async def test_where_a_list_leads_to_a_disallowed_address_nothing_is_read(
    pool: ContextPool, site: Site
) -> None:
    site.pages["/robots.txt"] = Reply(
        "User-agent: *\nDisallow: /private", headers={"Content-Type": "text/plain"}
    )
    site.pages["/"] = Reply(status=302, headers={"Location": "/private"})
    site.pages["/private"] = page(item())
    with pytest.raises(RobotsForbidError):
        await read(pool, site)


async def test_nothing_is_read_while_the_site_does_not_tell_its_robots_txt(
    pool: ContextPool, site: Site
) -> None:
    site.pages["/"] = page(item())
    site.pages["/robots.txt"] = Reply(status=503)
    with pytest.raises(SiteUnavailableError, match="nothing may be read"):
        await read(pool, site)
    assert ("GET", "/") not in site.seen
    site.pages["/robots.txt"] = Reply(status=403)
    assert len(await read(pool, site)) == 1


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Profile:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "site.toml"
    path.write_text(text)
    return load_profile(str(path))


async def test_a_list_that_the_profile_does_not_name_is_not_looked_for(
    pool: ContextPool, site: Site, tmp_path: Path
) -> None:
    profile = changed(tmp_path, ('search = "/search?q={query}"\n', ""), (":8701", f":{site.port}"))
    async with open_site(pool, 0, SiteAccount("ada", "ada", SecretStr("secret"), profile)) as session:
        with pytest.raises(PageUnexpectedError, match="has no list search"):
            await session.read_list(Listing(ListKind.SEARCH, "tea"), 1)
    assert site.seen == []


def test_lists_need_an_address_with_its_placeholder(tmp_path: Path) -> None:
    addresses = 'home = "/"\nsearch = "/search?q={query}"\nperson = "/@{username}"\nshown = "main h1"'
    with pytest.raises(ProfileError, match="at least one of home, search and person"):
        changed(tmp_path, (addresses, 'shown = "main h1"'))
    with pytest.raises(ProfileError, match=r"must have \{query\}"):
        changed(tmp_path, ("?q={query}", ""))
    start = TEXT.index("[lists]")
    assert changed(tmp_path, (TEXT[start:], "")).lists is None
