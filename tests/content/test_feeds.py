"""Feeds on a real server: what is read of them, how seldom, and what of them is refused."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest
from structlog.testing import capture_logs

from orchestrator.breakers import Breakers
from orchestrator.content.feeds import MAX_ENTRIES, MAX_FEED_BYTES, Feeds, feed_parties
from orchestrator.metrics import Metrics
from orchestrator.settings import party_names
from orchestrator.testing.house import settings_for

RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{items}</channel></rss>"""
ITEM = "<item><title>{title}</title><link>https://news.example/{at}</link></item>"
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Log</title>
<entry><title type="html">Of &lt;b&gt;bold&lt;/b&gt; roses &amp;amp; more?</title>
<link href="https://log.example/1"/></entry></feed>"""


def rss(*titles: str) -> bytes:
    return RSS.format(items="".join(ITEM.format(title=t, at=at) for at, t in enumerate(titles))).encode()


@dataclass
class Site:
    """Answers by path; `asked` has path and headers of each request."""

    port: int = 0
    pages: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, body, headers = found.pages.get(self.path, (404, b"", {}))
            if headers.get("etag", "-") == self.headers["if-none-match"]:
                status, body = 304, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the reader has had enough

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def feeds_of(site: Site, failures: int = 5) -> tuple[Feeds, Breakers]:
    feeds = {"news": {"url": f"http://127.0.0.1:{site.port}/feed", "topic": "Gardening News"}}
    settings = settings_for(content={"feeds": feeds}, breakers={"failures": failures})
    breakers = Breakers(rng=Random(1), metrics=Metrics(), on_change=lambda *_args: None)
    for party in feed_parties(settings):
        breakers.add(party)
    assert party_names(settings) == ["feed:news", "site:murmur"]
    return Feeds(settings.content.feeds, breakers, max_chars=100), breakers


async def texts(feeds: Feeds) -> list[str]:
    return [snippet.text for snippet in await feeds.read("plan")]


async def why_not(feeds: Feeds) -> str:
    with capture_logs() as logs:
        assert await texts(feeds) == []
    (said,) = [str(entry["error"]) for entry in logs if entry["event"] == "feed_not_read"]
    return said


async def test_each_entry_is_a_text_with_link_and_hashtag(site: Site) -> None:
    site.pages["/feed"] = (200, rss("Roses in June", "What to sow now?"), {})
    feeds, _ = feeds_of(site)
    snippets = await feeds.read("plan")
    assert [(one.text, one.topic, one.format, one.source) for one in snippets] == [
        ("Roses in June\nhttps://news.example/0\n#gardeningnews", "gardening news", "story", "feed:news"),
        ("What to sow now?\nhttps://news.example/1\n#gardeningnews", "gardening news", "story", "feed:news"),
    ]


async def test_atom_is_read_and_its_markup_is_not_shown(site: Site) -> None:
    site.pages["/feed"] = (200, ATOM.encode(), {})
    assert await texts(feeds_of(site)[0]) == ["Of bold roses & more?\nhttps://log.example/1\n#gardeningnews"]


async def test_a_long_title_ends_at_a_word_so_that_the_whole_fits(site: Site) -> None:
    site.pages["/feed"] = (200, rss("flowers 🌹 " * 40), {})
    (text,) = await texts(feeds_of(site)[0])
    assert len(text.encode("utf-16-le")) // 2 <= 100
    assert "…\nhttps://news.example/0\n" in text


async def test_a_feed_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    site.pages["/feed"] = (
        200,
        rss("Roses"),
        {"etag": '"v1"', "last-modified": "Mon, 04 May 2026 12:00:00 GMT"},
    )
    feeds, _ = feeds_of(site)
    assert await texts(feeds) == await texts(feeds)
    assert site.asked[-1][1]["if-none-match"] == '"v1"'
    assert site.asked[-1][1]["if-modified-since"] == "Mon, 04 May 2026 12:00:00 GMT"
    site.pages["/feed"] = (200, rss("Lilies"), {"etag": '"v2"'})
    assert "Lilies" in (await texts(feeds))[0]


async def test_what_robots_txt_forbids_is_not_read(site: Site) -> None:
    site.pages["/feed"] = (200, rss("Roses"), {})
    site.pages["/robots.txt"] = (200, b"User-agent: *\nDisallow: /fe*\n", {})
    feeds, _ = feeds_of(site)
    assert "forbids" in await why_not(feeds)
    assert site.paths() == ["/robots.txt"]
    site.pages["/robots.txt"] = (500, b"", {})
    assert "does not tell its robots.txt" in await why_not(feeds)
    site.pages["/robots.txt"] = (
        200,
        b"User-agent: *\nDisallow: /\n\nUser-agent: orchestrator\nAllow: /\n",
        {},
    )
    assert len(await texts(feeds)) == 1


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ((200, b"<html><title>Not a feed</title></html>", {}), "neither RSS nor Atom"),
        ((200, b"/etc/passwd", {}), "neither RSS nor Atom"),
        ((404, b"", {}), "answers 404"),
        ((503, b"", {}), "answers 503"),
        ((301, b"", {"location": "https://new.example/"}), "has moved to https://new.example/"),
        ((200, b" " * (MAX_FEED_BYTES + 1), {}), "longer than"),
    ],
)
async def test_what_is_no_feed_is_told(site: Site, page: tuple[int, bytes, dict[str, str]], why: str) -> None:
    site.pages["/feed"] = page
    assert why in await why_not(feeds_of(site)[0])


async def test_a_feed_that_fails_keeps_what_was_read_and_is_left_alone(site: Site) -> None:
    site.pages["/feed"] = (200, rss("Roses"), {})
    feeds, breakers = feeds_of(site, failures=2)
    before = await texts(feeds)
    site.pages["/feed"] = (500, b"", {})
    for _ in range(3):
        assert await texts(feeds) == before
    assert site.paths().count("/feed") == 3  # the last time nobody asked
    assert breakers.of("feed:news").view().state == "open"


async def test_links_that_are_none_and_more_entries_than_anybody_reads_are_left_out(site: Site) -> None:
    bad = "<item><title>Bad</title><link>javascript:alert(1)</link></item><item><title>None</title></item>"
    many = "".join(ITEM.format(title=f"Title {at}", at=at) for at in range(MAX_ENTRIES * 2))
    site.pages["/feed"] = (200, RSS.format(items=bad + many).encode(), {})
    found = await texts(feeds_of(site)[0])
    assert len(found) == MAX_ENTRIES - 2
    assert not any("Bad" in text or "None" in text for text in found)


@pytest.mark.parametrize("url", ["ftp://x.example/feed", "feed.xml", "https://me:pw@x.example/feed"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Exception, match=r"content\.feeds\.news\.url"):
        settings_for(content={"feeds": {"news": {"url": url, "topic": "x"}}})
